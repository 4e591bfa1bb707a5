"""4-bit and 8-bit backbones on the CPU: exact gradients, frozen, rows independent of one another."""

import importlib.util

import pytest
import torch
from backbone_models import TEXTS, observations, plain_forward, relative, save_tiny_llama, stock
from torch import nn

from llarp_cli import registry
from llarp_cli.backbones import weights
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

bitsandbytes = pytest.importorskip("bitsandbytes")

EXACT = 1e-5
LENGTHS = [9, 1, 14, 6]
offers_repacking = getattr(bitsandbytes.nn.modules, "has_avx512bf16", None)
"""Of the processor; versions before 0.49 repack nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(params=["8bit", "4bit"])
def quantized(request, folder):
    options = BackboneOptions(name=f"hf:{folder}", quantization=request.param)
    return registry.load("backbone", options.name).load(options, "cpu")


def dequantised(linear):
    """The full-precision weights that a quantised linear stands for."""
    if isinstance(linear, bitsandbytes.nn.Linear4bit):
        return bitsandbytes.functional.dequantize_4bit(linear.weight.data, linear.weight.quant_state)
    return linear.weight.data.float() * linear.state_dict()["SCB"][:, None] / 127


def full_precision(model):
    """The weights of a stock float32 model that equals the quantised one."""
    weights = {name: tensor for name, tensor in model.model.named_parameters() if tensor.is_floating_point()}
    linears = [(name, module) for name, module in model.model.named_modules() if isinstance(module, nn.Linear)]
    return weights | {f"{name}.weight": dequantised(linear) for name, linear in linears}


def test_every_linear_is_quantised(quantized):
    linears = [module for module in quantized.model.modules() if isinstance(module, nn.Linear)]
    assert len(linears) == 14
    assert not any(type(linear) is nn.Linear for linear in linears)


def after_passes_without_gradient(model):
    """Hidden states and gradients of a model that has acted before."""
    prefixes = model.encode(TEXTS)
    cache = model.open_cache(4, 16)
    cache.reset(range(4), prefixes)
    model.extend(observations(model, [2] * 4), [2] * 4, cache, range(4))

    tokens = observations(model, LENGTHS).requires_grad_()
    hidden = model.forward(tokens, LENGTHS, prefixes)
    (hidden * weight_of_gradients(model)).sum().backward()
    return hidden.detach(), tokens.grad


def weight_of_gradients(model):
    return torch.randn(sum(LENGTHS), model.hidden_size, generator=torch.Generator().manual_seed(1))


def dequantised_model(model):
    """Hidden states and gradients of the stock float32 model that the quantised one stands for."""
    plain, tokens = stock(model, full_precision(model)), observations(model, LENGTHS).requires_grad_()
    parts = zip(model.tokenize(TEXTS), tokens.split(LENGTHS), strict=True)
    hidden = torch.cat([plain_forward(plain, ids, part, causal=True) for ids, part in parts])
    (hidden * weight_of_gradients(model)).sum().backward()
    return hidden.detach(), tokens.grad


def test_gradients_are_those_of_the_dequantised_model_after_passes_without_gradient(quantized):
    hidden, gradients = after_passes_without_gradient(quantized)
    expected, expected_gradients = dequantised_model(quantized)
    assert relative(hidden, expected) < EXACT
    assert relative(gradients, expected_gradients) < EXACT


@pytest.mark.skipif(
    offers_repacking is None or not offers_repacking(), reason="for AVX512-BF16 processors alone are 4 bits repacked"
)
@pytest.mark.filterwarnings("ignore:bitsandbytes..gemv_4bit. an autograd kernel was not registered")
def test_repacked_4_bits_have_wrong_gradients_which_is_why_they_are_not_repacked(folder, monkeypatch):
    options = BackboneOptions(name=f"hf:{folder}", quantization="4bit")
    load = registry.load("backbone", options.name).load
    exact = load(options, "cpu")
    monkeypatch.setattr(weights, "_differentiate_exactly", lambda model, device: None)
    repacked = load(options, "cpu")
    (_, gradients), (_, wrong) = after_passes_without_gradient(exact), after_passes_without_gradient(repacked)
    assert relative(gradients, dequantised_model(exact)[1]) < EXACT
    assert relative(wrong, gradients) > 0.2


@pytest.mark.skipif(offers_repacking is None, reason="this bitsandbytes repacks nothing")
def test_repacking_without_autograd_stays_off_on_cpus_that_offer_it(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    assert bitsandbytes.nn.Linear4bit(8, 8).support_avx512bf16_for_cpu
    options = BackboneOptions(name=f"hf:{folder}", quantization="4bit")
    model = registry.load("backbone", options.name).load(options, "cpu")
    for file in folder.glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model.model.save_pretrained(tmp_path)
    options = BackboneOptions(name=f"hf:{tmp_path}")  # files that are quantised themselves
    again = registry.load("backbone", options.name).load(options, "cpu")
    for loaded in (model, again):
        linears = [module for module in loaded.model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
        assert len(linears) == 14
        assert not any(linear.support_avx512bf16_for_cpu for linear in linears)


def test_norms_and_embeddings_keep_full_precision_and_are_frozen_with_the_rest(quantized):
    whole = {name: tensor for name, tensor in quantized.model.named_parameters() if tensor.is_floating_point()}
    assert {name.split(".")[-2] for name in whole} >= {"embed_tokens", "norm", "input_layernorm"}
    assert all(tensor.dtype == torch.float32 for tensor in whole.values())
    assert not any(tensor.requires_grad for tensor in quantized.model.parameters())


def test_training_leaves_the_weights_as_they_were(quantized):
    before = quantized.identity.hash
    tokens = observations(quantized, LENGTHS).requires_grad_()
    quantized.forward(tokens, LENGTHS, quantized.encode(TEXTS)).sum().backward()
    assert not any(parameter.requires_grad for parameter in quantized.model.parameters())
    assert quantized.weights_hash() == before


def test_an_episode_does_not_depend_on_those_beside_it(quantized):
    prefixes = quantized.encode(TEXTS[:2])
    tokens = observations(quantized, [5])
    alone = quantized.forward(tokens, [5], prefixes[:1])
    loud = 50 * observations(quantized, [9], seed=1)
    assert relative(quantized.forward(torch.cat([tokens, loud]), [5, 9], prefixes)[:5], alone) < EXACT


@pytest.mark.gpu
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_on_a_gpu_rollouts_updates_and_gradients_are_those_of_the_cpu(folder, quantization):
    options = BackboneOptions(name=f"hf:{folder}", quantization=quantization, dtype="float16")
    there = registry.load("backbone", options.name).load(options, "cuda")
    options = options.model_copy(update={"dtype": "float32"})
    here = registry.load("backbone", options.name).load(options, "cpu")
    assert not any(parameter.requires_grad for parameter in there.model.parameters())
    results = []
    for model in (here, there):
        tokens = observations(here, LENGTHS).to(model.device).requires_grad_()
        prefixes = model.encode(TEXTS)
        hidden = model.forward(tokens, LENGTHS, prefixes)
        hidden.float().square().sum().backward()
        cache = model.open_cache(4, 16)
        cache.reset(range(4), prefixes)
        acted = model.extend(tokens.detach(), LENGTHS, cache, range(4))
        assert relative(acted.float(), hidden.detach().float()) < 2e-2
        results.append((hidden.detach().float().cpu(), tokens.grad.float().cpu()))
    assert relative(results[1][0], results[0][0]) < 5e-2
    assert relative(results[1][1], results[0][1]) < 1e-1


@pytest.mark.parametrize("name", ["tiny-llama-8bit", "tiny-llama-4bit"])
def test_the_tiny_quantised_plugins_differ_from_tiny_llama_and_are_seeded(name):
    load = lambda name: registry.load("backbone", name).load(BackboneOptions(name=name), "cpu")  # noqa: E731
    first, second, full = load(name), load(name), load("tiny-llama")
    assert first.identity.hash == second.identity.hash != full.identity.hash
    tokens = observations(full, [6])
    hidden = [model.forward(tokens, [6], model.encode(TEXTS[:1])) for model in (first, full)]
    assert 1e-4 < relative(*hidden) < 0.5


def test_quantization_can_be_switched_off_by_the_recipe():
    options = BackboneOptions(name="tiny-llama-4bit", quantization="none")
    model = registry.load("backbone", options.name).load(options, "cpu")
    assert all(type(module) is nn.Linear for module in model.model.modules() if isinstance(module, nn.Linear))


def test_without_bitsandbytes_the_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(UsageProblem, match="needs the package 'bitsandbytes'") as problem:
        registry.load("backbone", "tiny-llama-4bit").load(BackboneOptions(name="tiny-llama-4bit"), "cpu")
    assert problem.value.hint == "pip install 'llarp[quantized]'"
