"""Before and while a backbone is loaded: configs that lie, short memory, models in parts or on several devices."""

import gc
import json
import time

import pytest
import torch
from backbone_models import DECODER, TEXTS, observations, relative, save_tiny_llama
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, Gemma3Config, Gemma3ForConditionalGeneration

from llarp_cli import registry
from llarp_cli.backbones import models, products, sizing
from llarp_cli.backbones.models import ModelMaker
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem


def load(name, **options):
    return registry.load("backbone", name).load(BackboneOptions(name=name, **options), "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


def lying(folder, tmp_path, **changes):
    """A copy of the folder whose config says something else."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    return copy


# Configs


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 128}, r"'embed_tokens.weight' is \[512, 128\] by the config and \[512, 64\] in the files"),
        ({"num_key_value_heads": 1}, r"'layers.0.self_attn.k_proj.weight' is \[16, 64\]"),
        ({"num_attention_heads": 3}, r"hidden size \(64\) is not a multiple"),
        ({"hidden_size": 10**9}, "take 6,217.5 GiB in float32"),
        ({"vocab_size": 10**12}, "GiB in float32"),
        ({"num_hidden_layers": 10**7}, "it has 10000000 layers"),
        ({"num_hidden_layers": 0}, "it has 0 layers"),
        ({"hidden_size": 0}, "its hidden size is 0"),
        ({"hidden_size": "many"}, "expected int"),
        ({"hidden_act": "nope"}, "it knows no 'nope'"),
        ({"rope_parameters": {"rope_type": "nope"}}, "it knows no 'nope'"),
        ({"quantization_config": 3}, "cannot load"),
        ({"auto_map": {"AutoConfig": "code.Config"}, "model_type": "own"}, "custom code"),
    ],
)
def test_a_config_that_lies_is_one_line_and_takes_no_memory(folder, tmp_path, changes, reason):
    copy = lying(folder, tmp_path, **changes)
    begun = time.process_time()
    with pytest.raises(UsageProblem, match=reason) as problem:
        load(f"hf:{copy}")
    assert str(copy) in problem.value.message
    assert "\n" not in problem.value.message
    assert problem.value.hint
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("changes", [{"hidden_size": 10**9}, {"hidden_size": 0}, {"num_hidden_layers": 10**7}])
def test_nor_are_random_weights_drawn_for_it(folder, tmp_path, changes):
    with pytest.raises(UsageProblem, match=r"GiB in float32|no model that can be built"):
        load(f"hf:{lying(folder, tmp_path, **changes)}", weights="random")


# Memory


def test_weights_that_do_not_fit_are_refused_with_what_would(monkeypatch):
    monkeypatch.setattr(sizing, "free_memory", lambda device: 8 << 30)
    with pytest.raises(
        UsageProblem, match=r"'llama-7b' take 24\.6 GiB in float32; 8\.0 GiB are free on cpu"
    ) as problem:
        load("llama-7b", weights="random")
    assert "backbone.quantization=4bit takes 3.9 GiB" in problem.value.hint
    assert "backbone.device_map=auto" in problem.value.hint


@pytest.mark.parametrize(
    ("name", "quantization", "gigabytes"),
    [("llama-7b", "none", 13.2), ("llama-7b", "8bit", 6.7), ("llama-7b", "4bit", 4.0), ("llama-13b", "4bit", 7.5)],
)
def test_what_published_models_take_at_16_8_and_4_bits(name, quantization, gigabytes):
    config = AutoConfig.for_model(**registry.load("backbone", name).architecture)
    shape = sizing.outline(config, name, "")
    assert sizing.weight_bytes(shape, torch.bfloat16, quantization) / 1e9 == pytest.approx(gigabytes, abs=0.1)


def stored_bytes():
    """Of all tensors alive, each storage once."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    laid_out = sum(t.nbytes for t in tensors if t.is_mkldnn)  # by oneDNN, which shows no storage
    storages = [t.untyped_storage() for t in tensors if not t.is_mkldnn]
    return laid_out + sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_a_loaded_model_takes_what_was_foretold(quantization):
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_hidden_layers": 3}
    plugin = TransformersPlugin(summary="", architecture={"model_type": "llama", "vocab_size": 64, **sizes})
    before = stored_bytes()
    model = plugin.load(BackboneOptions(name="x", quantization=quantization), "cpu")
    taken = stored_bytes() - before
    shape = sizing.outline(model.model.config, "x", "")
    foretold = sizing.weight_bytes(shape, torch.float32, quantization)
    linear = sum(module.weight.numel() for module in shape.modules() if isinstance(module, nn.Linear))
    assert foretold / linear == pytest.approx({"none": 4, "8bit": 1, "4bit": 0.5625}[quantization], abs=0.06)
    laid_out = quantization == "none" and products.onednn_is_faster()  # of a small model, before it learns
    assert taken == pytest.approx(foretold + 4 * linear * laid_out, rel=0.1)


# Several parts


def test_the_language_model_is_taken_out_of_one_that_sees(folder, tmp_path):
    text = DECODER | {"head_dim": 8, "sliding_window": 8, "num_hidden_layers": 4, "sliding_window_pattern": 2}
    sight = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight |= {"image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=sight, mm_tokens_per_image=4)
    torch.manual_seed(0)
    whole = Gemma3ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path)
    for file in folder.glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = load(f"hf:{tmp_path}")
    assert model.parameters == whole.model.language_model.num_parameters()
    assert torch.equal(model.model.embed_tokens.weight, whole.model.language_model.embed_tokens.weight)
    assert load(f"hf:{tmp_path}", weights="random").parameters == model.parameters


# Several devices


@pytest.mark.parametrize("weights", [None, "random"])
@pytest.mark.parametrize(
    "device_map",
    [
        {"embed_tokens": "cpu", "rotary_emb": "cpu", "layers.0": "cpu", "layers.1": "disk", "norm": "disk"},
        {"embed_tokens": "disk", "rotary_emb": "cpu", "layers.0": "disk", "layers.1": "cpu", "norm": "cpu"},
    ],
)
def test_a_spread_model_is_the_same_model(folder, monkeypatch, device_map, weights):
    whole = load(f"hf:{folder}", weights=weights)
    placement = ModelMaker._placement
    monkeypatch.setattr(ModelMaker, "_placement", lambda self: placement(self) | {"device_map": device_map})
    spread = load(f"hf:{folder}", weights=weights, device_map="auto")
    assert any(parameter.is_meta for parameter in spread.model.parameters())
    assert spread.identity.hash == whole.identity.hash == spread.weights_hash()
    assert (spread.device, spread.dtype, spread.token_scale) == (whole.device, whole.dtype, whole.token_scale)

    lengths, hidden, gradients = [9, 1, 14, 6], [], []
    for model in (whole, spread):
        tokens = observations(whole, lengths).requires_grad_()
        hidden.append(model.forward(tokens, lengths, model.encode(TEXTS)))
        hidden[-1].square().sum().backward()
        gradients.append(tokens.grad)
        cache = model.open_cache(4, 16)
        cache.reset(range(4), model.encode(TEXTS))
        hidden.append(model.extend(tokens.detach(), lengths, cache, range(4)))
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.model.parameters())
    assert relative(gradients[1], gradients[0]) == 0
    assert relative(hidden[2], hidden[0]) == 0
    assert relative(hidden[3], hidden[1]) == 0


def test_a_model_that_fits_is_not_spread(folder):
    model = load(f"hf:{folder}", device_map="auto")
    assert {parameter.device.type for parameter in model.model.parameters()} == {"cpu"}
    assert model.identity.hash == load(f"hf:{folder}").identity.hash


def test_processes_of_one_machine_divide_its_memory(folder, monkeypatch):
    whole = load(f"hf:{folder}")
    size = sum(parameter.nbytes for parameter in whole.model.parameters())
    monkeypatch.setattr(models, "get_max_memory", lambda: {"cpu": round(1.5 * size)})
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    spread = load(f"hf:{folder}", device_map="auto")
    held = sum(parameter.nbytes for parameter in spread.model.parameters() if not parameter.is_meta)
    assert 0 < held < 0.75 * size, "the rest waits on the disk"
    tokens = observations(whole, [3, 2])
    hidden = [model.forward(tokens, [3, 2], model.encode(TEXTS[:2])) for model in (whole, spread)]
    assert relative(hidden[1], hidden[0]) < 1e-5


def test_a_file_that_holds_too_much_is_no_problem(folder, tmp_path):
    """A language-model head, say."""
    copy = lying(folder, tmp_path)
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, "other.weight": torch.zeros(3)}, copy / "model.safetensors", {"format": "pt"})
    assert load(f"hf:{copy}").identity.hash == load(f"hf:{folder}").identity.hash


@pytest.mark.parametrize(
    ("options", "key"),
    [({"quantization": "4bit"}, "backbone.quantization"), ({"device_map": "auto"}, "backbone.device_map"),
     ({"lora": {"rank": 4}}, "backbone.lora.rank")],
)  # fmt: skip
def test_graphs_are_for_plain_models_on_one_gpu(options, key):
    with pytest.raises(UsageProblem, match=f"backbone.cuda_graphs does not go with {key}"):
        registry.build("backbone", "tiny-llama", BackboneOptions(name="tiny-llama", cuda_graphs=True, **options), "cpu")
