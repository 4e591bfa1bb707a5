"""`llarp bench`: both layouts compute the same, and what is reported is what was measured."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViTConfig

from llarp_cli.backbones import products
from llarp_cli.bench.flops import linear_weights, llama_linear_weights, operations
from llarp_cli.bench.layouts import Ours, Reference
from llarp_cli.bench.llama import architecture
from llarp_cli.bench.measure import measure
from llarp_cli.bench.meter import PARTS, WAITING, PeakMemory, Shares, counted_tokens
from llarp_cli.bench.objective import ppo_objective
from llarp_cli.bench.reference import ReferenceRollout, as_reference
from llarp_cli.bench.synthetic import sentences
from llarp_cli.bench.update import Updates
from llarp_cli.bench.workload import Workload, load
from llarp_cli.errors import UsageProblem

SMALL = "hidden=32,layers=2,heads=2,vocabulary=200"
EXACT = 2e-5
FIGURES = {
    "seconds",
    "core_seconds",
    "environment_steps",
    "used_steps",
    "environment_steps_per_second",
    "environment_steps_per_core_second",
    "used_steps_per_second",
    "used_steps_per_core_second",
    "peak_memory_mib",
    "all_seconds",
    "all_core_seconds",
    "share",
    "tokens",
    "operations",
    "utilisation",
}


def workload(**changes) -> Workload:
    options = {
        "backbone": "llama",
        "llama": architecture(SMALL),
        "weights": "random",
        "prefix_cache_mb": 64,
        "vision": None,
        "vision_weights": None,
        "image_size": 16,
        "environment": "synthetic",
        "num_envs": 4,
        "rollout_steps": 16,
        "epochs": 2,
        "minibatches": 2,
        "instruction_tokens": 9,
        "instructions": 0,
        "episode_length": (4, 12),
        "dtype": "float32",
        "threads": 1,
        "layout": "both",
        "fragments": 0,
        "repeat": 1,
    }
    return Workload(**{**options, **changes})


def relative(found, wanted) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def louder(policy) -> None:
    """Logits far from uniform, so that differences show."""
    with torch.no_grad():
        nn.init.normal_(policy.adapter.decoder.mlp[-1].weight, std=0.1)


def side_by_side(**changes) -> tuple[Ours, Reference]:
    """Both layouts, reset, with the same weights."""
    parts = load(workload(**changes))
    ours, reference = Ours(parts), Reference(parts)
    louder(ours.policy)
    reference.policy.policy.load_state_dict(ours.policy.state_dict())
    ours.reset()
    reference.reset()
    return ours, reference


def of_ours(layout: Ours, rollout):
    """Logits and values of all new steps in order, with gradient, and their loss."""
    fragments, steps = rollout.fragments(range(len(rollout.trajectories)))
    logits, values = (one[fragments.learned] for one in layout.policy.evaluate(fragments))
    return in_order(logits, values, steps, ppo_objective(rollout, layout.ppo))


def of_reference(layout: Reference, collected: ReferenceRollout):
    with layout.policy.stock.attention():
        logits, values, steps = layout.learner.evaluate(collected, collected.rollout.trajectories)
    return in_order(logits, values, steps, ppo_objective(collected.rollout, layout.ppo))


def in_order(logits, values, steps, loss_of):
    assert sorted(steps.tolist()) == list(range(len(steps)))
    order = steps.argsort()
    return logits[order], values[order], loss_of(logits, values, steps).total / len(steps)


@pytest.mark.parametrize("backbone", ["llama", "minilm"])
def test_both_layouts_compute_the_same_losses_and_gradients_on_the_same_rollout(backbone):
    llama = architecture(SMALL) if backbone == "llama" else {}
    ours, reference = side_by_side(backbone=backbone, llama=llama, num_envs=3, rollout_steps=12)
    rollout = ours.rollout()
    assert rollout.kept == 0 and len(rollout.trajectories) > 3  # several episodes of a row
    logits, values, loss = of_ours(ours, rollout)
    loss.backward()
    collected = as_reference(rollout, reference.policy)
    their_logits, their_values, their_loss = of_reference(reference, collected)
    their_loss.backward()

    assert relative(their_logits, logits) < EXACT
    assert relative(their_values, values) < EXACT
    assert their_loss.item() == pytest.approx(loss.item(), rel=EXACT)
    theirs = dict(reference.policy.policy.named_parameters())
    for name, parameter in ours.policy.named_parameters():
        assert relative(theirs[name].grad, parameter.grad) < 10 * EXACT, name


def test_episodes_that_began_earlier_are_read_alike_as_long_as_weights_stay():
    ours, reference = side_by_side()
    ours.rollout()
    rollout = ours.rollout()
    assert rollout.kept > 0
    logits, values, loss = of_ours(ours, rollout)
    their_logits, their_values, their_loss = of_reference(reference, as_reference(rollout, reference.policy))
    assert relative(their_logits, logits) < EXACT
    assert relative(their_values, values) < EXACT
    assert their_loss.item() == pytest.approx(loss.item(), rel=EXACT)


def test_the_reference_layout_reads_earlier_steps_as_they_were_acted_on():
    _, reference = side_by_side()
    reference.rollout()
    with torch.no_grad():
        for parameter in reference.policy.policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    collected = reference.rollout()
    assert len(collected.stale) == collected.rollout.kept > 0
    assert relative(collected.stale, as_reference(collected.rollout, reference.policy).stale) > 1e-2


@pytest.mark.parametrize("recompute", [False, True])
def test_acting_on_a_rolled_cache_or_without_any_equals_ours(recompute):
    ours, reference = side_by_side()
    reference.policy.recompute = recompute
    for _ in range(3):
        mine, theirs = ours.rollout(), reference.rollout().rollout
        assert (theirs.ends == mine.ends).all() and mine.ends.any()
        assert [t.instruction for t in theirs.trajectories] == [t.instruction for t in mine.trajectories]
        assert (theirs.actions[theirs.kept :] == mine.actions[mine.kept :]).all()
        assert relative(theirs.values, mine.values) < EXACT
        assert relative(theirs.log_probs, mine.log_probs) < EXACT


def test_instructions_of_different_lengths_are_padded_and_the_cache_grows_with_them():
    ours, reference = side_by_side()
    tokenize, lengths = ours.parts.backbone.tokenize, [3, 9, 14, 5, 20, 7] * 10
    texts = [next(sentences(tokenize, length, 0, seed)) for seed, length in enumerate(lengths)]
    for layout in (ours, reference):
        layout.environments[0]._instructions = iter(texts)
        layout.reset()
        reference.policy._cache = None
    for _ in range(2):
        mine, theirs = ours.rollout(), reference.rollout().rollout
        assert relative(theirs.values, mine.values) < EXACT


def test_the_reference_layout_draws_as_many_fragments_as_environments_and_leaves_steps_unused():
    _, reference = side_by_side(num_envs=8, rollout_steps=32)
    collected = reference.rollout()
    lengths = {len(one.steps) for one in collected.rollout.trajectories}
    seen: list[int] = []
    evaluate = reference.learner.evaluate

    def counted(rollout, chosen):
        seen.append(len(chosen))
        return evaluate(rollout, chosen)

    reference.learner.evaluate = counted
    used = reference.learn(collected, drawn=8)
    assert seen == [1] * 16  # one fragment a minibatch, 8 minibatches, 2 epochs: as shipped
    assert 8 * min(lengths) <= used < 8 * 32
    assert reference.learn(collected, drawn=None) == 8 * 32


def test_an_update_begins_from_the_same_weights_each_time():
    ours, reference = side_by_side()
    rollout = ours.rollout()
    for layout, parameters in ((ours, ours.policy), (reference, reference.policy.policy)):
        layout.learner.random = np.random.Generator(np.random.PCG64(1))
        layout.update(rollout)
        first = [parameter.clone() for parameter in parameters.parameters()]
        layout.learner.random = np.random.Generator(np.random.PCG64(1))
        layout.update(rollout)
        assert all((a == b).all() for a, b in zip(first, parameters.parameters(), strict=True))


class Sleeper:
    """A layout that takes a known time."""

    def __init__(self, name: str, seconds: float, used: int):
        self.name, self.seconds, self.used = name, seconds, used

    def run(self) -> int:
        time.sleep(self.seconds)
        return self.used

    def watch(self, shares: Shares) -> None:
        pass


def test_the_ratio_is_the_reference_s_time_by_ours_per_used_step():
    parts = load(workload(repeat=3))
    told = measure(parts, [Sleeper("ours", 0.02, 100), Sleeper("reference", 0.05, 50)], 100)
    assert told["ratio"] == pytest.approx(5.0, rel=0.2)
    assert told["ours"]["environment_steps_per_second"] == pytest.approx(100 / 0.02, rel=0.2)
    assert told["reference"]["used_steps_per_second"] == pytest.approx(50 / 0.05, rel=0.2)
    assert told["ours"]["share"][WAITING] > 0.9
    assert len(told["ours"]["all_seconds"]) == 3


def test_shares_are_counted_once_and_add_up():
    class Work:
        def outer(self):
            busy(0.03)
            self.inner()

        def inner(self):
            busy(0.06)

    def busy(seconds):
        begun = time.thread_time()
        while time.thread_time() - begun < seconds:
            pass

    work, shares = Work(), Shares(torch.device("cpu"))
    shares.watch(work, "outer", "environment")
    shares.watch(work, "inner", "render")
    share = shares.measure(work.outer)
    assert sum(share.values()) == pytest.approx(1.0)
    assert share["render"] == pytest.approx(2 * share["environment"], rel=0.1)
    assert "outer" not in vars(work)


def test_tokens_and_operations_are_what_torch_counts(monkeypatch):
    monkeypatch.setattr(products, "BYTES_AT_MOST", 0)  # torch does not count oneDNN's own operators
    ours = side_by_side()[0]
    model = ours.parts.backbone.model
    rollout = ours.rollout()
    fragments, _ = rollout.fragments(range(len(rollout.trajectories)))
    weights = linear_weights(model)
    assert weights == llama_linear_weights(32, 2, 256)
    with counted_tokens(model) as tokens, FlopCounterMode(display=False) as counter:
        ours.policy.evaluate(fragments)[0].sum().backward()
    assert tokens == {"without_gradient": 0, "with_gradient": 64}
    by_module = counter.get_flop_counts()["Global"]
    counted = by_module[torch.ops.aten.mm]  # attention is counted as bmm
    assert operations(weights, tokens) <= counted
    assert counted - operations(weights, tokens) < 0.1 * counted + 3 * 2 * 64 * sum(
        module.weight.numel() for module in ours.policy.adapter.modules() if isinstance(module, nn.Linear)
    )


def test_peak_memory_sees_what_was_given_back():
    memory = PeakMemory(torch.device("cpu"))
    memory.begin()
    before = memory.read()
    torch.ones(256 << 20, dtype=torch.uint8)  # far more than a busy system takes away meanwhile
    assert memory.read() - before > 48 << 20


@pytest.mark.parametrize("tokens", [4, 10, 30])
def test_synthetic_instructions_have_exactly_so_many_tokens(tokens):
    tokenize = load(workload(backbone="minilm", llama={})).backbone.tokenize
    texts = sentences(tokenize, tokens, 0, 0)
    some = [next(texts) for _ in range(20)]
    assert {len(ids) for ids in tokenize(some)} == {tokens}
    few = sentences(tokenize, tokens, 3, 0)
    assert len({next(few) for _ in range(40)}) <= 3
    assert len(set(some)) > 10


def test_the_home_s_episodes_can_be_cut_short():
    parts = load(workload(environment="home", vision="cnn", episode_length=(3, 6)))
    environment = parts.environment()
    environment.reset()
    ended = np.zeros((30, 4), bool)
    for t in range(30):
        _, _, terminations, truncations, _ = environment.step(np.full(4, 3))
        ended[t] = terminations | truncations
    environment.close()
    gaps = np.concatenate([np.diff(np.flatnonzero(column)) for column in ended.T])
    assert gaps.min() >= 3 and gaps.max() <= 6 and len(set(gaps)) > 1


def test_sizes_of_a_llama():
    assert architecture("hidden=4096,layers=32,heads=32")["intermediate_size"] == 11008
    assert architecture("hidden=64, layers=2, heads=4, key_heads=2")["num_key_value_heads"] == 2
    for text, message in (
        ("hiden=64,layers=2,heads=2", "unknown size in --llama 'hiden'"),
        ("hidden=64,layers=2", "--llama names no heads"),
        ("hidden=64,layers=two,heads=2", "--llama layers = 'two' is not a whole number above 0"),
        ("hidden=64,layers=2,heads=5", "--llama: 5 heads do not share 64 numbers evenly, in pairs"),
    ):
        with pytest.raises(UsageProblem) as problem:
            architecture(text)
        assert problem.value.message == message


@pytest.mark.parametrize("work", ["rollout", "update", "train"])
def test_the_commands_write_a_table_and_json(llarp, tmp_path, work):
    options = ["--llama", SMALL, "--num-envs", "4", "--rollout-steps", "8", "--repeat", "2", "--threads", "1"]
    options += ["--environment", "synthetic", "--layout", "both", "--instruction-tokens", "8", "--json", "told.json"]
    result = llarp("bench", work, *options, *(["--recompute"] if work == "rollout" else []))
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["measured"] == work
    layouts = ["ours", "reference"] + ["recompute"] * (work == "rollout")
    for name in layouts:
        more = {"checkpoint_mib"} if work == "train" else set()
        if (work, name) == ("rollout", "ours"):
            more = {"rebuild_seconds", "rebuild_core_seconds"}
        assert set(told[name]) == FIGURES | more
        assert set(told[name]["share"]) == {*PARTS, WAITING}
        assert sum(told[name]["share"].values()) == pytest.approx(1.0, abs=0.01)
        assert name in result.stdout
    assert {"versions", "processor", "date"} <= set(told["machine"])
    assert told["workload"]["num_envs"] == 4
    assert f"ratio, reference / ours: {told['ratio']:.2f}" in result.stdout
    if work == "rollout":
        acting = told["ours"]["seconds"] - told["ours"]["rebuild_seconds"]
        assert 0 < acting < told["ours"]["seconds"]
        assert told["ratio_acting"] == pytest.approx(told["reference"]["seconds"] / acting, rel=0.01)
        assert f"with the cache kept: {told['ratio_acting_recompute']:.2f}" in result.stdout
    per_step = [told[name]["all_seconds"] for name in ("ours", "reference")]
    if work != "train":
        medians = [float(np.median(seconds)) for seconds in per_step]
        assert told["ratio"] == pytest.approx(medians[1] / medians[0], rel=0.01)
        assert told["ours"]["used_steps"] == told["reference"]["used_steps"] == 32
    else:
        assert told["ours"]["checkpoint_mib"] > told["trained_parameters"] * 12 / 2**20
        frozen = told["backbone_parameters"] * 4 / 2**20
        assert told["reference"]["checkpoint_mib"] > frozen + told["trained_parameters"] * 12 / 2**20 - 0.01


def test_the_command_for_a_gpu_runs_in_small_on_a_processor(llarp, tmp_path):
    """The same path as --backbone llama-7b --vision vit-b: random weights, bfloat16, the home, a vision transformer."""
    tiny = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    tiny.save_pretrained(tmp_path / "vit")
    options = ["--llama", SMALL, "--vision", f"hf:{tmp_path / 'vit'}", "--vision-weights", "random"]
    options += ["--dtype", "bfloat16"]
    options += ["--num-envs", "2", "--rollout-steps", "4", "--repeat", "1", "--json", "told.json", "--layout", "both"]
    result = llarp("bench", "train", *options)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["dtype"] == "bfloat16"
    assert told["workload"]["environment"] == "home"
    assert told["ours"]["share"]["vision"] > 0 and told["ours"]["share"]["render"] > 0


def test_mistakes_are_told_in_a_line(llarp):
    for arguments, message in (
        (["--episode-length", "9-4"], "--episode-length '9-4' is not two numbers of steps"),
        (["--environment", "home", "--episode-length", "9-40"], "--episode-length: the home's episodes end after 32"),
        (["--llama", "hidden=64"], "--llama names no layers"),
        (["--llama", SMALL, "--weights", "x/y"], "a --llama of chosen size has random weights"),
        (["--instruction-tokens", "2"], "no instruction of 2 tokens: marks and a word are 3"),
        (["--backbone", "tiny-mistral", "--layout", "reference"], "the reference layout has no sliding windows"),
    ):
        result = llarp("bench", "update", "--num-envs", "2", *arguments)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith(f"error: {message}"), result.stderr
        assert "\nhint: " in result.stderr


def test_updates_count_every_step_of_the_rollout():
    ours, reference = side_by_side()
    rollout = ours.rollout()
    assert Updates(ours, rollout).run() == Updates(reference, rollout).run() == 64
