"""How good a home encoder is in homes it has never seen, through linear probes on its frozen features.

The probes are fitted on pictures of procedural homes that no encoder is trained on, and scored on pictures
of the released homes, always in this one way, right after training as for a file trained long ago. They
read what a policy reads: the half-precision features that `perceive` returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llarp_cli.intervals import wilson
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, HELD_OUT_CATEGORIES, JOINTS, TRAIN_CATEGORIES
from llarp_cli.vision.home import CELL, check_shape
from llarp_cli.vision.home_encoder import HomeEncoder, resampled
from llarp_cli.vision.probes import one_of, yes_or_no
from llarp_cli.vision.views import ViewSampler

HELD_OUT = [CATEGORIES.index(name) for name in HELD_OUT_CATEGORIES]
NOTHING = len(CATEGORIES)

CLEARLY_VISIBLE = 20
"""Pixels (at 128 x 128) from which an object counts."""
ALONE = 0.8
"""Share of the object pixels in a cell from which what it shows can be asked."""
BANDS = ((0.0, 1.1), (1.1, 1.3), (1.3, 1.5))
"""Metres from the robot to an object in reach; about a third of them lie in each."""
FIRST_HOME = 2_000_000_000
"""Index of the first procedural home of the probes' pictures; training homes are counted from 0."""
HOMES = 500
AT_ONCE = 64
GROUPS = {"training": list(TRAIN_CATEGORIES), "held_out": list(HELD_OUT_CATEGORIES)}
COLUMNS = ("in_reach", "faced", *(f"{low}-{high} m" for low, high in BANDS))
LABELS = ("in_reach", "largest", "distance", "faced", "faced_largest", "held", "stands_at", "opened")


@dataclass(frozen=True)
class AssessOptions:
    """What is looked at.

    Attributes:
        image_size: side of the pictures, pixels.
        tokens: K; probes read all K together.
        objects: in each home.
        probe_pictures: to fit the probes on; rounded up to whole rounds of 64.
        pictures: to score them on, likewise.
        seed: of both.
    """

    image_size: int = 128
    tokens: int = 1
    objects: int = 35
    probe_pictures: int = 32_768
    pictures: int = 8_192
    seed: int = 0


@dataclass(frozen=True)
class Seen:
    """N pictures as the probes see them.

    Attributes:
        features: float32 [N, K * 256].
        in_reach, largest, distance, faced, faced_largest, held, stands_at, opened: see `Views`.
        things: float32 [O, 256], for every category clearly visible in a picture and not held the cell of the
            feature map with most of its pixels, where hardly anything else is in that cell.
        thing_categories: int64 [O].
    """

    features: Tensor
    in_reach: NDArray[np.float32]
    largest: NDArray[np.int32]
    distance: NDArray[np.float32]
    faced: NDArray[np.float32]
    faced_largest: NDArray[np.int32]
    held: NDArray[np.int64]
    stands_at: NDArray[np.float32]
    opened: NDArray[np.float32]
    things: Tensor
    thing_categories: NDArray[np.int64]


def assess(weights: str, world: World, options: AssessOptions, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Look at pictures of unseen homes and say what their features tell.

    Args:
        weights: as `HomeEncoder.load` takes them.
        progress: called with pictures so far and pictures in all.

    Returns:
        "encoder": its file, SHA-256, and the pictures' version it was trained on; "renderer": version drawn here;
        "accuracy": what -> {"pictures", "right", "rate", "interval"} (Wilson, 95%);
        "average_precision": category -> column -> {"objects", "value"}, objects of at least 20 pixels, None for a
        value where there are none; columns: "in_reach", "faced" (on the receptacle faced), and in reach by distance;
        "mean_average_precision": column -> the mean over "training" and over "held_out" categories;
        "confusion": counts [33][33], the category named (column) where another stands (row).

    Raises:
        UsageProblem: see `check_shape` and `HomeEncoder.load`.
    """
    check_shape(options.image_size, options.tokens)
    grid = options.image_size // CELL
    encoder = HomeEncoder.load(weights, options.image_size, grid * grid, "cpu")
    rounds = [math.ceil(count / AT_ONCE) for count in (options.probe_pictures, options.pictures)]
    total = sum(rounds) * AT_ONCE
    similar = [world.train_scene(FIRST_HOME + index) for index in range(HOMES)]
    size, objects, seed = options.image_size, options.objects, options.seed
    to_fit = ViewSampler(world, similar, AT_ONCE, size, objects, seed + 1, nearer=0.75)
    fitting = _look(encoder, to_fit, options, rounds[0], lambda done: progress(done, total))
    to_score = ViewSampler(world, world.test_scenes(), AT_ONCE, size, objects, seed + 2)
    scoring = _look(encoder, to_score, options, rounds[1], lambda done: progress(rounds[0] * AT_ONCE + done, total))
    precision = _precisions(fitting, scoring)
    return {
        "encoder": {"weights": encoder.weights, "sha256": encoder.hash, "renderer": encoder.renderer},
        "renderer": world.version,
        "image_size": options.image_size,
        "tokens": options.tokens,
        "seed": options.seed,
        "probe_pictures": len(fitting.features),
        "pictures": len(scoring.features),
        "homes": len(world.test_scenes()),
        "accuracy": _accuracies(fitting, scoring),
        "average_precision": precision,
        "mean_average_precision": {
            column: {group: _mean([precision[name][column] for name in names]) for group, names in GROUPS.items()}
            for column in COLUMNS
        },
        "confusion": _confusion(fitting, scoring).tolist(),
    }


def _look(
    encoder: HomeEncoder,
    sampler: ViewSampler,
    options: AssessOptions,
    rounds: int,
    progress: Callable[[int], None],
) -> Seen:
    grid, scale = options.image_size // CELL, (128 / options.image_size) ** 2
    features, things, thing_categories = [], [], []
    labels: dict[str, list[NDArray[Any]]] = {name: [] for name in LABELS}
    for done in range(rounds):
        views = sampler.sample()
        cells = encoder.perceive(views.rgb).float()
        # Pooling is a maximum, and neither standardising nor rounding changes which is the largest: these are the
        # very tokens that the encoder gives a policy.
        feature_map = cells.transpose(1, 2).unflatten(2, (grid, grid))
        features.append(resampled(feature_map, options.tokens).flatten(1))
        pixels = views.cell_pixels.reshape(len(cells), -1, len(CATEGORIES))
        clear = pixels.sum(1) * scale >= CLEARLY_VISIBLE
        holding = np.flatnonzero(views.held != NOTHING)
        clear[holding, views.held[holding]] = False
        pictures, categories = np.nonzero(clear)
        where = pixels.argmax(1)[pictures, categories]
        alone = pixels[pictures, where, categories] > ALONE * pixels.sum(2)[pictures, where]
        things.append(cells[pictures[alone], where[alone]])
        thing_categories.append(categories[alone])
        for name in LABELS:
            labels[name].append(getattr(views, name))
        progress((done + 1) * AT_ONCE)
    return Seen(
        features=torch.cat(features),
        things=torch.cat(things),
        thing_categories=np.concatenate(thing_categories),
        **{name: np.concatenate(parts) for name, parts in labels.items()},
    )


def _accuracies(fitting: Seen, scoring: Seen) -> dict[str, dict[str, Any]]:
    held = one_of(fitting.features, fitting.held, NOTHING + 1)(scoring.features).argmax(1) == scoring.held
    hard = np.isin(scoring.held, HELD_OUT)
    poses = yes_or_no(fitting.features, fitting.stands_at)(scoring.features)
    standing = scoring.stands_at.any(1)
    posed = np.take_along_axis(scoring.stands_at, poses.argmax(1)[:, None], 1)[:, 0] > 0
    receptacles = scoring.stands_at[:, len(JOINTS) :]
    faced = np.take_along_axis(receptacles, poses[:, len(JOINTS) :].argmax(1)[:, None], 1)[:, 0] > 0
    opened = (yes_or_no(fitting.features, fitting.opened)(scoring.features) > 0) == (scoring.opened > 0)
    at_hand = scoring.opened >= 0
    return {
        "category held, or none": _rate(held[~hard]),
        "category held, held-out ones": _rate(held[hard]),
        "receptacle faced": _rate(faced[receptacles.any(1)]),
        "standing pose": _rate(posed[standing]),
        "open or closed": _rate(opened[at_hand]),
        **{f"  {name}": _rate(opened[at_hand[:, i], i]) for i, name in enumerate(JOINTS)},
    }


def _rate(right: NDArray[np.bool_]) -> dict[str, Any]:
    count, hits = len(right), int(right.sum())
    rate = hits / count if count else None
    return {
        "pictures": count,
        "right": hits,
        "rate": rate,
        "interval": list(wilson(hits, count)) if count else None,
    }


def _precisions(fitting: Seen, scoring: Seen) -> dict[str, dict[str, dict[str, Any]]]:
    """Average precision by category and column; see `assess`."""
    in_reach = yes_or_no(fitting.features, fitting.in_reach)(scoring.features)
    faced = yes_or_no(fitting.features, fitting.faced)(scoring.features)
    result = {}
    for i, name in enumerate(CATEGORIES):
        reach = _clear(scoring.in_reach, scoring.largest)[:, i]
        row = {
            "in_reach": _scored(in_reach[:, i], reach),
            "faced": _scored(faced[:, i], _clear(scoring.faced, scoring.faced_largest)[:, i]),
        }
        for column, (low, high) in zip(COLUMNS[2:], BANDS, strict=True):
            within = (scoring.distance[:, i] >= low) & (scoring.distance[:, i] < high)
            band = np.where((reach > 0) & ~within, -1, reach)
            # As rare among the absent as all in reach are, or a band would look worse for holding fewer.
            share = (band > 0).sum() / max((reach > 0).sum(), 1)
            row[column] = _scored(in_reach[:, i], band, share)
        result[name] = row
    return result


def _clear(labels: NDArray[np.float32], pixels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Labels with what is hardly visible left out."""
    return np.where((labels != 0) & (pixels < CLEARLY_VISIBLE), -1, labels)


def _scored(scores: NDArray[np.float32], labels: NDArray[np.float32], absent: float = 1.0) -> dict[str, Any]:
    count = int((labels > 0).sum())
    return {"objects": count, "value": average_precision(scores, labels, absent) if count else None}


def _mean(scored: Sequence[dict[str, Any]]) -> float | None:
    values = [one["value"] for one in scored if one["value"] is not None]
    return sum(values) / len(values) if values else None


def _confusion(fitting: Seen, scoring: Seen) -> NDArray[np.int64]:
    count = len(CATEGORIES)
    named = one_of(fitting.things, fitting.thing_categories, count)(scoring.things).argmax(1)
    return np.bincount(scoring.thing_categories * count + named, minlength=count * count).reshape(count, count)


def average_precision(scores: NDArray[np.float32], labels: NDArray[np.float32], absent: float = 1.0) -> float:
    """Area under precision and recall. NaN where nothing is present.

    Args:
        scores, labels: [N]; a label is 1 present, 0 absent, -1 left out.
        absent: what an absent one counts, beside 1 for a present one.
    """
    known = labels >= 0
    order = np.argsort(-scores[known], kind="stable")
    hits = labels[known][order] > 0
    if not hits.any():
        return float("nan")
    found, false = np.cumsum(hits)[hits], np.cumsum(~hits)[hits]
    return float((found / (found + absent * false)).mean())
