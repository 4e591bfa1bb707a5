"""Linear probes: what can be read off frozen features by one linear map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

PENALTY = 1e-4
"""Of the squared weights, beside losses averaged over pictures."""
ITERATIONS = 100


class Probe:
    """A linear map from features to logits, fitted to (very nearly) its unique best weights, so that no seed or
    schedule decides what a probe finds.

    Args:
        features: float32 [N, F].
        outputs: C.
        loss: convex loss of logits [N, C].
    """

    def __init__(self, features: Tensor, outputs: int, loss: Callable[[Tensor], Tensor]):
        self._mean = features.mean(0)
        self._std = features.std(0).clamp(min=1e-6)
        self._map = nn.Linear(features.shape[1], outputs)
        nn.init.zeros_(self._map.weight)
        nn.init.zeros_(self._map.bias)
        standard = (features - self._mean) / self._std
        optimizer = torch.optim.LBFGS(
            self._map.parameters(), max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = loss(self._map(standard)) + PENALTY * self._map.weight.square().sum()
            total.backward()
            return total

        optimizer.step(closure)

    @torch.no_grad()
    def __call__(self, features: Tensor) -> NDArray[np.float32]:
        """Logits float32 [N, C] of features [N, F]."""
        return self._map((features - self._mean) / self._std).numpy()


def yes_or_no(features: Tensor, labels: NDArray[np.float32]) -> Probe:
    """C logistic regressions; labels [N, C] are 1, 0, or -1 where they are left out."""
    target = torch.from_numpy(labels)
    weight = (target >= 0).float()
    weight /= weight.sum(0).clamp(min=1)

    def loss(logits: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(logits, target.clamp(min=0), reduction="none")
        return (weight * each).sum()

    return Probe(features, target.shape[1], loss)


def one_of(features: Tensor, labels: NDArray[np.int64], classes: int) -> Probe:
    """Multinomial logistic regression; labels [N] are below `classes`."""
    target = torch.from_numpy(labels)
    return Probe(features, classes, lambda logits: functional.cross_entropy(logits, target))
