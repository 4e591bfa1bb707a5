"""From a recipe to a policy with fresh trained parameters around the recipe's frozen parts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from llarp_cli import registry
from llarp_cli.backbones.contract import Backbone
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.contract import Place
from llarp_cli.policy.llarp import LLaRPPolicy
from llarp_cli.policy.lstm import LSTMPolicy
from llarp_cli.policy.promises import check_backbone, check_encoder
from llarp_cli.policy.transformer import TransformerPolicy
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.repertoire import Repertoire
from llarp_cli.vision.contract import VisionEncoder

LearnedPolicy = LLaRPPolicy | LSTMPolicy | TransformerPolicy

INSTRUCTION_TOKENS = 64
"""What a context must hold beside an episode; the benchmark's longest sentences stay below it."""


def build_policy(
    recipe: Recipe, device: Any, *, world: Place | None = None, repertoire: Repertoire = REPERTOIRE
) -> LearnedPolicy:
    """Build the recipe's policy, its trained parameters drawn from `recipe.seed`.

    It stays in evaluation mode, in updates too: PPO compares how likely an action is now with how likely it was when it
    was taken, which neither dropout nor a batch's statistics may change.

    Args:
        recipe: what to build.
        device: torch device.
        world: where it will act. Names the vision encoder where the recipe does not, and must be what that
            encoder was trained on. None imports no environment but the recipe's own, for that name alone.
        repertoire: what it chooses from.

    Raises:
        UsageProblem: a part is unknown or cannot be had, or the parts do not fit each other.
    """
    device = torch.device(device)
    encoder = _load_encoder(recipe, device, world)
    if world is not None:
        check_renderer(encoder, world)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2 * recipe.seed + 1)
        backbone: Backbone = registry.build("backbone", recipe.backbone.name, recipe.backbone, device)
    if recipe.reads_with_backbone:
        check_backbone(recipe.backbone.name, backbone)
    _check_updates(recipe, backbone)
    _check_context(recipe, backbone, repertoire)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2 * recipe.seed + 1)
        policy: LearnedPolicy
        if recipe.policy == "lstm":
            policy = LSTMPolicy(backbone, encoder, recipe.adapter, recipe.lstm, repertoire)
        elif recipe.policy == "transformer":
            policy = TransformerPolicy(backbone, encoder, recipe.adapter, recipe.transformer, repertoire)
        else:
            policy = LLaRPPolicy(backbone, encoder, recipe.adapter, repertoire)
    policy.eval()
    for module in policy.modules():
        if isinstance(module, nn.RNNBase):
            module.train()  # cuDNN gives it gradients in no other mode; ours drop nothing
    return policy


def check_renderer(encoder: VisionEncoder, world: Place) -> None:
    """Refuse pictures that the encoder was not trained on.

    Raises:
        UsageProblem: they differ.
    """
    if encoder.renderer is not None and encoder.renderer != world.version:
        raise UsageProblem(
            f"vision encoder '{encoder.name}' ({encoder.weights}) was trained on pictures of version "
            f"'{encoder.renderer}', and environment '{world.name}' draws version '{world.version}'",
            "train one: llarp pretrain-vision --out FILE, then vision.weights=FILE",
        )


def _load_encoder(recipe: Recipe, device: torch.device, world: Place | None) -> VisionEncoder:
    options = recipe.vision
    if options.name is None:
        place = world or registry.load("environment", recipe.environment)
        options = options.model_copy(update={"name": place.vision})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2 * recipe.seed)
        encoder: VisionEncoder = registry.build("vision encoder", options.name, options, device)
    check_encoder(options.name, encoder)
    for key in ("image_size", "tokens"):
        given, wanted = getattr(options, key), getattr(encoder, key)
        if given != wanted:
            raise UsageProblem(
                f"vision.{key} = {given}: vision encoder '{options.name}' has {wanted}", f"write vision.{key}={wanted}"
            )
    return encoder


def _check_updates(recipe: Recipe, backbone: Backbone) -> None:
    rank = recipe.backbone.lora.rank
    if rank and recipe.policy != "llarp":
        raise UsageProblem(
            f"backbone.lora.rank = {rank}: policy '{recipe.policy}' leaves its backbone as it is",
            "leave backbone.lora out",
        )
    if rank and backbone.trained is None:
        raise UsageProblem(
            f"backbone.lora.rank = {rank}: backbone '{recipe.backbone.name}' cannot be trained",
            "leave backbone.lora out",
        )


def _check_context(recipe: Recipe, backbone: Backbone, repertoire: Repertoire) -> None:
    if recipe.policy != "llarp":
        return
    per_step = recipe.vision.tokens + recipe.adapter.action_tokens
    steps = repertoire.steps + 1
    needed = INSTRUCTION_TOKENS + steps * per_step
    if needed > backbone.context_length:
        raise UsageProblem(
            f"{steps} observations of {per_step} tokens and an instruction of {INSTRUCTION_TOKENS} "
            f"are {needed} tokens; backbone '{recipe.backbone.name}' holds {backbone.context_length}",
            "lower vision.tokens or adapter.action_tokens, or choose another backbone",
        )
