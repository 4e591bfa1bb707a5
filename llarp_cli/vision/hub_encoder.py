"""The encoder behind `hf:` vision models: pictures in, one pooled token or a grid of patch tokens out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
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

PICTURES_AT_ONCE = 64
ELSEWHERE = "download it with `hf download` and write vision.weights=FOLDER, or choose another vision.name"


@dataclass(frozen=True)
class Preparation:
    """What the model expects of a picture.

    Attributes:
        side: pixels.
        mean, std: per channel, of values in [0, 1].
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class HubEncoder:
    """A frozen vision model of transformers; fulfils `VisionEncoder`.

    One token is the model's own pooled output, or its class token where the checkpoint has no pooling
    weights; K = n² tokens are its patches averaged over an n × n grid.

    Args:
        model: in evaluation mode.
        pooled: whether the model's own pooled output can be used.
        preparation: what it expects of a picture.
        options: of the recipe; pictures of another size than the model's are resized.
        weights: where the weights came from.

    Raises:
        UsageProblem: K is not a square, or larger than the model's grid of patches.
    """

    renderer = None
    trained = None

    def __init__(self, model: nn.Module, pooled: bool, preparation: Preparation, options: VisionOptions, weights: str):
        self._model = model.eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        self._pooled = pooled
        self._side = preparation.side
        self._mean = torch.tensor(preparation.mean, device=self._device)[:, None, None]
        self._std = torch.tensor(preparation.std, device=self._device)[:, None, None]
        self.name = options.name
        self.weights = weights
        self.hash = hash_weights(model)
        self.image_size = options.image_size
        self.tokens = options.tokens
        grid = math.isqrt(options.tokens)
        if grid * grid != options.tokens:
            raise UsageProblem(
                f"vision.tokens = {options.tokens}: '{self.name}' gives 1 token or a square grid of them",
                "write vision.tokens=1, 4, 9 or 16",
            )
        blank = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        self.feature_size = self.perceive(blank).shape[-1]

    @classmethod
    def load(cls, source: str, options: VisionOptions, device: Any) -> HubEncoder:
        """From the hub or a folder.

        Args:
            source: ORG/NAME or a path.
            options: of the recipe; `weights` in place of the source, or "random".
            device: of the model.

        Raises:
            UsageProblem: it cannot be had, or is no vision model.
        """
        from transformers import AutoConfig, AutoModel

        place = options.weights if options.weights not in (None, "random") else source
        folder = Path(place).expanduser()
        if folder.exists():
            place = str(folder)
        elif place.startswith(("/", ".", "~")):
            raise UsageProblem(f"vision encoder '{options.name}': there is no folder '{place}'", ELSEWHERE)
        access = {"local_files_only": _out_of_reach(place)}
        # Transformers draws what a checkpoint lacks: the same each time, and not at the caller's expense.
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                config = AutoConfig.from_pretrained(place, **access)
                config = getattr(config, "vision_config", config)  # CLIP and SigLIP come with a text half
                if options.weights == "random":
                    model, missing = AutoModel.from_config(config), set()
                else:
                    model, report = AutoModel.from_pretrained(place, config=config, output_loading_info=True, **access)
                    missing = set(report["missing_keys"])
                preparation = _preparation(place, access, config, optional=options.weights == "random")
            except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
                reason = (str(error).strip() or repr(error)).split("\n", 1)[0]
                raise UsageProblem(f"vision encoder '{options.name}' cannot be loaded: {reason}", ELSEWHERE) from error
        if model.main_input_name != "pixel_values":
            raise UsageProblem(f"'{place}' is a {config.model_type}, which sees no pictures", "choose a vision model")
        unpooled = {key for key in missing if "pooler" in key or key.startswith("head.")}
        if missing - unpooled:
            raise UsageProblem(
                f"vision encoder '{options.name}' lacks weights, such as {min(missing - unpooled)}", ELSEWHERE
            )
        for name in unpooled:  # drawn at random, and not used: keep them out of the hash
            nn.init.zeros_(model.get_parameter(name))
        return cls(model.to(device), not unpooled, preparation, options, options.weights or source)

    @torch.no_grad()
    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Half-precision features [B, K, F] of pictures [B, H, W, 3]."""
        pictures = torch.as_tensor(rgb).split(PICTURES_AT_ONCE)
        return torch.cat([self._features(self._prepared(part)).half() for part in pictures])

    def _prepared(self, rgb: Tensor) -> Tensor:
        pixels = rgb.to(self._device).permute(0, 3, 1, 2).float() / 255
        if pixels.shape[-1] != self._side:
            pixels = functional.interpolate(pixels, size=self._side, mode="bilinear", antialias=True)
        return (pixels - self._mean) / self._std

    def _features(self, pixels: Tensor) -> Tensor:
        output = self._model(pixel_values=pixels)
        if self.tokens == 1 and self._pooled and output.pooler_output is not None:
            return output.pooler_output.flatten(1)[:, None]
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


def _preparation(place: str, access: dict[str, Any], config: Any, *, optional: bool) -> Preparation:
    """Size, mean and standard deviation from the model's preprocessor file. Read directly, because
    transformers' own preprocessors want torchvision."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(place, **access)
    except OSError:
        if not optional:
            raise
        settings = {}
    size = settings.get("crop_size") if settings.get("do_center_crop", True) else None
    size = size or settings.get("size") or config.image_size
    if isinstance(size, dict):
        size = size.get("height") or size["shortest_edge"]
    side = size if isinstance(size, int) else size[0]
    mean, std = settings.get("image_mean", [0.5] * 3), settings.get("image_std", [0.5] * 3)
    return Preparation(side, tuple(mean), tuple(std))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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
