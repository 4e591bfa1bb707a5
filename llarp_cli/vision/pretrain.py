"""Training of the home's vision encoder on renders of training homes, and its report on unseen ones.

Linear heads name, from the pooled feature: the categories within reach, the category held, the
standing pose, and whether what is at hand is open; and, from each cell of the feature map, the
categories in it, without which rare small things take very long to be told apart. Held-out
categories are left out of every loss, neither shown as present nor as absent; their figures come
from linear probes fitted afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, HELD_OUT_CATEGORIES, JOINTS, TARGETS
from llarp_cli.vision.home_encoder import FEATURES, HomeNet, save_encoder, to_pixels
from llarp_cli.vision.views import Views, ViewSampler

HELD_OUT = [CATEGORIES.index(name) for name in HELD_OUT_CATEGORIES]
TRAINED = [i for i in range(len(CATEGORIES)) if i not in HELD_OUT]
NOTHING = len(CATEGORIES)
CLEARLY_VISIBLE = 20
"""Pixels (at 128 x 128) from which an object counts in the report."""


@dataclass(frozen=True)
class PretrainOptions:
    """What `llarp pretrain-vision` may be told.

    Attributes:
        pictures: to train on in all.
        image_size: side, pixels.
        homes: training homes.
        objects: in each home.
        batch: pictures per update.
        lr: peak of the one-cycle schedule.
    """

    pictures: int = 230_000
    image_size: int = 128
    homes: int = 1000
    objects: int = 35
    batch: int = 64
    lr: float = 3e-3
    seed: int = 0


class Heads(nn.Module):
    """Linear readouts of the pooled feature, thrown away after training."""

    def __init__(self):
        super().__init__()
        self.cells = nn.Conv2d(FEATURES, len(CATEGORIES), 1)
        self.normalise = nn.BatchNorm1d(FEATURES, affine=False)
        self.in_reach = nn.Linear(FEATURES, len(CATEGORIES))
        self.held = nn.Linear(FEATURES, len(CATEGORIES) + 1)
        self.stands_at = nn.Linear(FEATURES, len(TARGETS))
        self.opened = nn.Linear(FEATURES, len(JOINTS))

    def loss(self, feature_map: Tensor, views: Views) -> Tensor:
        """Sum of the masked losses for feature maps [B, 256, G, G]."""
        feature = self.normalise(whole(feature_map))
        cells = torch.from_numpy(views.cells).to(feature.device)
        cells[..., HELD_OUT] = -1
        in_reach = torch.from_numpy(views.in_reach).to(feature.device).clone()
        in_reach[:, HELD_OUT] = -1
        held = torch.from_numpy(views.held).to(feature.device)
        stands_at = torch.from_numpy(views.stands_at).to(feature.device)
        opened = torch.from_numpy(views.opened).to(feature.device)
        named = torch.isin(held, torch.tensor(HELD_OUT, device=held.device), invert=True)
        logits = self.held(feature)
        known = torch.full_like(logits, float("-inf"))
        known[:, [*TRAINED, NOTHING]] = logits[:, [*TRAINED, NOTHING]]
        # A held-out category in the hand still teaches that the hand is not empty.
        something = known[:, TRAINED].logsumexp(1) - known[:, NOTHING]
        return (
            100 * _masked_bce(self.cells(feature_map).permute(0, 2, 3, 1), cells)
            + 10 * _masked_bce(self.in_reach(feature), in_reach)
            + functional.cross_entropy(known[named], held[named])
            + functional.binary_cross_entropy_with_logits(something, (held != NOTHING).float())
            + 2 * functional.binary_cross_entropy_with_logits(self.stands_at(feature), stands_at)
            + _masked_bce(self.opened(feature), opened)
        )


def whole(feature_map: Tensor) -> Tensor:
    """The maximum of each feature over the picture, [B, 256]."""
    return feature_map.amax((2, 3))


def _normalised(net: HomeNet) -> HomeNet:
    """The network with batch normalisation after every convolution but the last, for training only."""
    layers: list[nn.Module] = []
    for layer in net.layers:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d) and layer.out_channels != FEATURES:
            layers.append(nn.BatchNorm2d(layer.out_channels))
    net.layers = nn.Sequential(*layers)
    return net


@torch.no_grad()
def _fold_normalisation(net: HomeNet) -> None:
    """Put each batch normalisation into the convolution before it."""
    layers: list[nn.Module] = []
    for layer in net.layers:
        layers.append(fuse_conv_bn_eval(layers.pop(), layer) if isinstance(layer, nn.BatchNorm2d) else layer)
    net.layers = nn.Sequential(*layers)


def _masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels >= 0
    total = functional.binary_cross_entropy_with_logits(logits[known], labels[known], reduction="sum")
    return total / known.sum().clamp(min=1)


def pretrain_vision(
    world: World, out: Path, options: PretrainOptions, progress: Callable[[int, int, float], None]
) -> dict[str, Any]:
    """Train an encoder, write it to `out`, and return its report.

    Args:
        progress: called with pictures so far, pictures in all and the running loss.
    """
    torch.manual_seed(options.seed)
    net = _normalised(HomeNet()).to(memory_format=torch.channels_last)
    heads = Heads()
    updates = max(options.pictures // options.batch, 1)
    optimizer = torch.optim.AdamW([*net.parameters(), *heads.parameters()], lr=options.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, updates, pct_start=0.1)
    scenes = [world.train_scene(index) for index in range(options.homes)]
    sampler = ViewSampler(world, scenes, options.batch, options.image_size, options.objects, options.seed)
    running, started = 0.0, time.perf_counter()
    for update in range(updates):
        views = sampler.sample()
        loss = heads.loss(net(to_pixels(views.rgb, "cpu")), views)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if update == 0 else 0.98 * running + 0.02 * loss.item()
        progress((update + 1) * options.batch, updates * options.batch, running)
    net.eval()
    heads.eval()
    _fold_normalisation(net)
    net.feature_mean.copy_(heads.normalise.running_mean)
    net.feature_std.copy_((heads.normalise.running_var + 1e-5).sqrt())
    report = {
        "renderer": world.version,
        "pictures": updates * options.batch,
        "image_size": options.image_size,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "unseen_homes": assess(net, heads, world, options),
    }
    save_encoder(net, out, renderer=world.version, report=report)
    return report


@torch.no_grad()
def assess(net: HomeNet, heads: Heads, world: World, options: PretrainOptions, rounds: int = 32) -> dict[str, Any]:
    """Accuracy on the test homes, none of which was trained on.

    Returns:
        "held": accuracy of the held category (training categories and nothing); "stands_at": share of
        pictures whose standing pose is named right; "opened"; "in_reach": average precision by category over
        objects of at least 20 pixels; "mean_average_precision" over training categories; "held_out_probe": the
        same for held-out categories through linear probes fitted on the first half; "pictures".
    """
    sampler = ViewSampler(world, world.test_scenes(), 128, options.image_size, options.objects, options.seed + 1)
    features, seen = [], []
    for _ in range(rounds):
        views = sampler.sample()
        features.append(heads.normalise(whole(net(to_pixels(views.rgb, "cpu")))))
        seen.append(views)
    feature = torch.cat(features)
    labels = np.concatenate([views.in_reach for views in seen])
    largest = np.concatenate([views.largest for views in seen])
    held = torch.from_numpy(np.concatenate([views.held for views in seen]))
    stands_at = torch.from_numpy(np.concatenate([views.stands_at for views in seen]))
    opened = torch.from_numpy(np.concatenate([views.opened for views in seen]))
    labels = np.where((labels != 0) & (largest < CLEARLY_VISIBLE), -1, labels)
    scores = heads.in_reach(feature).numpy()
    precision = {CATEGORIES[i]: round(average_precision(scores[:, i], labels[:, i]), 4) for i in TRAINED}
    held_scores = heads.held(feature)
    held_scores[:, HELD_OUT] = float("-inf")
    nameable = torch.isin(held, torch.tensor(HELD_OUT), invert=True)
    standing = stands_at.sum(1) > 0
    chosen = heads.stands_at(feature).argmax(1)
    return {
        "pictures": len(feature),
        "held": round(float((held_scores.argmax(1) == held)[nameable].float().mean()), 4),
        "stands_at": round(float(stands_at[torch.arange(len(chosen)), chosen][standing].mean()), 4),
        "opened": round(float(((heads.opened(feature) > 0) == (opened > 0))[opened >= 0].float().mean()), 4),
        "in_reach": precision,
        "mean_average_precision": round(float(np.nanmean(list(precision.values()))), 4),
        "held_out_probe": _held_out_probe(feature, labels),
    }


def _held_out_probe(feature: Tensor, labels: NDArray[np.float32]) -> dict[str, float]:
    """Average precision of logistic probes for held-out categories: fitted on one half, scored on the other."""
    half = len(feature) // 2
    result = {}
    for index in HELD_OUT:
        target = torch.from_numpy(labels[:, index])
        known = target[:half] >= 0
        probe = nn.Linear(FEATURES, 1)
        optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=50)

        def closure(probe=probe, known=known, target=target, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (
                functional.binary_cross_entropy_with_logits(probe(feature[:half][known])[:, 0], target[:half][known])
                + 1e-3 * probe.weight.square().sum()
            )
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        scores = probe(feature[half:])[:, 0].detach().numpy()
        result[CATEGORIES[index]] = round(average_precision(scores, labels[half:, index]), 4)
    return result


def average_precision(scores: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Area under precision and recall; labels 1 present, 0 absent, -1 left out. NaN where nothing is present."""
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    hits = labels[known][order] > 0
    if not hits.any():
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())
