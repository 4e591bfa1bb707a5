"""Layers that run again in the pass backward: the same gradients, with the instruction's prefix, in less memory."""

from __future__ import annotations

import threading

import pytest
import torch
from backbone_models import ALL, DECODER, TEXTS, observations, save_tiny_llama
from torch import nn

from llarp_cli import registry
from llarp_cli.backbones import checkpointing, sizing
from llarp_cli.backbones.activations import TensorMemory
from llarp_cli.backbones.models import ModelMaker
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

LENGTHS = [9, 1, 14, 6]
FALCON = {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False}
MIXTURE = DECODER | {"num_local_experts": 4, "num_experts_per_tok": 2}
FAMILIES = {**ALL, "falcon": FALCON, "mixtral": MIXTURE}


def pair(model_type, **options):
    """The same model without and with."""
    plugin = TransformersPlugin(summary="", architecture={"model_type": model_type, **FAMILIES[model_type]})
    models = []
    for mode in (False, True):
        torch.manual_seed(0)
        settings = BackboneOptions(name=f"test-{model_type}", gradient_checkpointing=mode, **options)
        models.append(plugin.load(settings, "cpu"))
    return models


def learned(model):
    """Hidden states, gradients of tokens and of what is trained, peak memory of the pass."""
    torch.manual_seed(1)
    if model.trained is not None:
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.trained.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    tokens = observations(model, LENGTHS).requires_grad_()
    weight = torch.randn(sum(LENGTHS), model.hidden_size, generator=torch.Generator().manual_seed(3))
    prefixes = model.encode(TEXTS)
    with TensorMemory() as memory:
        hidden = model.forward(tokens, LENGTHS, prefixes)
        (hidden * weight).sum().backward()
    trained = [] if model.trained is None else [parameter.grad for parameter in model.trained.parameters()]
    return [hidden.detach(), tokens.grad, *trained], memory.peak


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.abs().max() > 0
        assert torch.equal(one, other)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_gradients_are_the_same_to_the_last_bit(model_type):
    plain, again = pair(model_type)
    assert (plain.recomputed_layers, again.recomputed_layers) == (0, 2)
    (first, peak), (second, less) = learned(plain), learned(again)
    same(first, second)
    assert less < peak
    same(first, learned(again)[0])


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt", "gemma2", "bert"])
def test_also_those_of_low_rank_updates_through_the_prefix_and_with_dropout(model_type):
    plain, again = pair(model_type, lora={"rank": 4, "dropout": 0.3})
    same(learned(plain)[0], learned(again)[0])


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_also_of_quantised_models(quantization):
    pytest.importorskip("bitsandbytes")
    plain, again = pair("llama", quantization=quantization)
    same(learned(plain)[0], learned(again)[0])


def test_also_in_bfloat16():
    plain, again = pair("llama", dtype="bfloat16")
    same(learned(plain)[0], learned(again)[0])


def test_also_of_a_model_on_several_devices(tmp_path, monkeypatch):
    name = f"hf:{save_tiny_llama(tmp_path)}"
    load = registry.load("backbone", name).load
    plain = load(BackboneOptions(name=name), "cpu")
    spread = {"embed_tokens": "cpu", "rotary_emb": "cpu", "layers.0": "disk", "layers.1": "cpu", "norm": "disk"}
    placement = ModelMaker._placement
    monkeypatch.setattr(ModelMaker, "_placement", lambda self: placement(self) | {"device_map": spread})
    again = load(BackboneOptions(name=name, device_map="auto", gradient_checkpointing=True), "cpu")
    assert any(parameter.is_meta for parameter in again.model.parameters())
    same(learned(plain)[0], learned(again)[0])


def test_the_pass_backward_may_be_another_thread_s():
    """As a GPU's is, where the pass that was made is no longer, or another one."""
    plain, again = pair("mistral")
    weight = torch.randn(sum(LENGTHS), 32, generator=torch.Generator().manual_seed(3))
    gradients = []
    for model in (plain, again):
        tokens = observations(model, LENGTHS).requires_grad_()
        loss = (model.forward(tokens, LENGTHS, model.encode(TEXTS)) * weight).sum()
        model.forward(observations(model, [3], seed=5).requires_grad_(), [3], model.encode(TEXTS[:1]))
        thread = threading.Thread(target=loss.backward)
        thread.start()
        thread.join()
        gradients.append(tokens.grad)
    assert torch.equal(*gradients)


def test_what_is_kept_grows_with_layers_inputs_alone():
    """A deep narrow model: beside the prefixes, a layer keeps one hidden state of each token."""
    sizes = DECODER | {"num_hidden_layers": 12}
    plugin = TransformersPlugin(summary="", architecture={"model_type": "llama", **sizes})
    kept = []
    for mode in (False, True):
        model = plugin.load(BackboneOptions(name="deep", gradient_checkpointing=mode), "cpu")
        prefix = model.encode(["go"])
        tokens = observations(model, [100]).requires_grad_()
        with TensorMemory() as memory:
            hidden = model.forward(tokens, [100], prefix)
            kept.append(memory.now)
            del hidden
    inputs, base = 12 * 100 * 32 * 4, 12 * 2 * 2 * 101 * 8 * 4
    assert kept[1] < 1.5 * (inputs + base)
    assert kept[1] < kept[0] / 4


def test_without_gradient_nothing_runs_twice():
    again = pair("llama")[1]
    calls = []
    again.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        prefixes = again.encode(TEXTS)
        again.forward(observations(again, LENGTHS), LENGTHS, prefixes)
    before = len(calls)
    tokens = observations(again, LENGTHS).requires_grad_()
    again.forward(tokens, LENGTHS, prefixes).sum().backward()
    assert len(calls) == before + 2


def test_automatic_where_memory_is_short(monkeypatch):
    plugin = registry.load("backbone", "tiny-llama")
    model = plugin.load(BackboneOptions(name="tiny-llama"), "cpu")
    assert model.recomputed_layers == 0
    needed = sizing.SENSIBLE_TOKENS * checkpointing.kept_per_token(model)
    for free, layers in ((1.01 * needed, 0), (0.99 * needed, 2)):
        monkeypatch.setattr(checkpointing, "usable_memory", lambda device, free=free: free)
        assert plugin.load(BackboneOptions(name="tiny-llama"), "cpu").recomputed_layers == layers
    off = BackboneOptions(name="tiny-llama", gradient_checkpointing=False)
    assert plugin.load(off, "cpu").recomputed_layers == 0


def test_layers_that_cannot_run_again_are_told(monkeypatch):
    monkeypatch.setattr(checkpointing, "GradientCheckpointingLayer", nn.GRU)
    with pytest.raises(UsageProblem, match=r"backbone\.gradient_checkpointing = true: the layers of backbone 'test-"):
        pair("llama")
