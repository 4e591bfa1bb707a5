"""Plugins of others are held to what they say of themselves, on one picture and one token, before anything is built
on it. Those of llarp are tested."""

from __future__ import annotations

import numpy as np
import torch

from llarp_cli import registry
from llarp_cli.backbones.contract import Backbone
from llarp_cli.errors import LlarpError
from llarp_cli.vision.contract import VisionEncoder

REPORT = "report it to the plugin's author"


@torch.no_grad()
def check_backbone(name: str, backbone: Backbone) -> None:
    """Read two words and one observation token.

    Raises:
        LlarpError: naming the plugin, its hidden states are not of its hidden size.
    """
    plugin = registry.find("backbone", name)
    if plugin.distribution == registry.OWN_DISTRIBUTION:
        return
    size = backbone.hidden_size
    try:
        token = torch.zeros(1, size, device=backbone.device)
        given = list(backbone.forward(token, [1], backbone.encode(["go on"])).shape)
    except Exception as error:
        raise LlarpError(
            f"{plugin.where} says that its hidden size is {size}, and fails on a token of that size: {_line(error)}",
            REPORT,
        ) from error
    if given != [1, size]:
        raise LlarpError(f"{plugin.where} says that its hidden size is {size}, and gives {given} for a token", REPORT)


@torch.no_grad()
def check_encoder(name: str, encoder: VisionEncoder) -> None:
    """See one black picture.

    Raises:
        LlarpError: naming the plugin, its features are not of the form it says.
    """
    plugin = registry.find("vision encoder", name)
    if plugin.distribution == registry.OWN_DISTRIBUTION:
        return
    promised = [1, encoder.tokens, encoder.feature_size]
    try:
        seen = encoder.perceive(np.zeros((1, encoder.image_size, encoder.image_size, 3), np.uint8))
        given = list((seen if encoder.trained is None else encoder.trained(seen)).shape)
    except Exception as error:
        raise LlarpError(f"{plugin.where} fails on a picture of its size: {_line(error)}", REPORT) from error
    if given != promised:
        raise LlarpError(f"{plugin.where} says that its features are {promised}, and gives {given}", REPORT)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
