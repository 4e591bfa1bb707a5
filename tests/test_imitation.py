"""Imitation: its loss, who acts, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from toy_learning import train_toy

from llarp_cli.learning.imitation import expert_share, imitation_loss


def test_loss_is_cross_entropy_and_half_the_squared_error():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]], requires_grad=True)
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = imitation_loss(
        logits, values, labels=torch.tensor([1, 0]), returns=torch.tensor([0.0, 4.0]), value_coefficient=0.5
    )
    cross_entropy = math.log(2) + math.log(4 / 3)
    assert loss.total.item() == pytest.approx(cross_entropy + 0.5 * (0.5 + 2.0))
    assert loss.sums["policy_loss"].item() == pytest.approx(cross_entropy)
    assert loss.sums["value_loss"].item() == pytest.approx(2.5)
    assert loss.sums["agreement"].item() == 1.0
    loss.total.backward()
    assert torch.allclose(logits.grad, torch.tensor([[0.5, -0.5], [-0.25, 0.25]]))
    assert torch.allclose(values.grad, torch.tensor([0.5, -1.0]))


def test_the_experts_share_falls_to_nothing():
    shares = [expert_share(steps, 1000, 0.5) for steps in (0, 250, 500, 900)]
    assert shares == [1.0, 0.5, 0.0, 0.0]
    assert expert_share(0, 1000, 0.0) == 0.0


@pytest.mark.parametrize("until", [0.0, 0.5])
def test_imitation_learns_the_toy_task_and_values_it(tmp_path, until):
    options = {"steps": 8000, "lr": 1e-2, "minibatches": 4, "expert_acts_until": until}
    trainer, metrics = train_toy(tmp_path / "run", steps=8000, num_envs=32, imitation=options)
    assert {line["stage"] for line in metrics} == {"imitation"}
    assert trainer.success.value() > 0.97
    assert metrics[-1]["agreement"] > 0.97
    assert metrics[0]["value_loss"] > 5 * metrics[-1]["value_loss"]
    assert (metrics[0]["expert_episodes"] > 0) == (until > 0)
    assert metrics[-1]["expert_episodes"] == 0


def test_ppo_goes_on_where_imitation_stopped(tmp_path):
    options = {"steps": 6000, "lr": 1e-2, "minibatches": 4}
    _, metrics = train_toy(tmp_path / "run", steps=9000, num_envs=32, imitation=options)
    stages = [line["stage"] for line in metrics]
    begin = stages.index("ppo")
    assert stages == ["imitation"] * begin + ["ppo"] * (len(stages) - begin)
    assert metrics[begin]["steps"] == 6144 + 256
    assert min(line["success"] for line in metrics[begin:]) > 0.9
