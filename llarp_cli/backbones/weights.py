"""From a plugin and the recipe's options to a loaded, frozen, checked backbone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils import logging

from llarp_cli.backbones.check import refuse_unless_exact
from llarp_cli.backbones.checkpointing import checkpoint_gradients
from llarp_cli.backbones.decoder import DecoderBackbone
from llarp_cli.backbones.frozen import FrozenBackbone, Tokenizer
from llarp_cli.backbones.models import ModelMaker
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.backbones.prefix_lm import PrefixLMBackbone
from llarp_cli.backbones.sources import RANDOM, Source, find_source, unreadable
from llarp_cli.backbones.tokenizers import PretrainedTokenizer, WordTokenizer
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

BESIDE_PADDING = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "roberta-prelayernorm"}
"""Model types whose positions start behind the padding token's id."""


def load_backbone(plugin: TransformersPlugin, options: BackboneOptions, device: Any) -> FrozenBackbone:
    """Find, load, freeze and check what the plugin and the options name.

    Raises:
        UsageProblem: weights cannot be had, do not fit, or the architecture cannot be used exactly.
    """
    try:
        return _loaded(plugin, options, torch.device(device))
    except torch.OutOfMemoryError as error:  # the weights fit, what is tried with them does not
        raise UsageProblem(
            f"the memory of {device} ran out while backbone '{options.name}' was loaded",
            "backbone.quantization=4bit, or backbone.device_map=auto",
        ) from error


def _loaded(plugin: TransformersPlugin, options: BackboneOptions, device: torch.device) -> FrozenBackbone:
    random = options.weights == RANDOM or (options.weights is None and plugin.weights is None)
    if options.seed is not None and not random:
        raise UsageProblem(
            f"backbone.seed = {options.seed}: the weights of backbone '{options.name}' are not random",
            "add backbone.weights=random, or leave backbone.seed out",
        )
    with quiet():
        source = find_source(plugin, options, random)
        config = read_config(plugin, options, source)
        kind = backbone_kind(config, options.name)
        maker = ModelMaker(plugin, options, source, config, device)
        if options.cuda_graphs:
            _refuse_graphs_of(maker)
        context_length = stated_context_length(maker.text, options.name)
        model = maker.random(plugin.seed if options.seed is None else options.seed) if random else maker.pretrained()
        tokenizer = _tokenizer(source, options, maker.text, plugin)
        first = maker.text.pad_token_id + 1 if maker.text.model_type in BESIDE_PADDING else 0
        backbone = kind(
            model,
            tokenizer,
            device,
            name=options.name,
            weights=RANDOM if random else source.name,
            revision=None if random else source.revision,
            context_length=context_length - first,
            prefix_cache_mb=options.prefix_cache_mb,
            first_position=first,
        )
        _differentiate_exactly(model, device)
        if options.lora.rank:
            backbone.train_updates(options.lora)
        refuse_unless_exact(backbone, maker.text)
        checkpoint_gradients(backbone, options.gradient_checkpointing)
        backbone.steps_recorded = options.cuda_graphs and backbone.device.type == "cuda"
    return backbone


def _refuse_graphs_of(maker: ModelMaker) -> None:
    """Graphs are recorded of plain models on one GPU."""
    options = maker.options
    others = {
        "backbone.quantization": maker.quantization != "none" or "quantization_config" in maker.config.to_dict(),
        "backbone.device_map": options.device_map is not None,
        "backbone.lora.rank": bool(options.lora.rank),
    }
    for key, given in others.items():
        if given:
            raise UsageProblem(f"backbone.cuda_graphs does not go with {key}", "leave one of them out")


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars, its report on the weights of heads we do not load, and its advice."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _differentiate_exactly(model: torch.nn.Module, device: torch.device) -> None:
    """Make gradients those of the dequantised model, also where the files themselves are quantised.

    4 bits: no repacking for AVX512-BF16 CPUs, which has no autograd (gradients after it are wrong).
    8 bits on a CPU: the matrix product that dequantises weights, rather than the one that rounds activations
    too and then differentiates at other activations; bitsandbytes chooses it by the layer's training mode.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
        elif type(module).__name__ == "Linear8bitLt":
            module.training = device.type == "cpu"


def read_config(plugin: TransformersPlugin, options: BackboneOptions, source: Source) -> Any:
    """The config of transformers, of all parts where a model has several."""
    if source.location is None:
        return AutoConfig.for_model(**plugin.architecture)
    try:
        return AutoConfig.from_pretrained(**source.arguments)
    except Exception as error:  # transformers' own checks of a config raise many kinds
        raise unreadable(options, source, error, plugin) from error


def backbone_kind(config: Any, name: str) -> type[FrozenBackbone]:
    """Which of the two uses an architecture is for; of a model with several parts, its language model's."""
    refused = UsageProblem(
        f"backbone '{name}' is a '{config.model_type}' model: neither a decoder LM nor a BERT-like encoder",
        "choose a text-only decoder (LLaMA, Mistral, Qwen, GPT-2, ...) or encoder (BERT, RoBERTa, ...)",
    )
    if config.is_encoder_decoder:
        raise refused
    model_type = config.get_text_config(decoder=True).model_type
    if model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return PrefixLMBackbone
    if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return DecoderBackbone
    raise refused


def stated_context_length(config: Any, name: str) -> int:
    """Positions the model was made for, short of where a length-dependent rule would set in."""
    settings = config.to_dict()
    limits = [settings.get(key) for key in ("max_position_embeddings", "n_positions", "attention_chunk_size")]
    rope = settings.get("rope_parameters") or {}
    for part in (rope, *rope.values()):  # some models have one for each kind of layer
        if isinstance(part, dict) and part.get("rope_type") in ("dynamic", "longrope"):
            limits.append(part.get("original_max_position_embeddings"))
    known = [limit for limit in limits if limit]
    if not known:
        raise UsageProblem(
            f"backbone '{name}' (a '{config.model_type}' model) cannot be used: it states no number of positions; "
            "it is recurrent, or its attention is biased by distance",
            "choose another one",
        )
    return min(known)


def _tokenizer(source: Source, options: BackboneOptions, config: Any, plugin: TransformersPlugin) -> Tokenizer:
    if source.location is None:
        return WordTokenizer(config.vocab_size)
    return PretrainedTokenizer(pretrained_tokenizer(source, options, plugin))


def pretrained_tokenizer(source: Source, options: BackboneOptions, plugin: TransformersPlugin) -> Any:
    """The tokenizer of transformers that lies beside the weights.

    Raises:
        UsageProblem: it cannot be read.
    """
    try:
        return AutoTokenizer.from_pretrained(**source.arguments)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unreadable(options, source, error, plugin) from error
