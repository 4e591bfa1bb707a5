"""From a plugin and the recipe's options to a loaded, frozen, checked backbone."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoTokenizer, BitsAndBytesConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils import logging

from llarp_cli.backbones.check import refuse_unless_exact
from llarp_cli.backbones.decoder import DecoderBackbone
from llarp_cli.backbones.frozen import FrozenBackbone, Tokenizer
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.backbones.prefix_lm import PrefixLMBackbone
from llarp_cli.backbones.sources import RANDOM, Source, find_source, unreadable, weights_hint
from llarp_cli.backbones.tokenizers import PretrainedTokenizer, WordTokenizer
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

BESIDE_PADDING = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "roberta-prelayernorm"}
"""Model types whose positions start behind the padding token's id."""


def load_backbone(plugin: TransformersPlugin, options: BackboneOptions, device: Any) -> FrozenBackbone:
    """Find, load, freeze and check what the plugin and the options name.

    Raises:
        UsageProblem: weights cannot be had, or the architecture cannot be used exactly.
    """
    device = torch.device(device)
    dtype = _dtype(options.dtype, device)
    quantization = options.quantization or plugin.quantization
    quantized = _quantization(quantization, dtype, options.name)
    random = options.weights == RANDOM or (options.weights is None and plugin.weights is None)
    with _quiet():
        source = find_source(plugin, options, random)
        config = _config(plugin, options, source)
        kind = _kind(config, options.name)
        if random:
            model = _random_model(config, dtype, device, plugin.seed, quantized)
        else:
            model = _pretrained_model(config, source, options, dtype, device, quantized, plugin)
        tokenizer = _tokenizer(source, options, config, plugin)
        first = config.pad_token_id + 1 if config.model_type in BESIDE_PADDING else 0
        backbone = kind(
            model,
            tokenizer,
            name=options.name,
            weights=RANDOM if random else source.name,
            revision=None if random else source.revision,
            context_length=_context_length(config, options.name) - first,
            prefix_cache_mb=options.prefix_cache_mb,
            first_position=first,
        )
        _differentiate_exactly(model, device)
        refuse_unless_exact(backbone, config)
    return backbone


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars, its report on the weights of heads we do not load, and its advice."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def _quantization(kind: str, dtype: torch.dtype, name: str) -> BitsAndBytesConfig | None:
    if kind == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageProblem(
            f"backbone '{name}' in {kind} needs the package 'bitsandbytes'", "pip install 'llarp[quantized]'"
        )
    if kind == "8bit":
        # A threshold above 0 makes a row's result depend on the rows beside it.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


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


def _config(plugin: TransformersPlugin, options: BackboneOptions, source: Source) -> Any:
    if source.location is None:
        return AutoConfig.for_model(**plugin.architecture)
    try:
        return AutoConfig.from_pretrained(**source.arguments)
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(options, source, error, plugin) from error


def _kind(config: Any, name: str) -> type[FrozenBackbone]:
    """Which of the two uses an architecture is for."""
    refused = UsageProblem(
        f"backbone '{name}' is a '{config.model_type}' model: neither a decoder LM nor a BERT-like encoder",
        "choose a text-only decoder (LLaMA, Mistral, Qwen, GPT-2, ...) or encoder (BERT, RoBERTa, ...)",
    )
    if config.is_encoder_decoder:
        raise refused
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return PrefixLMBackbone
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return DecoderBackbone
    raise refused


def _context_length(config: Any, name: str) -> int:
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


def _model_arguments(config: Any) -> dict[str, Any]:
    """Leave out the pooler of an encoder that has one: it is not used, and many checkpoints lack it."""
    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def _random_model(
    config: Any, dtype: torch.dtype, device: torch.device, seed: int, quantized: BitsAndBytesConfig | None
) -> torch.nn.Module:
    """The architecture at full size, weights drawn on the CPU so that a seed means the same everywhere."""
    arguments = _model_arguments(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config, dtype=dtype, attn_implementation="eager", **arguments)
    if quantized is None:
        return model.to(device)
    return type(model).from_pretrained(
        None,
        config=config,
        state_dict=model.state_dict(),
        quantization_config=quantized,
        dtype=dtype,
        device_map={"": device},
        attn_implementation="eager",
        **arguments,
    )


def _pretrained_model(
    config: Any,
    source: Source,
    options: BackboneOptions,
    dtype: torch.dtype,
    device: torch.device,
    quantized: BitsAndBytesConfig | None,
    plugin: TransformersPlugin,
) -> torch.nn.Module:
    try:
        model, report = AutoModel.from_pretrained(
            **source.arguments,
            config=config,
            dtype=dtype,
            device_map={"": device},
            attn_implementation="eager",
            quantization_config=quantized,
            output_loading_info=True,
            **_model_arguments(config),
        )
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError, ImportError) as error:
        raise unreadable(options, source, error, plugin) from error
    if report["missing_keys"]:
        raise UsageProblem(
            f"'{source.name}' lacks {len(report['missing_keys'])} weights of a '{config.model_type}' model, "
            f"e.g. '{sorted(report['missing_keys'])[0]}'",
            weights_hint(plugin),
        )
    return model


def _tokenizer(source: Source, options: BackboneOptions, config: Any, plugin: TransformersPlugin) -> Tokenizer:
    if source.location is None:
        return WordTokenizer(config.vocab_size)
    try:
        return PretrainedTokenizer(AutoTokenizer.from_pretrained(**source.arguments))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unreadable(options, source, error, plugin) from error
