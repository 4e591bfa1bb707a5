"""Advantages against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from llarp_cli.learning.gae import advantages, explained_variance

GAMMA = 0.9


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)


def flags(*numbers):
    return torch.tensor(numbers, dtype=torch.bool).unsqueeze(-1)


def test_one_step_errors_where_lambda_is_zero():
    got = advantages(column(1, 2, 3), column(4, 5, 6), column(5, 6, 7), flags(0, 0, 0), gamma=GAMMA, gae_lambda=0.0)
    assert torch.allclose(got, column(1 + 0.9 * 5 - 4, 2 + 0.9 * 6 - 5, 3 + 0.9 * 7 - 6))


def test_discounted_returns_where_lambda_is_one():
    values = column(0.3, -0.2, 0.7, 0.1)
    got = advantages(
        column(1, 1, 1, 1), values, column(-0.2, 0.7, 0.1, 2.0), flags(0, 0, 0, 0), gamma=GAMMA, gae_lambda=1.0
    )
    n = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    closed = (1 - GAMMA**n) / (1 - GAMMA) + GAMMA**n * 2.0
    assert torch.allclose(got + values, closed.unsqueeze(-1))


def test_geometric_sum_of_equal_errors():
    # Reward 1 and values 0 throughout: every error is 1, so A_t = (1 - (γλ)^n) / (1 - γλ).
    zeros = torch.zeros(5, 1, dtype=torch.float64)
    got = advantages(zeros + 1, zeros, zeros, zeros.bool(), gamma=GAMMA, gae_lambda=0.8)
    n = torch.arange(5, 0, -1, dtype=torch.float64)
    assert torch.allclose(got.squeeze(-1), (1 - 0.72**n) / (1 - 0.72))


def test_nothing_flows_back_from_the_next_episode():
    rewards, values = column(0, 1, 50, 60), column(0.5, 0.5, 9, 9)
    terminal = advantages(rewards, values, column(0.5, 0, 9, 9), flags(0, 1, 0, 0), gamma=GAMMA, gae_lambda=0.95)
    last = 1 - 0.5
    first = 0.9 * 0.5 - 0.5 + 0.9 * 0.95 * last
    assert terminal[:2].squeeze(-1).tolist() == pytest.approx([first, last])


def test_truncation_bootstraps_with_the_value_of_the_cut_off_state():
    rewards, values = column(0, 1, 50), column(0.5, 0.5, 9)
    cut = advantages(rewards, values, column(0.5, 3.0, 9), flags(0, 1, 0), gamma=GAMMA, gae_lambda=0.95)
    last = 1 + 0.9 * 3.0 - 0.5
    assert cut[1].item() == pytest.approx(last)
    assert cut[0].item() == pytest.approx(0.9 * 0.5 - 0.5 + 0.9 * 0.95 * last)


def test_environments_do_not_mix():
    generator = torch.Generator().manual_seed(0)
    rewards, values, after = (torch.rand(6, 3, generator=generator) for _ in range(3))
    ends = torch.rand(6, 3, generator=generator) < 0.3
    together = advantages(rewards, values, after, ends, gamma=0.99, gae_lambda=0.95)
    for n in range(3):
        alone = advantages(*(x[:, n : n + 1] for x in (rewards, values, after, ends)), gamma=0.99, gae_lambda=0.95)
        assert torch.equal(together[:, n : n + 1], alone)


def test_explained_variance():
    returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.full((4,), 2.5), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert math.isnan(explained_variance(returns, torch.ones(4)))
