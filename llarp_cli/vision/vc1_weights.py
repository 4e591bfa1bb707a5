"""VC-1's released file, in the layout of timm, as a ViT of transformers."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from llarp_cli.errors import UsageProblem
from llarp_cli.vision.hub import VIT_B
from llarp_cli.vision.hub_encoder import quiet

FILES = ("pytorch_model.bin", "model.safetensors", "vc1_vitb.pth", "vc1_vitl.pth")
"""What the released weights are called, on the hub and by themselves."""

HEAD_SIZE = 64
"""Of every ViT of the release; the file does not say it."""

NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""Of modules, in the release → in transformers' files."""

ELSEWHERE = (
    "write vision.weights=FILE with the released vc1_vitb.pth, or vision.weights=random for the architecture alone"
)


def load_vc1(place: str, name: str) -> nn.Module:
    """The encoder, without a pooler, in float32 on the CPU.

    Args:
        place: a file, a folder that holds one of `FILES`, a hub id, or "random".
        name: of the vision encoder, for messages.

    Raises:
        UsageProblem: there is no such file, or it holds something else.
    """
    if place == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return ViTModel(ViTConfig(**VIT_B, layer_norm_eps=1e-6), add_pooling_layer=False)
    path = _file(place, name)
    try:
        released = _read(path)
        config = _config(released)
        with quiet():
            model, report = ViTModel.from_pretrained(
                None, config=config, state_dict=_renamed(released), add_pooling_layer=False, output_loading_info=True
            )
    except Exception as error:  # what torch raises on foreign bytes is anybody's guess
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise UsageProblem(f"vision encoder '{name}': '{path}' is no VC-1: {reason}", ELSEWHERE) from error
    strange = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if strange:
        raise UsageProblem(f"vision encoder '{name}': '{path}' is no VC-1: {strange[0]} does not fit", ELSEWHERE)
    return model


def _file(place: str, name: str) -> Path:
    """The weights' file, from here or from the hub."""
    path = Path(place).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = [path / file for file in FILES if (path / file).is_file()]
        if not found:
            raise UsageProblem(f"vision encoder '{name}': '{path}' holds none of {', '.join(FILES)}", ELSEWHERE)
        return found[0]
    if place.startswith(("/", ".", "~")) or place.count("/") != 1:
        raise UsageProblem(f"vision encoder '{name}': there is no file '{place}'", ELSEWHERE)
    try:
        return Path(hf_hub_download(place, FILES[0]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise UsageProblem(f"vision encoder '{name}' cannot be had from the hub: {reason}", ELSEWHERE) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    """The encoder's tensors, without running anything in the file; the decoder it was trained with is left out."""
    if path.suffix == ".safetensors":
        held: Any = load_file(path)
    else:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the settings it was trained with
            held = torch.load(path, map_location="cpu", weights_only=True)
    held = held.get("model", held)
    return {key: tensor for key, tensor in held.items() if "decoder" not in key and key != "mask_token"}


def _config(released: Mapping[str, Tensor]) -> ViTConfig:
    """Sizes, from the shapes."""
    hidden, _, patch, _ = released["patch_embed.proj.weight"].shape
    grid = math.isqrt(released["pos_embed"].shape[1] - 1)
    return ViTConfig(
        hidden_size=hidden,
        intermediate_size=released["blocks.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=1 + max(int(key.split(".")[1]) for key in released if key.startswith("blocks.")),
        num_attention_heads=hidden // HEAD_SIZE,
        image_size=grid * patch,
        patch_size=patch,
        layer_norm_eps=1e-6,
    )


def _renamed(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under transformers' names, queries, keys and values apart."""
    renamed = {}
    for key, tensor in released.items():
        block, kind = re.match(r"(?:blocks\.(\d+)\.)?(.*)", key).groups()
        inside = f"encoder.layer.{block}." if block else ""
        module, dot, parameter = kind.rpartition(".")
        if module == "attn.qkv":
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"{inside}attention.attention.{part}.{parameter}"] = third
        elif dot:
            renamed[f"{inside}{NAMES[module]}.{parameter}"] = tensor
        else:
            renamed[NAMES[kind]] = tensor
    return renamed
