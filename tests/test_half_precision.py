"""A language model in half precision, all that is trained in float32; and updates that nobody waits for."""

from __future__ import annotations

import warnings

import pytest
import torch
from accelerate import Accelerator
from backbone_models import TEXTS, observations, stock
from doubles import make_policy
from test_microbatches import of_policy
from test_ppo import learner, of_rollout
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from llarp_cli import registry
from llarp_cli.config import BackboneOptions
from llarp_cli.learning.learner import Learner

LENGTHS = [9, 1, 14, 6]
OPTIONS = {"lr": 1e-3, "epochs": 2, "minibatches": 3, "max_grad_norm": 1.0}


def backbone(dtype="bfloat16", device="cpu", **options):
    options = BackboneOptions(name="tiny-llama", dtype=dtype, **options)
    return registry.load("backbone", "tiny-llama").load(options, device)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_only_the_language_model_computes_in_it(dtype):
    model = backbone(dtype)
    policy = make_policy("llarp", action_tokens=1, backbone=model)
    rollout = of_policy(policy, LENGTHS, policy.num_actions)
    within = []
    for layer in model.model.layers:
        layer.register_forward_hook(lambda _, given, out: within.append({given[0].dtype, out.dtype}))
    logits, values = policy.evaluate(rollout.fragments(range(4))[0])
    assert within == [{model.dtype}] * 4  # two layers read the instructions, then the observations
    assert (logits.dtype, values.dtype) == (torch.float32, torch.float32)

    made = learner(policy)
    made.update(rollout, of_rollout(rollout), **OPTIONS, recompute=True)
    assert rollout.log_probs.dtype == rollout.values.dtype == torch.float32
    state = [value for held in made.optimizer.state.values() for value in held.values()]
    assert {tensor.dtype for tensor in (*policy.parameters(), *state)} == {torch.float32}
    assert all(torch.isfinite(parameter).all() for parameter in policy.parameters())
    assert model.weights_hash() == model.identity.hash


@pytest.mark.parametrize("rank", [0, 2])
def test_small_gradients_survive_float16(rank):
    """A loss a millionth of the size gives gradients a millionth of the size, and they are float32's."""
    if rank:
        pytest.importorskip("peft", reason="needs the extra lora")
    lora = {"rank": rank, "dropout": 0.0} if rank else {}
    half, whole = (make_policy("llarp", backbone=backbone(dtype, lora=lora)) for dtype in ("float16", "float32"))
    whole.load_state_dict(half.state_dict())
    fragments = of_policy(half, LENGTHS, half.num_actions).fragments(range(4))[0]

    def gradients(policy, size):
        policy.zero_grad()
        logits, values = policy.evaluate(fragments)
        (size * (logits.square().mean() + values.mean())).backward()
        trained = [policy.adapter.observation, *([policy.updates] if rank else [])]
        return [torch.cat([p.grad.flatten() / size for p in part.parameters()]) for part in trained]

    for wanted, *found in zip(
        gradients(whole, 1.0), gradients(half, 1.0), gradients(half, 1e-5), gradients(half, 1e-6), strict=True
    ):
        for one in found:
            assert (one - wanted).norm() < 0.05 * wanted.norm()


def test_it_rounds_as_the_stock_model_does():
    """To float32 weights' results, ours is as near as the stock model's in the same precision."""
    half, plain = backbone(), stock(backbone()).bfloat16()
    exact = stock(half, {name: value.float() for name, value in half.model.state_dict().items()}).float()
    tokens = observations(half, [20])
    (ids,) = half.tokenize(TEXTS[:1])
    ours = half.forward(tokens, [20], half.encode(TEXTS[:1])).float()
    errors = []
    for model in (plain, exact):
        dtype = next(model.parameters()).dtype
        embedded = model.get_input_embeddings()(torch.tensor(ids))
        whole = torch.cat([embedded, tokens.to(torch.bfloat16).to(dtype)])[None]
        errors.append(model(inputs_embeds=whole).last_hidden_state[0, len(ids) :].float())
    theirs, wanted = errors
    assert 0 < (ours - wanted).norm() < 1.5 * (theirs - wanted).norm()


class Waits(TorchDispatchMode):
    """Finds what makes a program wait for a GPU: numbers fetched, shapes that depend on numbers."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            one.dtype == torch.bool for one in tree_iter(arguments[1]) if isinstance(one, torch.Tensor)
        )
        if masks or name in ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal"):
            self.found.append(name)
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_an_update_waits_for_nothing(checkpointing):
    policy = make_policy("llarp", action_tokens=1, backbone=backbone(gradient_checkpointing=checkpointing))
    rollout = of_policy(policy, LENGTHS, policy.num_actions)
    rollout.rewards = rollout.rewards.expand(-1, 4)  # as of several environments: three minibatches
    made, loss_of = learner(policy), of_rollout(rollout)
    made.update(rollout, loss_of, **OPTIONS, recompute=True)
    with Waits() as waits:
        torch.ones(3)[torch.ones(3) > 0].sum().item()
    assert waits.found == ["index", "_local_scalar_dense"]  # it sees what it looks for
    with Waits() as waits:
        figures = made.update(rollout, loss_of, **OPTIONS, recompute=True)
    assert figures["grad_norm"] > 0
    assert waits.found == []  # and the figures at the end come as one list


@pytest.mark.gpu
def test_on_a_gpu_an_update_waits_once():
    policy = make_policy("llarp", backbone=backbone(device="cuda"))
    rollout = of_policy(policy, LENGTHS, policy.num_actions)
    for name in ("features", "actions", "log_probs", "values", "rewards", "next_values", "ends"):
        setattr(rollout, name, getattr(rollout, name).cuda())
    made, loss_of = Learner(policy, Accelerator(), weight_decay=0.0, seed=0), of_rollout(rollout)
    made.update(rollout, loss_of, **OPTIONS)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            made.update(rollout, loss_of, **OPTIONS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in told if "synchroniz" in str(one.message)]
    assert len(waits) <= 1, [f"{one.filename}:{one.lineno}" for one in waits]


@pytest.mark.gpu
@pytest.mark.parametrize("checkpointing", [False, True])
def test_on_a_gpu_minibatches_are_cut_where_its_memory_runs_out(checkpointing):
    weights, taken = [], 0
    for cramped in (False, True):
        policy = make_policy("llarp", backbone=backbone("float32", "cuda", gradient_checkpointing=checkpointing))
        rollout = of_policy(policy, [32] * 256, policy.num_actions)
        for name in ("features", "actions", "log_probs", "values", "rewards", "next_values", "ends"):
            setattr(rollout, name, getattr(rollout, name).cuda())
        made = Learner(policy, Accelerator(), weight_decay=0.0, seed=0)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        made.micro_batches.plan(1)  # as if there were room
        if cramped:  # a third of what the whole minibatch took
            allowed = (before + taken // 3) / torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(allowed)
        try:
            made.update(rollout, of_rollout(rollout), lr=1e-3, epochs=1, minibatches=1, max_grad_norm=1.0)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        taken = torch.cuda.max_memory_allocated() - before
        weights.append((made.micro_batches.most, torch.cat([p.detach().flatten() for p in policy.parameters()])))
    assert weights[0][0] == 1 and weights[1][0] > 1
    assert (weights[0][1] - weights[1][1]).abs().max() < 1e-4
