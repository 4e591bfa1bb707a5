"""The encoder behind `hf:` vision models: pictures in, one pooled token or a grid of patch tokens out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from llarp_cli.backbones.frozen import hash_weights
from llarp_cli.config import VisionOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.vision.hub import TransformersVision
from llarp_cli.vision.preparation import Preparation

PICTURES_AT_ONCE_ON_CPU, PICTURES_AT_ONCE = 64, 256

ELSEWHERE = "download it with `hf download` and write vision.weights=FOLDER, or choose another vision.name"

RESAMPLING = {0: "nearest-exact", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which preprocessor files hold → torch's names; torch has no Lanczos."""


CONVNEXT_CROP, UNCROPPED = 224 / 256, 384
"""The part of a picture's side that ConvNeXt's preprocessor keeps where its file does not say, and the side from which
on it keeps all."""


class HubEncoder:
    """A frozen vision model of transformers; fulfils `VisionEncoder`.

    One token is the model's own pooled output, or its class token where the checkpoint has no pooling
    weights; K = n² tokens are its patches averaged over an n × n grid.

    On a GPU the model computes in half precision; its hash is that of the weights as they are stored.

    Args:
        model: as stored, in float32.
        pooled: whether the model's own pooled output can be used.
        preparation: what it expects of a picture.
        options: of the recipe; pictures of another size than the model's are resized.
        weights: where the weights came from.
        device: where it goes; None leaves it where it is.

    Raises:
        UsageProblem: K is not a square, or larger than the model's grid of patches; or it takes no such pictures.
    """

    renderer = None
    trained = None

    def __init__(
        self,
        model: nn.Module,
        pooled: bool,
        preparation: Preparation,
        options: VisionOptions,
        weights: str,
        device: Any = None,
    ):
        self.name = options.name or weights
        self.weights = weights
        self.hash = hash_weights(model)
        self.image_size = options.image_size
        self.tokens = options.tokens
        self._model = model.eval().requires_grad_(False).to(device)
        self._device = next(model.parameters()).device
        if self._device.type == "cuda":
            self._model.to(torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16)
        self._pooled = pooled
        self._preparation = preparation
        self._mean = torch.tensor(preparation.mean, device=self._device)[:, None, None]
        self._std = torch.tensor(preparation.std, device=self._device)[:, None, None]
        grid = math.isqrt(options.tokens)
        if grid * grid != options.tokens:
            raise UsageProblem(
                f"vision.tokens = {options.tokens}: '{self.name}' gives 1 token or a square grid of them",
                "write vision.tokens=1, 4, 9 or 16",
            )
        blank = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        try:
            self.feature_size = self.perceive(blank).shape[-1]
        except (RuntimeError, ValueError) as error:
            side = preparation.side
            raise UsageProblem(
                f"vision encoder '{self.name}' takes no pictures of {side} x {side} pixels: {_first_line(error)}",
                "choose another vision.name",
            ) from error

    @classmethod
    def load(cls, plugin: TransformersVision, options: VisionOptions, device: Any) -> HubEncoder:
        """From the hub or a folder, or random weights.

        Args:
            plugin: what it is.
            options: of the recipe; `weights` in place of the plugin's, or "random".
            device: of the model.

        Raises:
            UsageProblem: it cannot be had, or is no vision model.
        """
        from transformers import AutoConfig, AutoModel

        random = options.weights == "random"
        place = plugin.weights if random or options.weights is None else options.weights
        folder = Path(place).expanduser()
        if folder.exists():
            place = str(folder)
        elif place.startswith(("/", ".", "~")):
            raise UsageProblem(f"vision encoder '{options.name}': there is no folder '{place}'", ELSEWHERE)
        # Transformers draws what a checkpoint lacks: the same each time, and not at the caller's expense.
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                if random and plugin.architecture:
                    config, access = AutoConfig.for_model(**plugin.architecture), None
                else:
                    access = {"local_files_only": _out_of_reach(place)}
                    config = AutoConfig.from_pretrained(place, **access)
                    config = getattr(config, "vision_config", config)  # CLIP and SigLIP come with a text half
                if random:
                    model, missing = AutoModel.from_config(config), set()
                else:
                    model, report = AutoModel.from_pretrained(
                        place, config=config, dtype=torch.float32, output_loading_info=True, **access
                    )
                    missing = set(report["missing_keys"])
                stated = plugin.preparation
                if access is not None:
                    stated = _preparation(place, access, config, stated, optional=random)
            except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
                raise UsageProblem(
                    f"vision encoder '{options.name}' cannot be loaded: {_first_line(error)}", ELSEWHERE
                ) from error
        if model.main_input_name != "pixel_values":
            raise UsageProblem(f"'{place}' is a {config.model_type}, which sees no pictures", "choose a vision model")
        if getattr(config, "mask_ratio", 0):
            raise UsageProblem(
                f"'{place}' is a {config.model_type}, which leaves parts of each picture out by chance",
                "choose another vision.name; vc1 is a masked autoencoder's encoder that sees all",
            )
        unpooled = {key for key in missing if "pooler" in key or key.startswith("head.")}
        if missing - unpooled:
            raise UsageProblem(
                f"vision encoder '{options.name}' lacks weights, such as {min(missing - unpooled)}", ELSEWHERE
            )
        for name in unpooled:  # drawn at random, and not used: keep them out of the hash
            nn.init.zeros_(model.get_parameter(name))
        return cls(model, not unpooled, stated, options, options.weights or plugin.weights, device)

    @torch.no_grad()
    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Half-precision features [B, K, F] of pictures [B, H, W, 3]."""
        at_once = PICTURES_AT_ONCE_ON_CPU if self._device.type == "cpu" else PICTURES_AT_ONCE
        pictures = torch.as_tensor(rgb).split(at_once)
        return torch.cat([self._features(self._prepared(part)).half() for part in pictures])

    def _prepared(self, rgb: Tensor) -> Tensor:
        """The model's input [B, 3, side, side] of pictures uint8 [B, H, W, 3]."""
        wanted = self._preparation
        pixels = rgb.to(self._device).permute(0, 3, 1, 2).float() / 255
        resized = wanted.resized or wanted.side
        if pixels.shape[-1] != resized:
            smooth = wanted.interpolation != "nearest-exact"
            pixels = functional.interpolate(pixels, size=resized, mode=wanted.interpolation, antialias=smooth)
            pixels = pixels.clamp(0, 1)  # bicubic overshoots, and 8 bits cannot
        border = (resized - wanted.side) // 2
        pixels = pixels[..., border : border + wanted.side, border : border + wanted.side]
        return ((pixels - self._mean) / self._std).to(self._model.dtype)

    def _features(self, pixels: Tensor) -> Tensor:
        output = self._model(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)  # some families have none
        if self.tokens == 1 and self._pooled and pooled is not None:
            return pooled.flatten(1)[:, None]
        hidden = output.last_hidden_state
        if hidden.dim() == 4:  # convolutional models give a map [B, F, h, w]
            patches = hidden
        else:
            side = math.isqrt(hidden.shape[1])
            if self.tokens == 1 and hidden.shape[1] > side * side:
                return hidden[:, :1]
            # Class and register tokens come before the patches.
            patches = hidden[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
        grid = math.isqrt(self.tokens)
        if grid > patches.shape[-1]:
            raise UsageProblem(
                f"vision.tokens = {self.tokens}: '{self.name}' has only {patches.shape[-1] ** 2} patches",
                f"write vision.tokens={patches.shape[-1] ** 2} or fewer",
            )
        return functional.adaptive_avg_pool2d(patches, grid).flatten(2).transpose(1, 2)


def _out_of_reach(place: str) -> bool:
    """Whether only the hub's cache can serve. Asked once: transformers would retry for half a minute."""
    if Path(place).exists():
        return False
    try:
        HfApi().model_info(place, timeout=10)
    except (HfHubHTTPError, HFValidationError):
        return False  # the hub answered, or it is no name for it; transformers says what is wrong
    except Exception:  # the class depends on the hub's HTTP library
        return True
    return False


def _preparation(
    place: str, access: dict[str, Any], config: Any, otherwise: Preparation | None, *, optional: bool
) -> Preparation:
    """What the model's preprocessor file says. Read directly, because transformers' own preprocessors want
    torchvision.

    Args:
        otherwise: for a model that comes without such a file.
        optional: the file may be missing all the same.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(place, **access)
    except OSError:
        if otherwise is not None:
            return otherwise
        if not optional:
            raise
        settings = {}
    resized = _side(settings.get("size")) or _side(config.image_size)
    side = resized
    kind = str(settings.get("image_processor_type") or settings.get("feature_extractor_type"))
    if kind.startswith("ConvNext") and side < UNCROPPED:  # ResNets' too
        resized = int(side / (settings.get("crop_pct") or CONVNEXT_CROP))
    if settings.get("do_center_crop", "crop_size" in settings):
        side = _side(settings.get("crop_size")) or resized
    if not settings.get("do_resize", True) or side > resized:
        resized = side
    if not settings.get("do_normalize", True):
        settings |= {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    mean, std = settings.get("image_mean", [0.5] * 3), settings.get("image_std", [0.5] * 3)
    interpolation = RESAMPLING[settings.get("resample", 2)]
    return Preparation(side, tuple(mean), tuple(std), resized=resized, interpolation=interpolation)


def _side(size: Any) -> int | None:
    """Pixels, of the ways in which files write a size."""
    if isinstance(size, dict):
        return size.get("height") or size.get("shortest_edge")
    return size if size is None or isinstance(size, int) else size[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).split("\n", 1)[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' reports on unused text halves and absent torchvision."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
