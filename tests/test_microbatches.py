"""Minibatches cut to what memory holds: the same gradients, tried again where memory ran out, nothing lost."""

from __future__ import annotations

import os
import socket

import pytest
import torch
from accelerate import Accelerator
from doubles import make_policy
from test_ppo import CPU, a_rollout, learner, of_rollout
from toy_learning import ToyPolicy

from llarp_cli.backbones import sizing
from llarp_cli.backbones.activations import TensorMemory
from llarp_cli.errors import LlarpError
from llarp_cli.learning import microbatches
from llarp_cli.learning.learner import Learner, NotFinite
from llarp_cli.learning.microbatches import MicroBatches
from llarp_cli.learning.ppo import Loss
from llarp_cli.learning.rollouts import Rollout, Trajectory

EXACT = 1e-6


class Cramped(ToyPolicy):
    """Runs out of memory beyond so many steps with gradient."""

    def __init__(self, room: int, seed: int = 0, error: type[Exception] = torch.cuda.OutOfMemoryError):
        super().__init__(seed)
        self.room = room
        self.failures = 0
        self.error = error

    def evaluate(self, fragments):
        if torch.is_grad_enabled() and len(fragments.features) > self.room:
            self.failures += 1
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().evaluate(fragments)


def weights(policy):
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


def of_policy(policy, lengths, actions=4):
    """A rollout of episodes of such lengths, all in one environment."""
    count = sum(lengths)
    generator = torch.Generator().manual_seed(0)
    begins = [sum(lengths[:i]) for i in range(len(lengths))]
    draw = lambda: torch.randn(count, len(lengths), generator=generator)[:, :1]  # noqa: E731
    return Rollout(
        trajectories=[
            Trajectory(f"go {i % 3}", list(range(b, b + n)))
            for i, (b, n) in enumerate(zip(begins, lengths, strict=True))
        ],
        features=torch.randn(count, 1, 12, generator=generator).half(),
        actions=torch.randint(actions, (count,), generator=generator),
        kept=0,
        log_probs=draw() - 2,
        values=draw(),
        rewards=draw(),
        next_values=draw(),
        ends=torch.zeros(count, 1, dtype=torch.bool),
        labels=None,
        finished=[],
    )


@pytest.mark.parametrize("kind", ["llarp", "lstm"])
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_the_gradient_is_that_of_one_batch(kind, parts):
    lengths = [5, 1, 12, 7, 3, 9, 2, 2, 6]
    found = []
    for least in (1, parts):
        policy = make_policy(kind)
        rollout = of_policy(policy, lengths, policy.num_actions)
        made = learner(policy)
        made.micro_batches._least = least
        total, figures = made._gradients(rollout, list(range(9)), of_rollout(rollout), torch.tensor(47.0))
        found.append((torch.cat([p.grad.flatten() for p in policy.parameters()]), total, figures))
    (whole, total, figures), (cut, again, summed) = found
    assert whole.abs().max() > 1e-3
    assert (cut - whole).norm() < EXACT * whole.norm()
    assert again.item() == pytest.approx(total.item(), rel=1e-5)
    assert {name: value.item() for name, value in summed.items()} == pytest.approx(
        {name: value.item() for name, value in figures.items()}, rel=1e-5
    )


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, MemoryError])
def test_what_does_not_fit_is_cut_in_halves_and_nothing_of_it_is_lost(error):
    policy, roomy = Cramped(room=10, error=error), ToyPolicy()
    rollout = a_rollout(roomy)
    seen = []

    def loss_of(logits, values, steps):
        seen.append(steps)
        return of_rollout(rollout)(logits, values, steps)

    options = {"lr": 1e-2, "epochs": 2, "minibatches": 3, "max_grad_norm": 1.0}
    made = learner(policy)
    made.micro_batches.plan(1)  # as if there were room
    figures = made.update(rollout, loss_of, **options)
    wanted = learner(roomy).update(rollout, of_rollout(rollout), **options)
    assert policy.failures == 1  # and remembered
    assert made.micro_batches.most == 2
    assert (weights(policy) - weights(roomy)).abs().max() < EXACT
    assert figures == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert sorted(torch.cat(seen).tolist()) == sorted(2 * list(range(rollout.rewards.numel())))


def test_halves_are_halved_again_and_what_was_done_of_a_failed_minibatch_is_dropped():
    policy, roomy = Cramped(room=7), ToyPolicy()
    rollout = a_rollout(roomy)
    longest = max(len(t.steps) for t in rollout.trajectories)
    assert longest <= 7
    options = {"lr": 1e-2, "epochs": 1, "minibatches": 1, "max_grad_norm": 1.0}
    made = learner(policy)
    made.micro_batches.plan(1)
    figures = made.update(rollout, of_rollout(rollout), **options)
    wanted = learner(roomy).update(rollout, of_rollout(rollout), **options)
    assert made.micro_batches.most >= 8 and policy.failures >= 3
    assert (weights(policy) - weights(roomy)).abs().max() < EXACT
    assert figures == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_a_single_episode_that_does_not_fit_ends_training_with_weights_intact():
    policy = Cramped(room=1)
    rollout = a_rollout(ToyPolicy())
    before = weights(policy)
    made = learner(policy)
    made.micro_batches.plan(1)
    with pytest.raises(LlarpError, match="does not hold the gradients of a single episode") as problem:
        made.update(rollout, of_rollout(rollout), lr=1e-2, epochs=1, minibatches=2, max_grad_norm=1.0)
    assert "gradient_checkpointing" in problem.value.hint
    assert torch.equal(weights(policy), before)


def test_other_errors_are_not_taken_for_it():
    class Broken(ToyPolicy):
        def evaluate(self, fragments):
            raise RuntimeError("shapes do not match")

    made = learner(Broken())
    made.micro_batches.plan(1)
    rollout = a_rollout(ToyPolicy())
    with pytest.raises(RuntimeError, match="shapes"):
        made.update(rollout, of_rollout(rollout), lr=1e-2, epochs=1, minibatches=2, max_grad_norm=1.0)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_what_says_that_memory_ran_out(error):
    assert microbatches.out_of_memory(error)
    assert not microbatches.out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_the_first_cut_is_foretold_from_free_memory(monkeypatch):
    policy = make_policy("llarp")
    rollout = of_policy(policy, [8] * 16, policy.num_actions)
    made = learner(policy)
    needs = made._bytes_per_step(rollout)
    assert 1_000 < needs < 1_000_000
    for room, parts in ((128.5, 1), (127, 2), (40, 4), (1, 16)):
        monkeypatch.setattr(sizing, "free_memory", lambda device, room=room: room * needs * 2)
        cutter = MicroBatches(CPU)
        cutter.plan(needs)
        cut = cutter.cut(list(range(16)), [8] * 16)
        assert len(cut) == cutter.most == parts
        assert sorted(i for part in cut for i in part) == list(range(16))
        if parts == 1:
            assert cut == [list(range(16))]
        assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_processes_of_one_machine_share_its_main_memory(monkeypatch):
    monkeypatch.setattr(sizing, "free_memory", lambda device: 2000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    cutter = MicroBatches(CPU)
    cutter.plan(10)  # 250 bytes for each process: 25 steps
    assert len(cutter.cut([0, 1, 2, 3], [10, 10, 10, 10])) == 2


def test_the_rehearsal_changes_nothing():
    policy = make_policy("llarp")
    rollout = of_policy(policy, [8, 3, 5], policy.num_actions)
    before, random = weights(policy), torch.get_rng_state()
    made = learner(policy)
    made._bytes_per_step(rollout)
    assert torch.equal(weights(policy), before) and torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_memory_of_tensors_is_counted_in_passes_backward_too():
    weight, x = torch.randn(100, 100, requires_grad=True), torch.randn(10, 100)
    with TensorMemory() as memory:
        y = (x @ weight).exp().sin()
        assert memory.now == 2 * 4000  # what exp and sin gave; the product is gone
        torch.zeros(7).add_(1)
        assert memory.now == 2 * 4000
        y.sum().backward()
        assert memory.now == 4000 + 40_000
        del y
        assert memory.now == 40_000  # the gradient
        assert memory.peak >= 44_000
        weight.grad = None
    assert memory.now == 0


def test_after_a_gradient_that_is_no_number_nothing_is_applied():
    policy = ToyPolicy()
    rollout = a_rollout(policy)
    calls, states = [], []

    def loss_of(logits, values, steps):
        states.append(weights(policy))
        calls.append(len(steps))
        return Loss(values.sum() * (float("inf") if len(calls) == 2 else 1.0), {})

    with pytest.raises(NotFinite, match=r"nan|inf"):
        learner(policy).update(rollout, loss_of, lr=1e-2, epochs=2, minibatches=3, max_grad_norm=1.0)
    assert not torch.equal(states[0], states[1])  # the first step was taken
    assert all(torch.equal(state, states[1]) for state in (*states[2:], weights(policy)))


def _share_of_two(rank, port, folder):
    """One of two processes, the second of which has little memory."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    roomy = ToyPolicy()
    rollout = a_rollout(roomy, steps=7 + 4 * rank, rows=5, seed=rank)
    for name, policy in (("roomy", roomy), ("cramped", Cramped(room=12) if rank else ToyPolicy())):
        made = Learner(policy, Accelerator(cpu=True), weight_decay=0.0, seed=5)
        made.micro_batches.plan(1)
        made.optimizer.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0, fused=True)
        made.update(rollout, of_rollout(rollout), lr=0.1, epochs=2, minibatches=3, max_grad_norm=1e9)
        torch.save((policy.state_dict(), made.micro_batches.most), f"{folder}/{name}-{rank}.pt")
    assert not rank or policy.failures == 1
    made.accelerator.end_training()


@pytest.mark.slow
def test_processes_wait_for_the_one_that_tries_again(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_share_of_two, (port, str(tmp_path)), nprocs=2)
    told = {name: torch.load(tmp_path / f"{name}.pt") for name in ("roomy-0", "roomy-1", "cramped-0", "cramped-1")}
    assert [told[f"cramped-{rank}"][1] for rank in (0, 1)] == [1, 2]
    for weights, _ in told.values():
        for name, value in told["roomy-0"][0].items():
            assert torch.allclose(weights[name], value, atol=EXACT), name
