"""The model itself: drawn at random or read from files, quantised, on one device or spread over several."""

from __future__ import annotations

import atexit
import importlib.util
import inspect
import os
import shutil
import tempfile
from typing import Any

import torch
from accelerate.utils import get_max_memory
from safetensors import SafetensorError
from torch import nn
from transformers import MODEL_MAPPING, AutoModel, BitsAndBytesConfig

from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.backbones.sizing import outline, refuse_unless_it_fits
from llarp_cli.backbones.sources import Source, unreadable, weights_hint
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

SPREAD_SHARE = 0.9
"""How much of each device's free memory a spread model may take."""


class ModelMaker:
    """Makes one model, once it is clear that it can be had.

    Args:
        plugin, options: what was asked for.
        source: where its files are.
        config: of transformers; of a model with several parts, all of them.
        device: where it goes; of a model that is spread, where its tokens come from and go to.

    Attributes:
        dtype: of weights that are not quantised, and of activations.
        quantization: "none", "8bit" or "4bit".
        text: the config of the language model alone.

    Raises:
        UsageProblem: the recipe asks for what cannot be, the config describes no model, or memory is short.
    """

    def __init__(
        self, plugin: TransformersPlugin, options: BackboneOptions, source: Source, config: Any, device: torch.device
    ):
        self.plugin, self.options, self.source, self.config, self.device = plugin, options, source, config, device
        self.dtype = _dtype(options.dtype, device)
        self.quantization = options.quantization or plugin.quantization
        self.text = config.get_text_config(decoder=True)
        # A pooler is not used, and many checkpoints of encoders that can have one lack it.
        parameters = inspect.signature(MODEL_MAPPING[type(self.text)].__init__).parameters
        self._arguments = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
        self._quantized = _quantization(self.quantization, self.dtype, options.name)
        self._check_spreading()
        shape = outline(self.text, options.name, weights_hint(plugin), **self._arguments)
        if options.device_map is None:
            # Files that are quantised themselves say how in words of their own: no less than 4 bits.
            stored = "4bit" if "quantization_config" in config.to_dict() else self.quantization
            refuse_unless_it_fits(shape, options.name, self.dtype, stored, device)

    def random(self, seed: int) -> nn.Module:
        """The architecture at full size, weights drawn on the CPU, unless the plugin says otherwise, so that a seed
        means the same everywhere.

        Drawn as the model's own training would have begun, its small word embeddings (and so `token_scale`) included:
        at a larger scale the newest token drowns the instruction and what was seen before, most of all in LLaMA.

        Raises:
            UsageProblem: memory ran out, or it cannot be quantised or spread.
        """
        drawn_on = self.device if self.plugin.drawn_on_device else torch.device("cpu")
        if self.device.type != "cpu":
            shape = outline(self.text, self.options.name, weights_hint(self.plugin), **self._arguments)
            refuse_unless_it_fits(shape, self.options.name, self.dtype, "none", drawn_on)
        try:
            with torch.random.fork_rng([drawn_on] if drawn_on.type == "cuda" else []), drawn_on:
                torch.manual_seed(seed)
                model = AutoModel.from_config(
                    self.text, dtype=self.dtype, attn_implementation="eager", **self._arguments
                )
            if self._quantized is None and self.options.device_map is None:
                return model.to(self.device)
            return type(model).from_pretrained(
                None, config=self.text, state_dict=model.state_dict(), **self._placement(), **self._arguments
            )
        except (RuntimeError, ValueError) as error:
            raise unreadable(self.options, self.source, error, self.plugin) from error

    def pretrained(self, auto: Any = AutoModel) -> nn.Module:
        """From files.

        Args:
            auto: transformers' class: without a head, or with the one that predicts words.

        Raises:
            UsageProblem: they cannot be read, or hold another model than their config describes.
        """
        arguments = {} if self._is_in_parts else self._arguments
        try:
            model, report = auto.from_pretrained(
                **self.source.arguments,
                config=self.config,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in words of ours
                **self._placement(),
                **arguments,
            )
        except (OSError, ValueError, KeyError, SafetensorError, RuntimeError, ImportError) as error:
            raise unreadable(self.options, self.source, error, self.plugin) from error
        named = f"'{self.source.name}'"
        if report["mismatched_keys"]:
            weight, stored, described = sorted(report["mismatched_keys"])[0]
            raise UsageProblem(
                f"the config of {named} does not describe its weights: '{weight}' is {list(described)} by the config "
                f"and {list(stored)} in the files",
                weights_hint(self.plugin),
            )
        if report["missing_keys"]:
            raise UsageProblem(
                f"{named} lacks {len(report['missing_keys'])} weights of a '{self.config.model_type}' model, "
                f"e.g. '{sorted(report['missing_keys'])[0]}'",
                weights_hint(self.plugin),
            )
        return model.get_decoder() if self._is_in_parts else model

    @property
    def _is_in_parts(self) -> bool:
        """Whether the files hold a language model among other parts, e.g. one that sees."""
        return self.text is not self.config

    def _placement(self) -> dict[str, Any]:
        spread = self.options.device_map is not None
        return {
            "dtype": self.dtype,
            "attn_implementation": "eager",
            "quantization_config": self._quantized,
            "device_map": self.options.device_map if spread else {"": self.device},
            "max_memory": _memory_of_several() if spread else None,
            "offload_folder": self._offload_folder() if spread else None,
        }

    def _offload_folder(self) -> str:
        """For weights that neither GPUs nor main memory hold; gone when the program ends."""
        folder = tempfile.mkdtemp(prefix="llarp-offload-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _check_spreading(self) -> None:
        if self.options.device_map is not None and self.options.lora.rank:
            raise UsageProblem(
                f"backbone.lora.rank = {self.options.lora.rank}: a model that backbone.device_map spreads cannot be "
                "trained",
                "set one of the two alone",
            )


def _memory_of_several() -> dict[int | str, int] | None:
    """What a model that is spread may take, where the main memory is shared with other processes, in bytes by device;
    else it is left to transformers, which takes as large a part."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes == 1:
        return None
    return {
        device: int(SPREAD_SHARE * size / (processes if device == "cpu" else 1))
        for device, size in get_max_memory().items()
    }


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
