"""PPO: its loss against numbers by hand, the first ratio, the weighting, and that it learns."""

from __future__ import annotations

import math
import os
import socket

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from toy_learning import ToyEnvironment, ToyPolicy, train_toy
from toy_world import ToyWorld

from llarp_cli.config import AdapterOptions, BackboneOptions, Recipe, TaskOptions, VisionOptions
from llarp_cli.errors import LlarpError
from llarp_cli.learning.clock import Clock
from llarp_cli.learning.collector import Collector
from llarp_cli.learning.learner import Learner
from llarp_cli.learning.minibatches import even_groups
from llarp_cli.learning.ppo import Loss, ppo_loss, value_loss
from llarp_cli.policy.build import build_policy
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.splits import TrainingEpisodes

CPU = torch.device("cpu")
EVEN = {"clip": 0.2, "clip_value": False, "value_coefficient": 0.0, "entropy_coefficient": 0.0}


def two_actions(*probabilities):
    """Logits of steps in which action 0 has these probabilities."""
    p = torch.tensor(probabilities)
    return torch.stack([p.log(), (1 - p).log()], -1).requires_grad_()


def steps(advantages, old, **changes):
    """A loss of steps that all took action 0."""
    count = len(advantages)
    arguments = {
        "actions": torch.zeros(count, dtype=torch.int64),
        "old_log_probs": torch.tensor(old).log(),
        "old_values": torch.zeros(count),
        "advantages": torch.tensor(advantages),
        "returns": torch.zeros(count),
        **EVEN,
        **changes,
    }
    return arguments


def test_surrogate_is_clipped_on_the_side_that_profits():
    # Ratios 1.5, 1.5, 0.5, 0.5 with advantages of either sign.
    logits = two_actions(0.6, 0.6, 0.2, 0.2)
    loss = ppo_loss(logits, torch.zeros(4), **steps([1.0, -1.0, 1.0, -1.0], [0.4] * 4))
    assert loss.total.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8), abs=1e-5)
    assert loss.sums["clip_fraction"].item() == 4.0
    loss.total.backward()
    moved = logits.grad.abs().sum(-1) > 1e-6
    assert moved.tolist() == [False, True, True, False]


def test_first_gradient_is_the_policy_gradient():
    logits = two_actions(0.3, 0.7)
    loss = ppo_loss(logits, torch.zeros(2), **steps([2.0, -1.0], [0.3, 0.7]))
    loss.total.backward()
    # -A · (onehot - p)
    expected = torch.tensor([[-2.0 * 0.7, 2.0 * 0.7], [1.0 * 0.3, -1.0 * 0.3]])
    assert torch.allclose(logits.grad, expected, atol=1e-6)
    assert loss.sums["approx_kl"].item() == pytest.approx(0.0, abs=1e-6)
    assert loss.sums["clip_fraction"].item() == 0.0


def test_entropy_and_value_have_their_weights():
    logits = two_actions(0.5)
    values = torch.tensor([3.0])
    changes = {"value_coefficient": 0.5, "entropy_coefficient": 0.01, "returns": torch.tensor([1.0])}
    loss = ppo_loss(logits, values, **steps([0.0], [0.5], **changes))
    assert loss.total.item() == pytest.approx(0.5 * 0.5 * 4.0 - 0.01 * math.log(2), abs=1e-6)


def test_kl_estimate_is_that_of_small_changes():
    logits = two_actions(0.5)
    loss = ppo_loss(logits, torch.zeros(1), **steps([0.0], [0.4]))
    assert loss.sums["approx_kl"].item() == pytest.approx(0.5 / 0.4 - 1 - math.log(0.5 / 0.4), abs=1e-6)


def test_clipped_value_loss_takes_the_larger_error():
    values = torch.tensor([1.0, 1.0, 0.1], requires_grad=True)
    old = torch.zeros(3)
    losses = value_loss(values, torch.tensor([2.0, -2.0, 2.0]), old, clip=0.2)
    assert losses.tolist() == pytest.approx([0.5 * 1.8**2, 0.5 * 3.0**2, 0.5 * 1.9**2])
    losses.sum().backward()
    assert values.grad.tolist() == pytest.approx([0.0, 3.0, -1.9])


def a_rollout(policy, steps=9, rows=6, seed=0):
    collecting = Collector(policy, [ToyEnvironment(rows, seed)], device=CPU, clock=Clock(), seed=seed, limit_ends=True)
    collecting.reset()
    collecting.collect(4)
    collecting.rebuild()
    return collecting.collect(steps)


def of_rollout(rollout, **changes):
    """The PPO loss of a rollout's steps, as a function of what the policy says now."""
    gained, returns = (x.flatten() for x in rollout.targets(gamma=0.9, gae_lambda=0.95, reward_scale=1.0))
    actions = rollout.actions[rollout.kept :]

    def loss_of(logits, values, steps):
        return ppo_loss(
            logits,
            values,
            actions=actions[steps],
            old_log_probs=rollout.log_probs.flatten()[steps],
            old_values=rollout.values.flatten()[steps],
            advantages=gained[steps],
            returns=returns[steps],
            **{**EVEN, **changes},
        )

    return loss_of


def learner(policy, seed=0):
    return Learner(policy, Accelerator(cpu=True), weight_decay=0.0, seed=seed)


def test_an_update_uses_every_new_step_once_per_epoch():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    seen = []

    def loss_of(logits, values, steps):
        seen.append(steps)
        return Loss(values.sum(), {"ones": torch.tensor(float(len(steps)))})

    figures = learner(policy).update(rollout, loss_of, lr=1e-12, epochs=2, minibatches=4, max_grad_norm=1.0)
    everything = list(range(rollout.rewards.numel()))
    assert sorted(torch.cat(seen[:4]).tolist()) == sorted(torch.cat(seen[4:]).tolist()) == everything
    assert figures["ones"] == 1.0


def test_reported_figures_are_means_over_steps():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    whole = learner(policy).update(rollout, of_rollout(rollout), lr=1e-12, epochs=1, minibatches=1, max_grad_norm=1.0)
    parts = learner(policy).update(rollout, of_rollout(rollout), lr=1e-12, epochs=3, minibatches=5, max_grad_norm=1.0)
    for name in ("policy_loss", "value_loss", "entropy"):
        assert parts[name] == pytest.approx(whole[name], abs=1e-5), name


def test_ratio_is_one_at_the_first_minibatch():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    ratios = []

    def loss_of(logits, values, steps):
        loss = of_rollout(rollout)(logits, values, steps)
        taken = logits.log_softmax(-1).gather(-1, rollout.actions[rollout.kept :][steps][:, None]).squeeze(-1)
        ratios.append((taken - rollout.log_probs.flatten()[steps]).exp())
        return loss

    learner(policy).update(rollout, loss_of, lr=1e-2, epochs=2, minibatches=2, max_grad_norm=1.0)
    assert (ratios[0] - 1).abs().max() < 1e-5
    assert (ratios[-1] - 1).abs().max() > 1e-3


@pytest.mark.parametrize("tokens, action_tokens, dtype", [(1, 0, "float32"), (4, 1, "float32"), (1, 0, "bfloat16")])
def test_ratio_is_one_with_a_language_model(tokens, action_tokens, dtype):
    recipe = Recipe(
        backbone=BackboneOptions(name="tiny-llama", dtype=dtype),
        vision=VisionOptions(name="cnn", image_size=32, tokens=tokens),
        adapter=AdapterOptions(hidden=32, decoder_hidden=32, action_tokens=action_tokens),
        tasks=TaskOptions(families=("move", "fetch"), objects=4),
    )
    world = ToyWorld()
    policy = build_policy(recipe, CPU, world=world)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    environment = RearrangementVectorEnv(world, TrainingEpisodes(world, recipe.tasks, 0), 6, image_size=32)
    collecting = Collector(policy, [environment], device=CPU, clock=Clock(), seed=0, limit_ends=True)
    collecting.reset()
    collecting.collect(20)
    collecting.rebuild()
    rollout = collecting.collect(20)  # episodes of an earlier rollout go on, and new ones begin
    assert rollout.kept > 0 and rollout.ends.any()
    ratios = []

    def loss_of(logits, values, steps):
        taken = logits.log_softmax(-1).gather(-1, rollout.actions[rollout.kept :][steps][:, None]).squeeze(-1)
        ratios.append((taken - rollout.log_probs.flatten()[steps]).exp().detach())
        return of_rollout(rollout)(logits, values, steps)

    learner(policy).update(
        rollout, loss_of, lr=1e-2, epochs=1, minibatches=2, max_grad_norm=1.0, recompute=dtype != "float32"
    )
    assert (ratios[0] - 1).abs().max() <= 1e-4
    assert (ratios[1] - 1).abs().max() > 1e-3
    assert policy.frozen.backbone.weights_hash() == policy.frozen.backbone.identity.hash


def test_below_float32_old_log_probs_come_from_the_update_path():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    exact = rollout.log_probs.clone()
    rollout.log_probs += 0.05 * torch.randn(exact.shape, generator=torch.Generator().manual_seed(0))
    largest = []

    def loss_of(logits, values, steps):
        loss = of_rollout(rollout)(logits, values, steps)
        largest.append(loss.sums["approx_kl"].item())
        return loss

    learner(policy).update(rollout, loss_of, lr=1e-3, epochs=1, minibatches=2, max_grad_norm=1.0, recompute=True)
    assert torch.allclose(rollout.log_probs, exact, atol=1e-5)
    assert abs(largest[0]) < 1e-6


def test_gradient_is_clipped_and_its_norm_reported():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    loss_of = of_rollout(rollout, value_coefficient=100.0)
    before = torch.cat([p.detach().flatten() for p in policy.parameters()])
    made = learner(policy)
    made.optimizer.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0, fused=True)
    figures = made.update(rollout, loss_of, lr=1.0, epochs=1, minibatches=1, max_grad_norm=0.125)
    after = torch.cat([p.detach().flatten() for p in policy.parameters()])
    assert figures["grad_norm"] > 1.0
    assert (after - before).norm().item() == pytest.approx(0.125, rel=1e-3)


def test_a_loss_that_is_no_number_stops_before_it_is_applied():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    before = [p.detach().clone() for p in policy.parameters()]

    def loss_of(logits, values, steps):
        return Loss(values.sum() * float("nan"), {})

    with pytest.raises(LlarpError, match="nan"):
        learner(policy).update(rollout, loss_of, lr=1e-3, epochs=1, minibatches=2, max_grad_norm=1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_ppo_learns_the_toy_task(tmp_path):
    options = {
        "rollout_steps": 16,
        "lr": 5e-3,
        "epochs": 4,
        "minibatches": 4,
        "gamma": 0.8,
        "normalize_advantages": True,
        "max_grad_norm": 1.0,
    }
    trainer, metrics = train_toy(tmp_path / "run", steps=12_000, num_envs=32, ppo=options)
    assert metrics[0]["success"] < 0.7
    assert trainer.success.value() > 0.93
    assert metrics[-1]["length"] < 1.2
    assert metrics[-1]["explained_variance"] is None or metrics[-1]["value_loss"] < metrics[0]["value_loss"]


def _share_of_two(rank, port, folder):
    """One of two processes: learn from its own environments, and save the weights after."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    policy = ToyPolicy()
    rollout = a_rollout(policy, steps=7 + 4 * rank, rows=5, seed=rank)
    made = Learner(policy, Accelerator(cpu=True), weight_decay=0.0, seed=5)
    made.optimizer.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0, fused=True)
    figures = made.update(rollout, of_rollout(rollout), lr=0.1, epochs=2, minibatches=3, max_grad_norm=1e9)
    torch.save({"weights": policy.state_dict(), "figures": figures}, f"{folder}/{rank}.pt")
    made.accelerator.end_training()


@pytest.mark.slow
def test_two_processes_weigh_every_step_as_one_process_would(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_share_of_two, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))

    policy = ToyPolicy()
    rollouts = [a_rollout(policy, steps=7 + 4 * rank, rows=5, seed=rank) for rank in (0, 1)]
    orders = [np.random.Generator(np.random.PCG64(5)) for _ in rollouts]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    entropy, uneven = 0.0, False
    for _ in range(2):
        groups = [even_groups(r.learned_lengths(), 3, order) for r, order in zip(rollouts, orders, strict=True)]
        for minibatch in range(3):
            losses, counts = [], []
            for rollout, dealt in zip(rollouts, groups, strict=True):
                fragments, steps = rollout.fragments(dealt[minibatch])
                logits, values = policy.evaluate(fragments)
                losses.append(of_rollout(rollout)(logits[fragments.learned], values[fragments.learned], steps))
                counts.append(len(steps))
            uneven |= counts[0] != counts[1]
            optimizer.zero_grad()
            (sum(loss.total for loss in losses) / sum(counts)).backward()
            optimizer.step()
            entropy += sum(loss.sums["entropy"].item() for loss in losses)
    assert uneven
    for name, value in policy.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert torch.allclose(value, first["weights"][name], atol=1e-6), name
    steps = sum(rollout.rewards.numel() for rollout in rollouts)
    assert first["figures"]["entropy"] == pytest.approx(entropy / (2 * steps), abs=1e-5)
