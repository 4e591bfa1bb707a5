"""The network behind the `home` vision encoder, and its file format."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from llarp_cli.errors import LlarpError, UsageProblem

FEATURES = 256
PICTURES_AT_ONCE = 16
"""Few enough that activations stay in a core's cache; measured 20% faster than 128 at once."""
RETRAIN = "llarp pretrain-vision --out FILE trains one; give it as vision.weights=FILE"


class HomeNet(nn.Module):
    """Convolutions from a picture to an 8 x 8 map of features (at 128 pixels).

    Small objects are a handful of pixels wide, so the first two layers keep half and quarter resolution.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 2, 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 96, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(96, 128, 3, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, FEATURES, 1),
        )
        self.register_buffer("feature_mean", torch.zeros(FEATURES))
        self.register_buffer("feature_std", torch.ones(FEATURES))

    def forward(self, pixels: Tensor) -> Tensor:
        """Feature map [B, 256, H/16, W/16] of pixels [B, 3, H, W] in [-1, 1]."""
        return self.layers(pixels)

    def pooled(self, feature_map: Tensor, tokens: int) -> Tensor:
        """[B, K, 256]: the maximum over each of K squares, row by row, standardised on the training pictures."""
        return (resampled(feature_map, tokens) - self.feature_mean) / self.feature_std


def resampled(feature_map: Tensor, tokens: int) -> Tensor:
    """[B, K, F]: the maximum of a map [B, F, G, G] over each of K = n² squares, row by row. Squares share a row or
    column of cells where n does not divide G, so that none is left out."""
    return functional.adaptive_max_pool2d(feature_map, math.isqrt(tokens)).flatten(2).transpose(1, 2)


def to_pixels(rgb: NDArray[np.uint8] | Tensor, device: Any) -> Tensor:
    """Pictures uint8 [B, H, W, 3] to float [B, 3, H, W] in [-1, 1], channels last in memory."""
    pictures = torch.as_tensor(rgb, device=device).permute(0, 3, 1, 2)
    return pictures.to(torch.float32, memory_format=torch.channels_last).mul_(2 / 255).sub_(1)


class HomeEncoder:
    """Frozen `HomeNet`; fulfils `VisionEncoder`."""

    name = "home"
    trained = None
    feature_size = FEATURES

    def __init__(self, net: HomeNet, weights: str, file_hash: str, renderer: str | None, image_size: int, tokens: int):
        self._net = _taking_bytes(net.eval().requires_grad_(False)).to(memory_format=torch.channels_last)
        self._device = next(net.parameters()).device
        fused = self._device.type == "cpu" and torch.backends.mkldnn.is_available()
        self._feature_map = FusedLayers(self._net.layers) if fused else self._net
        self.weights = weights
        self.hash = file_hash
        self.renderer = renderer
        self.image_size = image_size
        self.tokens = tokens

    @classmethod
    def load(cls, weights: str, image_size: int, tokens: int, device: Any) -> HomeEncoder:
        """From a safetensors file written by `save_encoder`, or "random".

        Raises:
            UsageProblem: no such file, or not an encoder of this kind.
        """
        net = HomeNet()
        if weights == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                net = HomeNet()
            return cls(net.to(device), "random", "random", None, image_size, tokens)
        path = Path(weights)
        if not path.is_file():
            raise UsageProblem(f"vision weights '{weights}' do not exist", RETRAIN)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            net.load_state_dict(state)
        except (SafetensorError, RuntimeError) as error:
            raise UsageProblem(f"vision weights '{weights}' are not a home encoder's", RETRAIN) from error
        except OSError as error:
            raise UsageProblem(f"vision weights '{weights}' cannot be read: {error.strerror}", RETRAIN) from error
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shown = "shipped" if path.parent == Path(__file__).parent / "weights" else weights
        return cls(net.to(device), shown, digest, metadata.get("renderer"), image_size, tokens)

    @torch.no_grad()
    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Half-precision features [B, K, 256] of pictures [B, H, W, 3]."""
        bytes_ = torch.as_tensor(rgb, device=self._device).permute(0, 3, 1, 2)
        chunk = PICTURES_AT_ONCE if self._device.type == "cpu" else len(bytes_)
        features = [
            self._net.pooled(self._feature_map(part.to(torch.float32, memory_format=torch.channels_last)), self.tokens)
            for part in bytes_.split(max(chunk, 1))
        ]
        return torch.cat(features).to(torch.float16)


class FusedLayers:
    """`HomeNet`'s layers on a CPU: weights laid out once, each ReLU done while its convolution writes.

    Gives the same numbers in 9% less time. oneDNN's own operators, which torch's compiler uses too.
    """

    def __init__(self, layers: nn.Sequential):
        following = [*layers[1:], None]
        self._convolutions = [
            (
                torch.ops.mkldnn._reorder_convolution_weight(
                    layer.weight, layer.padding, layer.stride, layer.dilation, layer.groups, []
                ),
                layer,
                "relu" if isinstance(after, nn.ReLU) else "none",
            )
            for layer, after in zip(layers, following, strict=True)
            if isinstance(layer, nn.Conv2d)
        ]

    def __call__(self, pixels: Tensor) -> Tensor:
        """As `HomeNet.forward`."""
        x = pixels
        for weight, layer, then in self._convolutions:
            x = torch.ops.mkldnn._convolution_pointwise(
                x, weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups, then, [], ""
            )
        return x


def _taking_bytes(net: HomeNet) -> HomeNet:
    """Fold `to_pixels`' scaling into the first layer, which has no padding, to spare two passes."""
    first = net.layers[0]
    first.bias -= first.weight.sum((1, 2, 3))
    first.weight *= 2 / 255
    return net


def check_writable(path: Path) -> None:
    """Refuse a place where `save_encoder` would fail.

    Raises:
        UsageProblem: nothing can be written there.
    """
    try:
        _temporary(path).touch()
        _temporary(path).unlink()
    except OSError as error:
        raise UsageProblem(f"'{path}' cannot be written: {error.strerror}", "choose another place") from error


def save_encoder(net: HomeNet, path: Path, *, renderer: str, training: dict[str, Any]) -> None:
    """Write the encoder with the renderer's version and what it was trained with, whole or not at all.

    Raises:
        LlarpError: it cannot be written.
    """
    from safetensors.torch import save

    metadata = {"format": "llarp-home-encoder-1", "renderer": renderer, "training": json.dumps(training)}
    data = save({key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}, metadata)
    try:
        _temporary(path).write_bytes(_in_order(data))
        os.replace(_temporary(path), path)
    except OSError as error:
        raise LlarpError(f"'{path}' cannot be written: {error.strerror}") from error
    finally:
        _temporary(path).unlink(missing_ok=True)


def _in_order(data: bytes) -> bytes:
    """A safetensors file with its header's keys sorted: safetensors writes metadata in an order that changes from
    process to process, and the same encoder should have the same hash."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")
