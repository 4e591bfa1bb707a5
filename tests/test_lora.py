"""A backbone that is not frozen: gradients through the instruction too, prefixes as old as the weights, records."""

import importlib.util
import json
import re

import numpy as np
import pytest
import torch
from backbone_models import ALL, DECODERS, TEXTS, observations, plain_forward, relative
from doubles import install_doubles

from llarp_cli import registry
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions, Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.export import export_policy
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.files import open_policy, save_policy
from llarp_cli.train import train

pytest.importorskip("peft")

EXACT = 1e-5
LENGTHS = [20, 3, 31, 12]
ALIKE = [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]]


def load(model_type, quantization="none", **lora):
    plugin = TransformersPlugin(summary="", architecture={"model_type": model_type, **ALL[model_type]})
    options = BackboneOptions(name="test", quantization=quantization, lora={"rank": 4, **lora})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return plugin.load(options, "cpu")


def disturb(model, seed=0, scale=0.1):
    """As after an update: the matrices that begin at zero no longer are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.trained.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=scale)


def gradients(model, hidden, tokens):
    weight = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((hidden * weight).sum(), [tokens, *model.trained.parameters()])


@pytest.mark.parametrize(
    ("model_type", "targets"),
    [
        ("llama", ()),
        ("llama", ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")),
        ("gpt2", ("c_attn", "c_proj")),
        ("opt", ("k_proj", "v_proj", "fc1")),
        ("qwen2", ("k_proj", "v_proj")),
        ("gemma2", ("k_proj", "v_proj", "down_proj")),
        ("bert", ("key", "value")),
    ],
)
def test_gradients_equal_those_of_a_plain_full_forward_pass(model_type, targets):
    model = load(model_type, targets=targets)
    disturb(model)
    tokens = observations(model, LENGTHS).requires_grad_()
    hidden = model.forward(tokens, LENGTHS, model.encode(ALIKE))
    ours = gradients(model, hidden, tokens)

    model.model.set_attn_implementation("eager")
    again = tokens.detach().clone().requires_grad_()
    parts = zip(model.tokenize(ALIKE), again.split(LENGTHS), strict=True)
    causal = model_type in DECODERS
    expected = torch.cat([plain_forward(model.model, ids, part, causal=causal) for ids, part in parts])
    theirs = gradients(model, expected, again)
    assert relative(hidden, expected) < EXACT
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        assert relative(one, other) < EXACT


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_updates_of_a_quantised_model_get_its_gradients(quantization):
    pytest.importorskip("bitsandbytes")
    model = load("llama", quantization)
    assert {parameter.dtype for parameter in model.trained.parameters()} == {torch.float32}
    disturb(model)
    tokens = observations(model, LENGTHS).requires_grad_()
    ours = gradients(model, model.forward(tokens, LENGTHS, model.encode(TEXTS)), tokens)
    model.model.set_attn_implementation("eager")
    parts = zip(model.tokenize(TEXTS), tokens.split(LENGTHS), strict=True)
    expected = torch.cat([plain_forward(model.model, ids, part, causal=True) for ids, part in parts])
    for one, other in zip(ours, gradients(model, expected, tokens), strict=True):
        assert relative(one, other) < EXACT


def test_updates_begin_without_effect_and_leave_the_stored_weights_alone():
    model, frozen = load("llama"), load("llama", rank=0)
    assert frozen.trained is None
    tokens = observations(model, LENGTHS)
    before = frozen.forward(tokens, LENGTHS, frozen.encode(TEXTS))
    assert relative(model.forward(tokens, LENGTHS, model.encode(TEXTS)), before) < 1e-5
    disturb(model)
    assert relative(model.forward(tokens, LENGTHS, model.encode(TEXTS)), before) > 1e-2
    assert model.identity.hash == frozen.identity.hash == model.weights_hash()
    assert model.parameters == frozen.parameters
    trained = {id(parameter) for parameter in model.trained.parameters()}
    assert {id(p) for p in model.model.parameters() if p.requires_grad} == trained


@pytest.mark.parametrize("kind", ["foreach", "fused"])
def test_a_prefix_is_kept_until_the_weights_change_and_never_with_gradient(kind):
    model = load("llama")
    with torch.no_grad():
        first = model.encode(TEXTS[:1])[0]
        assert model.encode(TEXTS[:1])[0] is first
        disturb(model)
        second = model.encode(TEXTS[:1])[0]
    assert relative(second.keys_values, first.keys_values) > 1e-3
    one, other = model.encode([TEXTS[0], TEXTS[0]])
    assert one is other and one.keys_values.requires_grad
    assert model.encode(TEXTS[:1])[0] is not one
    with torch.no_grad():
        assert model.encode(TEXTS[:1])[0] is second
        optimizer = torch.optim.AdamW(model.trained.parameters(), lr=0.1, **{kind: True})
    one.keys_values.square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        third = model.encode(TEXTS[:1])[0]
    assert relative(third.keys_values, second.keys_values) > 1e-3


def test_acting_equals_evaluating_with_the_weights_of_now():
    model = load("llama")
    tokens = observations(model, [4] * 4)
    for seed in range(2):
        disturb(model, seed)
        with torch.no_grad():
            prefixes = model.encode(TEXTS)
        cache = model.open_cache(4, 4)
        cache.reset(range(4), prefixes)
        acted = model.extend(tokens, [4] * 4, cache, range(4))
        evaluated = model.forward(tokens, [4] * 4, model.encode(TEXTS))
        assert evaluated.requires_grad and not acted.requires_grad
        assert relative(acted, evaluated.detach()) < EXACT


def test_dropout_is_for_updates_alone():
    model = load("llama", dropout=0.5)
    disturb(model)
    tokens = observations(model, LENGTHS)
    with torch.no_grad():
        first, second = (model.forward(tokens, LENGTHS, model.encode(TEXTS)) for _ in range(2))
    assert torch.equal(first, second)
    first, second = (model.forward(tokens, LENGTHS, model.encode(TEXTS)) for _ in range(2))
    assert relative(first, second) > 1e-3


# Refusals


def test_layers_that_are_not_there_are_refused_with_those_that_are():
    with pytest.raises(UsageProblem, match=r"backbone\.lora\.targets = \['nope'\]") as problem:
        load("llama", targets=("nope",))
    assert "\n" not in problem.value.message
    assert "[down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj]" in problem.value.hint


def test_without_peft_the_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    with pytest.raises(UsageProblem, match="needs the package 'peft'") as problem:
        load("llama")
    assert problem.value.hint == "pip install 'llarp[lora]'"


def test_a_spread_model_is_not_trained():
    options = BackboneOptions(name="tiny-llama", device_map="auto", lora={"rank": 4})
    with pytest.raises(UsageProblem, match="cannot be trained"):
        registry.load("backbone", "tiny-llama").load(options, "cpu")


# Policies and runs


def recipe(**changes):
    settings = {
        "backbone": {"name": "tiny-llama", "lora": {"rank": 4}},
        "vision": {"name": "fake", "image_size": 16},
        "adapter": {"hidden": 16, "decoder_hidden": 16},
    }
    return Recipe.model_validate(settings | changes)


@pytest.fixture
def doubles(tmp_path, monkeypatch):
    install_doubles(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"policy": "lstm"}, "leaves its backbone as it is"),
        ({"backbone": {"name": "fake", "lora": {"rank": 4}}}, "backbone 'fake' cannot be trained"),
    ],
)
def test_what_cannot_be_trained_is_refused(doubles, changes, says):
    with pytest.raises(UsageProblem, match=says):
        build_policy(recipe(**changes), "cpu")


def test_a_policy_owns_its_updates_and_files_hold_them(doubles, tmp_path):
    policy = build_policy(recipe(), "cpu")
    names = {name.partition(".")[0] for name, _ in policy.named_parameters()}
    assert names == {"adapter", "updates"}
    assert [n for n, _ in policy.named_parameters()] == [n for n, _ in build_policy(recipe(), "cpu").named_parameters()]
    disturb(policy.frozen.backbone)
    save_policy(policy, recipe(), tmp_path / "policy")
    config = json.loads((tmp_path / "policy" / "config.json").read_text())
    assert (config["backbone"]["frozen"], config["backbone"]["lora_rank"]) == (False, 4)

    opened, _ = open_policy(tmp_path / "policy")
    rgb = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)

    def logits(one):
        state = one.initial_state(2)
        return one.act(one.perceive(rgb), TEXTS[:2], state, np.ones(2, bool), np.full(2, -1)).logits

    assert torch.equal(logits(opened), logits(policy))
    assert not torch.equal(logits(opened), logits(build_policy(recipe(), "cpu")))

    export_policy(tmp_path / "policy", tmp_path / "export")
    card = (tmp_path / "export" / "README.md").read_text()
    assert "language model (not frozen: LoRA of rank 4 is among the trained parts)" in card
    assert "tuned by LoRA" in card
    assert torch.equal(logits(open_policy(tmp_path / "export")[0]), logits(policy))


def test_the_seed_decides_how_updates_begin(doubles):
    first, same, other = (build_policy(recipe(seed=seed), "cpu").updates for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_run_says_that_it_is_not_frozen_and_resumes_exactly(tmp_path):
    tasks = {"families": ["move"], "categories": ["apple"], "homes": 2, "objects": 8}
    settings = recipe(
        vision={"name": "cnn", "image_size": 32}, steps=64, num_envs=4, tasks=tasks, ppo={"rollout_steps": 8}
    )
    train(settings, run_dir=tmp_path / "whole")
    train(settings.model_copy(update={"steps": 32}), run_dir=tmp_path / "half")
    train(resume=tmp_path / "half", steps=64)

    log = (tmp_path / "whole" / "train.log").read_text()
    assert re.search(r"backbone +tiny-llama \(random\): not frozen: [\d,]+ parameters and LoRA of rank 4, [\d,]+", log)
    facts = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert (facts["backbone"]["frozen"], facts["backbone"]["lora_rank"]) == (False, 4)
    whole, resumed = (open_policy(tmp_path / name / "checkpoints" / "64")[0] for name in ("whole", "half"))
    fresh = build_policy(settings, "cpu")
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, dict(resumed.named_parameters())[name]), name
        if name.startswith("updates."):
            assert not torch.equal(parameter, dict(fresh.named_parameters())[name]), name
