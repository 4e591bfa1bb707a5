"""The rollout cache gives, step by step, what the full forward pass gives."""

import numpy as np
import pytest
import torch
from backbone_models import TEXTS, backbone, observations, relative
from torch.fx.experimental.proxy_tensor import make_fx

from llarp_cli.backbones.row_attention import extend_rows
from llarp_cli.backbones.steps import Steps
from llarp_cli.errors import UsageProblem

EXACT = 1e-5
LONG = " ".join(["put the apple on the table and"] * 8)


class Episodes:
    """Rows of a cache, and by their side all tokens of each row's episode so far."""

    def __init__(self, model, rows, capacity):
        self.model = model
        self.cache = model.open_cache(rows, capacity)
        self.texts = [None] * rows
        self.tokens = [None] * rows

    def reset(self, rows, texts):
        self.cache.reset(rows, self.model.encode(texts))
        for row, text in zip(rows, texts, strict=True):
            self.texts[row], self.tokens[row] = text, torch.zeros(0, self.model.hidden_size)

    def step(self, rows, lengths, seed):
        """Extend the rows, and compare with a forward pass over their whole episodes."""
        new = observations(self.model, lengths, seed)
        hidden = self.model.extend(new, lengths, self.cache, rows)
        for row, part in zip(rows, new.split(lengths), strict=True):
            self.tokens[row] = torch.cat([self.tokens[row], part])
        whole = [self.tokens[row] for row in rows]
        counts = [len(tokens) for tokens in whole]
        full = self.model.forward(torch.cat(whole), counts, self.model.encode([self.texts[row] for row in rows]))
        ends = zip(full.split(counts), lengths, strict=True)
        expected = torch.cat([part[len(part) - length :] for part, length in ends])
        assert hidden.shape == new.shape
        assert relative(hidden, expected) < EXACT


@pytest.mark.parametrize("model_type", ["llama", "mistral", "gpt2", "opt", "gpt_neox", "bert", "roberta"])
@pytest.mark.parametrize("tokens_per_step", [1, 5])  # K = 1, A = 0 and K = 4, A = 1
def test_rollout_equals_forward_through_resets_in_the_middle(model_type, tokens_per_step):
    model = backbone(model_type)
    draw = np.random.default_rng(0)
    rows, steps = 5, 12
    episodes = Episodes(model, rows, capacity=steps * tokens_per_step)
    episodes.reset(range(rows), [TEXTS[row % len(TEXTS)] for row in range(rows)])
    for step in range(steps):
        fresh = [row for row in range(rows) if draw.random() < 0.2]
        episodes.reset(fresh, [TEXTS[draw.integers(len(TEXTS))] for _ in fresh])
        episodes.step(range(rows), [tokens_per_step] * rows, seed=step)


@pytest.mark.parametrize("model_type", ["llama", "bert"])
def test_some_rows_in_any_order_with_uneven_numbers_of_tokens(model_type):
    model = backbone(model_type)
    draw = np.random.default_rng(1)
    episodes = Episodes(model, 6, capacity=60)
    episodes.reset(range(6), [*TEXTS, *TEXTS[:2]])
    for step in range(10):
        rows = draw.permutation(6)[: draw.integers(1, 7)].tolist()
        episodes.step(rows, draw.integers(1, 6, len(rows)).tolist(), seed=step)


def test_many_tokens_at_once_then_one_by_one():
    """A rollout state rebuilt from stored features carries on as if it had been stepped."""
    model = backbone("llama")
    lengths = [7, 0, 3, 11]
    tokens = observations(model, lengths)
    at_once, stepped = model.open_cache(4, 16), model.open_cache(4, 16)
    for cache in (at_once, stepped):
        cache.reset(range(4), model.encode(TEXTS))
    model.extend(tokens, lengths, at_once, range(4))
    for row, part in enumerate(tokens.split(lengths)):
        for token in part:
            model.extend(token[None], [1], stepped, [row])
    following = observations(model, [1] * 4, seed=9)
    results = [model.extend(following, [1] * 4, cache, range(4)) for cache in (at_once, stepped)]
    assert relative(*results) < EXACT


@pytest.mark.parametrize("model_type", ["llama", "mistral", "gemma2", "bert"])
def test_a_look_ahead_leaves_the_cache_as_it_was(model_type):
    model = backbone(model_type)
    episodes = Episodes(model, 3, capacity=12)
    episodes.reset(range(3), TEXTS[:3])
    episodes.step(range(3), [2, 2, 2], seed=0)
    new = observations(model, [2, 2], seed=7)
    ahead = model.extend(new, [2, 2], episodes.cache, [2, 0], keep=False)
    assert episodes.cache.lengths.tolist() == [model.encode([text])[0].length + 2 for text in TEXTS[:3]]
    for step in range(1, 4):
        episodes.step(range(3), [2, 2, 2], seed=step)
    other = Episodes(model, 3, capacity=12)
    other.reset(range(3), TEXTS[:3])
    other.step(range(3), [2, 2, 2], seed=0)
    assert relative(model.extend(new, [2, 2], other.cache, [2, 0]), ahead) < EXACT


@pytest.mark.parametrize("window", [None, 5])
def test_attention_over_rows_is_attention(window):
    """Few key heads, several tokens a row, rows in any order, scores large enough that a softmax saturates."""
    generator = torch.Generator().manual_seed(0)
    rows, slots, heads, key_heads, size = 4, 40, 6, 2, 16
    store = torch.randn(2, rows, key_heads, slots, size, generator=generator)
    row, slot = np.array([2, 2, 0, 3, 3, 3]), np.array([7, 8, 39, 0, 1, 2])
    query = 30 * torch.randn(len(row), heads, size, generator=generator)
    key, value = (torch.randn(len(row), key_heads, size, generator=generator) for _ in range(2))
    expected = store.clone()
    expected[0, row, :, slot], expected[1, row, :, slot] = key, value
    arrays = (x.numpy() for x in (query, key, value, store))
    out = torch.from_numpy(extend_rows(*arrays, row, slot, scaling=0.25, window=window))
    assert torch.equal(store, expected)
    for s in range(len(row)):
        seen = slice(0 if window is None else max(0, slot[s] + 1 - window), slot[s] + 1)
        keys, values = (x.repeat_interleave(heads // key_heads, 0)[:, seen] for x in expected[:, row[s]])
        weights = (0.25 * keys @ query[s].unsqueeze(-1)).softmax(1)
        torch.testing.assert_close(out[s], (weights * values).sum(1), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("tokens_per_step", [1, 5])
def test_steps_of_fixed_shapes_equal_forward_through_resets_and_growth(tokens_per_step):
    model = backbone("mistral")
    model.steps_recorded = True
    draw = np.random.default_rng(0)
    episodes = Episodes(model, 3, capacity=12 * tokens_per_step)
    episodes.reset(range(3), TEXTS[:3])
    for step in range(8):
        fresh = [row for row in range(3) if draw.random() < 0.2]
        episodes.reset(fresh, [LONG if step == 4 else TEXTS[draw.integers(len(TEXTS))] for _ in fresh])
        episodes.step(range(3), [tokens_per_step] * 3, seed=step)
    episodes.step([2, 0], [1, 2], seed=9)
    assert episodes.cache._steps.per_row == tokens_per_step
    episodes.step(range(3), [2 * tokens_per_step] * 3, seed=10)  # steps that are read again are no step
    assert episodes.cache._steps.per_row == tokens_per_step


@pytest.mark.parametrize("model_type", ["llama", "mistral", "gemma2", "gpt2", "bert"])
def test_one_recorded_graph_serves_all_steps(model_type):
    """Recorded as a GPU's graph is, whatever Python does in a step is done once: new contents, same operations."""
    model = backbone(model_type)
    draw, per_row = np.random.default_rng(0), 2
    moving, fixed = model.open_cache(4, 60), model.open_cache(4, 60)
    for cache in (moving, fixed):
        cache.reset(range(4), model.encode(TEXTS))
    steps = Steps(model.model, fixed.keys_values, per_row, model._first_position, torch.zeros(1, model.hidden_size))
    contents = steps.tokens, steps.starts, steps.store

    def compute(tokens, starts, store):
        steps.tokens, steps.starts, steps.store = tokens, starts, store
        return steps.compute()

    with torch.no_grad():
        graph = make_fx(compute)(*(x.clone() for x in contents))
        steps.tokens, steps.starts, steps.store = contents
        for step in range(14):
            fresh = [row for row in range(4) if draw.random() < 0.2]
            for cache in (moving, fixed):
                cache.reset(fresh, model.encode([TEXTS[step % len(TEXTS)] for _ in fresh]))
            new = observations(model, [per_row] * 4, seed=step)
            starts = moving.lengths.copy()
            expected = model.extend(new, [per_row] * 4, moving, range(4))
            steps.set(new, starts)
            assert relative(graph(*contents), expected) < EXACT
            fixed.lengths[:] = moving.lengths


def test_a_longer_instruction_makes_the_cache_grow_and_keeps_the_other_rows():
    model = backbone("llama")
    episodes = Episodes(model, 3, capacity=12)
    episodes.reset(range(3), TEXTS[:3])
    episodes.step(range(3), [2, 2, 2], seed=0)
    assert model.encode([LONG])[0].length > 40
    episodes.reset([1], [LONG])
    for step in range(1, 4):
        episodes.step(range(3), [2, 2, 2], seed=step)


def test_reset_of_no_rows_and_extension_by_no_tokens():
    model = backbone("llama")
    cache = model.open_cache(2, 4)
    cache.reset([], [])
    cache.reset([0, 1], model.encode(TEXTS[:2]))
    assert model.extend(torch.zeros(0, model.hidden_size), [0, 0], cache, [0, 1]).shape == (0, model.hidden_size)


def test_extension_has_no_gradient():
    model = backbone("llama")
    cache = model.open_cache(1, 4)
    cache.reset([0], model.encode(TEXTS[:1]))
    assert not model.extend(observations(model, [1]).requires_grad_(), [1], cache, [0]).requires_grad


def test_more_tokens_than_the_capacity_are_refused():
    model = backbone("llama")
    cache = model.open_cache(1, 4)
    cache.reset([0], model.encode(TEXTS[:1]))
    model.extend(observations(model, [4]), [4], cache, [0])
    with pytest.raises(ValueError, match="capacity of 4"):
        model.extend(observations(model, [1]), [1], cache, [0])


def test_more_tokens_than_the_context_are_a_usage_problem_that_names_the_numbers():
    model = backbone("llama")
    cache = model.open_cache(1, 500)
    cache.reset([0], model.encode(TEXTS[:1]))
    with pytest.raises(UsageProblem, match=r"episode of 130 tokens.*context of 128"):
        model.extend(observations(model, [126]), [126], cache, [0])
    model.extend(observations(model, [124]), [124], cache, [0])
