"""All learned policies: acting step by step equals evaluating whole episodes, for any layout of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from doubles import FakeBackbone, FakeEncoder, make_policy

from llarp_cli import registry
from llarp_cli.config import AdapterOptions, BackboneOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.contract import Fragments
from llarp_cli.policy.parts import EPISODE_STEPS
from llarp_cli.rearrangement.environment import MAX_STEPS

KINDS = ["llarp", "lstm", "lstm-backbone", "transformer"]
LAYOUTS = [(1, 0), (4, 1)]
TEXTS = ["fetch me an apple", "put a lemon on the sofa please, and do not drop it", "tidy up", "a"]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def play(policy, steps: int, rows: int, seed: int = 0, end: float = 0.2, deterministic: bool = False):
    """Act with random episode ends; return every episode's fragment, its rows' order and its logits."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    state = policy.initial_state(rows)
    starts = np.ones(rows, bool)
    previous = np.full(rows, -1, np.int64)
    texts = [""] * rows
    episodes: list[dict] = []
    current: list[dict] = [{}] * rows
    for _ in range(steps):
        for row in np.flatnonzero(starts):
            texts[row] = TEXTS[rng.integers(len(TEXTS))]
            previous[row] = -1
            current[row] = {"text": texts[row], "features": [], "previous": [], "logits": [], "values": [], "row": row}
            episodes.append(current[row])
        pictures = rng.integers(0, 256, (rows, policy.image_size, policy.image_size, 3), dtype=np.uint8)
        features = policy.perceive(pictures)
        decision = policy.act(
            features, texts, state, starts, previous, deterministic=deterministic, generator=generator
        )
        for row in range(rows):
            current[row]["features"].append(features[row])
            current[row]["previous"].append(int(previous[row]))
            current[row]["logits"].append(decision.logits[row])
            current[row]["values"].append(decision.values[row])
        previous = decision.actions.numpy().copy()
        starts = rng.random(rows) < end
    return episodes, state, starts


def pack(episodes: list[dict]) -> Fragments:
    return Fragments(
        features=torch.stack([f for e in episodes for f in e["features"]]),
        instructions=[e["text"] for e in episodes],
        lengths=[len(e["features"]) for e in episodes],
        previous_actions=torch.tensor([a for e in episodes for a in e["previous"]]),
        learned=torch.ones(sum(len(e["features"]) for e in episodes), dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tokens", "action_tokens"), LAYOUTS)
def test_acting_equals_evaluating_through_mid_batch_resets(kind, tokens, action_tokens):
    policy = make_policy(kind, tokens, action_tokens)
    episodes, _, _ = play(policy, steps=12, rows=3)
    assert len(episodes) > 6
    logits, values = policy.evaluate(pack(episodes))
    acted = torch.stack([step for e in episodes for step in e["logits"]])
    torch.testing.assert_close(logits, acted, atol=1e-5, rtol=0)
    torch.testing.assert_close(values, torch.stack([v for e in episodes for v in e["values"]]), atol=1e-5, rtol=0)
    assert logits.std(0).max() > 1e-3  # the logits do depend on what was seen


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mistral"])
def test_the_same_holds_with_a_language_model(name):
    backbone = registry.load("backbone", name).load(BackboneOptions(name=name), "cpu")
    policy = make_policy("llarp", 4, 1, backbone=backbone)
    episodes, _, _ = play(policy, steps=12, rows=3)
    logits, values = policy.evaluate(pack(episodes))
    acted = torch.stack([step for e in episodes for step in e["logits"]])
    torch.testing.assert_close(logits, acted, atol=1e-5, rtol=0)
    torch.testing.assert_close(values, torch.stack([v for e in episodes for v in e["values"]]), atol=1e-5, rtol=0)
    logits.square().sum().backward()
    assert policy.adapter.observation.mlp[0].weight.grad.abs().max() > 0
    assert backbone.weights_hash() == backbone.identity.hash


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tokens", "action_tokens"), LAYOUTS)
def test_a_rebuilt_state_goes_on_as_the_acted_one(kind, tokens, action_tokens):
    policy = make_policy(kind, tokens, action_tokens)
    rows = 4
    episodes, state, starts = play(policy, steps=9, rows=rows, end=0.3)
    starts[1] = True  # one row without steps so far
    running = [[e for e in episodes if e["row"] == row][-1] for row in range(rows)]
    kept = [{**e, "features": [], "previous": []} if starts[row] else e for row, e in enumerate(running)]
    fragments = pack([e for e in kept if e["features"]])
    fragments = Fragments(
        fragments.features,
        [e["text"] for e in kept],
        [len(e["features"]) for e in kept],
        fragments.previous_actions,
        fragments.learned,
    )
    assert 0 in fragments.lengths
    rebuilt = policy.initial_state(rows)
    policy.rebuild(rebuilt, fragments)
    pictures = np.random.default_rng(1).integers(0, 256, (rows, 16, 16, 3), dtype=np.uint8)
    previous = np.where(starts, -1, 5)
    texts = [e["text"] for e in kept]
    features = policy.perceive(pictures)
    before = policy.act(features, texts, state, starts, previous, deterministic=True)
    after = policy.act(features, texts, rebuilt, starts, previous, deterministic=True)
    torch.testing.assert_close(before.logits, after.logits, atol=1e-5, rtol=0)
    assert torch.equal(before.actions, after.actions)


def longer(episode: dict, feature: torch.Tensor, action: int) -> dict:
    """An episode with one more step."""
    return {**episode, "features": [*episode["features"], feature], "previous": [*episode["previous"], action]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tokens", "action_tokens"), LAYOUTS)
def test_values_after_the_last_step_are_those_of_the_whole_episode_and_leave_no_trace(kind, tokens, action_tokens):
    policy = make_policy(kind, tokens, action_tokens)
    episodes, state, _ = play(policy, steps=9, rows=4, end=0.3)
    running = [[e for e in episodes if e["row"] == row][-1] for row in range(4)]
    pictures = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    features, rows, actions = policy.perceive(pictures), [3, 1], torch.tensor([5, 17])
    values = policy.values_after(state, rows, features[rows], actions)
    fragments = pack([longer(running[row], features[row], int(a)) for row, a in zip(rows, actions, strict=True)])
    with torch.no_grad():
        _, whole = policy.evaluate(fragments)
    torch.testing.assert_close(values, whole[torch.tensor(fragments.lengths).cumsum(0) - 1], atol=1e-5, rtol=0)
    # All rows go on as if nobody had asked.
    goes_on = policy.act(
        features, [e["text"] for e in running], state, np.zeros(4, bool), np.full(4, 5), deterministic=True
    )
    whole = pack([longer(e, f, 5) for e, f in zip(running, features, strict=True)])
    with torch.no_grad():
        logits, _ = policy.evaluate(whole)
    torch.testing.assert_close(goes_on.logits, logits[torch.tensor(whole.lengths).cumsum(0) - 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_rebuild_is_fine(kind):
    policy = make_policy(kind)
    empty = Fragments(torch.zeros(0, 1, 12).half(), ["", ""], [0, 0], torch.zeros(0).long(), torch.zeros(0).bool())
    policy.rebuild(policy.initial_state(2), empty)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_mates_and_padding_change_nothing(kind):
    policy = make_policy(kind, 4, 1)
    episodes, _, _ = play(policy, steps=10, rows=3)
    together, values = policy.evaluate(pack(episodes))
    alone = [policy.evaluate(pack([episode])) for episode in episodes]
    torch.testing.assert_close(together, torch.cat([a[0] for a in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(values, torch.cat([a[1] for a in alone]), atol=1e-5, rtol=0)
    assert torch.equal(together.argmax(-1), torch.cat([a[0] for a in alone]).argmax(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_previous_action_is_seen_only_with_action_tokens(kind):
    for action_tokens in (0, 1):
        policy = make_policy(kind, 1, action_tokens)
        features = policy.perceive(np.zeros((2, 16, 16, 3), np.uint8))
        fragments = [
            Fragments(features, ["tidy up"], [2], torch.tensor([-1, action]), torch.ones(2, dtype=torch.bool))
            for action in (3, 4)
        ]
        first, second = (policy.evaluate(f)[0] for f in fragments)
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1]) == (action_tokens == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_choice_takes_all_tokens_of_its_step_into_account(kind):
    policy = make_policy(kind, 4, 1)
    features = policy.perceive(np.zeros((2, 16, 16, 3), np.uint8))
    for token in range(4):
        other = features.clone()
        other[1, token] += torch.arange(12).half()
        before, after = (
            policy.evaluate(Fragments(f, ["tidy up"], [2], torch.tensor([-1, 3]), torch.ones(2, dtype=torch.bool)))[0]
            for f in (features, other)
        )
        assert torch.equal(before[0], after[0])
        assert not torch.allclose(before[1], after[1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_generators_draw_equal_actions(kind):
    policy = make_policy(kind)
    draws = [[e["previous"] for e in play(policy, 8, 3, seed=4)[0]] for _ in range(2)]
    assert draws[0] == draws[1]
    other = [e["previous"] for e in play(policy, 8, 3, seed=5)[0]]
    assert other != draws[0]


def test_actions_are_drawn_from_the_softmax():
    from llarp_cli.policy.parts import choose

    logits = torch.tensor([0.0, 1.0, 2.0]).repeat(20_000, 1)
    decision = choose(logits, torch.zeros(20_000), False, torch.Generator().manual_seed(0))
    shares = torch.bincount(decision.actions, minlength=3) / 20_000
    torch.testing.assert_close(shares, logits[0].softmax(0), atol=0.015, rtol=0)
    torch.testing.assert_close(decision.log_probs, logits[0].log_softmax(0)[decision.actions])


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_parameter_and_only_trained_ones_are_registered(kind):
    policy = make_policy(kind, 4, 1, trained_vision=True)
    episodes, _, _ = play(policy, steps=6, rows=2)
    logits, values = policy.evaluate(pack(episodes))
    (logits.square().sum() + values.square().sum()).backward()
    assert not [name for name, parameter in policy.named_parameters() if parameter.grad is None]
    assert set(policy.state_dict()) == {name for name, _ in policy.named_parameters()}
    assert not any("backbone" in name or "frozen" in name for name in policy.state_dict())
    backbone = policy.frozen.backbone
    assert all(p.grad is None for p in backbone.model.parameters())
    assert backbone.weights_hash() == backbone.identity.hash


def test_observation_tokens_have_the_scale_of_words():
    policy = make_policy("llarp", 4, 1)
    for scale in (1e-3, 1.0, 1e3):
        tokens = policy.adapter.tokens(torch.randn(32, 4, 12) * scale, torch.arange(32))
        assert tokens.shape == (32, 5, policy.frozen.backbone.hidden_size)
        assert tokens.std().item() == pytest.approx(policy.frozen.backbone.token_scale, rel=0.15)


def test_choices_are_wide_open_at_first():
    episodes, _, _ = play(make_policy("llarp"), steps=5, rows=2)
    probabilities = torch.stack(episodes[0]["logits"]).softmax(-1)
    assert probabilities.shape[-1] == 70
    assert probabilities.max() < 2 / 70


def test_an_instruction_too_long_for_the_context_is_refused():
    policy = make_policy("llarp")
    features = policy.perceive(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(UsageProblem, match="do not fit"):
        policy.act(features, ["a" * 500], policy.initial_state(1), np.ones(1, bool), np.array([-1]))


def test_a_policy_provides_for_the_environments_episodes():
    assert EPISODE_STEPS == MAX_STEPS
    policy = make_policy("llarp", 4, 1)  # the picture after the last skill is evaluated with its episode
    features = policy.perceive(np.zeros((33, 16, 16, 3), np.uint8))
    learned = torch.zeros(33, dtype=torch.bool)
    policy.evaluate(Fragments(features, ["a" * (300 - 33 * 5)], [33], torch.full((33,), -1), learned))
    with pytest.raises(UsageProblem, match="do not fit the 300"):
        policy.evaluate(Fragments(features, ["a" * (301 - 33 * 5)], [33], torch.full((33,), -1), learned))


def test_frozen_parts_stay_out_even_when_they_are_modules():
    class ModuleBackbone(FakeBackbone, torch.nn.Module):
        def __init__(self):
            torch.nn.Module.__init__(self)
            FakeBackbone.__init__(self)

    from llarp_cli.policy.llarp import LLaRPPolicy

    policy = LLaRPPolicy(ModuleBackbone(), FakeEncoder(), AdapterOptions(hidden=8, decoder_hidden=8))
    assert all(name.startswith("adapter.") for name in policy.state_dict())
