"""Gradients of a minibatch's episodes computed by several threads at once are those of one."""

from __future__ import annotations

import pytest
import torch
from doubles import make_policy
from test_microbatches import of_policy
from test_ppo import CPU, learner, of_rollout
from torch import nn

from llarp_cli.learning import side_by_side
from llarp_cli.learning.side_by_side import SideBySide

EXACT = 1e-5
LENGTHS = [5, 1, 12, 7, 3, 9, 2, 2, 6]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(side_by_side, "STEPS_EACH", 10)
    yield
    torch.set_num_threads(before)


def gradients(kind: str) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor], int]:
    """Of one minibatch of nine episodes: gradient, loss, figures, and how many parts it was computed in."""
    policy = make_policy(kind)
    rollout = of_policy(policy, LENGTHS, policy.num_actions)
    made, parts = learner(policy), []
    evaluate = policy.evaluate

    def counted(fragments):
        if torch.is_grad_enabled():
            parts.append((sorted(fragments.lengths), torch.get_num_threads()))
        return evaluate(fragments)

    policy.evaluate = counted
    made.micro_batches.plan(1)
    total, figures = made._gradients(rollout, list(range(9)), of_rollout(rollout), torch.tensor(47.0))
    return torch.cat([p.grad.flatten() for p in policy.parameters()]), total, figures, parts


@pytest.mark.parametrize("kind", ["llarp", "lstm"])
def test_the_gradient_is_that_of_one_thread(kind, monkeypatch):
    cut, total, figures, parts = gradients(kind)
    assert sorted(length for lengths, _ in parts for length in lengths) == sorted(LENGTHS)
    assert [threads for _, threads in parts] == [1, 1]
    assert abs(sum(parts[0][0]) - sum(parts[1][0])) <= 1
    monkeypatch.setattr(side_by_side, "STEPS_EACH", 1000)
    whole, wanted, wanted_figures, parts = gradients(kind)
    assert [threads for _, threads in parts] == [2]
    assert whole.abs().max() > 1e-3
    assert (cut - whole).norm() < EXACT * whole.norm()
    assert total.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(
        {name: value.item() for name, value in wanted_figures.items()}, rel=1e-5
    )


@pytest.mark.parametrize("kind", ["llarp", "lstm"])
def test_the_same_minibatch_gives_the_same_gradient_to_the_last_bit(kind):
    first = gradients(kind)[0]
    assert all(torch.equal(gradients(kind)[0], first) for _ in range(5))
    assert torch.get_num_threads() == 2


def test_an_error_in_one_thread_ends_the_update_when_all_are_done():
    policy = make_policy("llarp")
    beside = SideBySide(policy, CPU)
    done = []

    def loss_of_part(part):
        if part == [1]:
            raise RuntimeError("in the second part")
        logits = sum(parameter.sum() for parameter in policy.parameters())
        done.append(part)
        return logits, None

    with pytest.raises(RuntimeError, match="second part"):
        beside.gradients([[0], [1], [2]], loss_of_part, torch.Tensor.backward)
    assert sorted(done) == [[0], [2]]
    assert torch.get_num_threads() == 2


def test_what_draws_random_numbers_or_is_on_a_gpu_or_small_is_left_whole():
    whole = [list(range(9))]
    policy = make_policy("lstm")
    assert len(SideBySide(policy, CPU).parts(range(9), LENGTHS)) == 2
    assert SideBySide(policy, torch.device("cuda")).parts(range(9), LENGTHS) == whole
    assert SideBySide(policy, CPU).parts(range(9), [1] * 9) == whole
    assert SideBySide(nn.Sequential(policy, nn.Dropout(0.1)), CPU).parts(range(9), LENGTHS) == whole
    torch.set_num_threads(1)
    assert SideBySide(policy, CPU).parts(range(9), LENGTHS) == whole


def test_a_parameter_that_only_another_part_uses_gets_its_gradient():
    layers = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])

    def loss_of_part(part):
        return layers[part[0]](torch.ones(1, 2)).sum(), None

    SideBySide(layers, CPU).gradients([[0], [1]], loss_of_part, torch.Tensor.backward)
    assert all((layer.weight.grad == 1).all() for layer in layers)
