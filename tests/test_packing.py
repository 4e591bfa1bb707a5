"""Packed tokens behind cached prefixes give what the stock model gives, gradients included."""

import pytest
import torch
from backbone_models import ALL, DECODERS, TEXTS, WINDOW, backbone, observations, plain_forward, relative, stock
from numba.core import caching
from torch import nn
from torch.nn import functional

from llarp_cli.backbones import kernels, products
from llarp_cli.backbones.attention import Layout, Pass
from llarp_cli.backbones.behind import ForwardPass

EXACT = 1e-5
LENGTHS = [20, 3, 31, 12]


@pytest.mark.parametrize("model_type", ALL)
def test_hidden_states_and_gradients_equal_the_full_forward_pass(model_type):
    model = backbone(model_type)
    tokens = observations(model, LENGTHS).requires_grad_()
    weight = torch.randn(sum(LENGTHS), model.hidden_size, generator=torch.Generator().manual_seed(1))
    hidden = model.forward(tokens, LENGTHS, model.encode(TEXTS))
    (hidden * weight).sum().backward()

    plain, again = stock(model), tokens.detach().clone().requires_grad_()
    parts = zip(model.tokenize(TEXTS), again.split(LENGTHS), strict=True)
    expected = torch.cat([plain_forward(plain, ids, part, causal=model_type in DECODERS) for ids, part in parts])
    (expected * weight).sum().backward()

    assert relative(hidden, expected) < EXACT
    assert relative(tokens.grad, again.grad) < EXACT


@pytest.mark.parametrize("model_type", ALL)
def test_every_token_depends_on_its_instruction_and_its_past_alone(model_type):
    model = backbone(model_type)
    tokens = observations(model, [6]).requires_grad_()
    hidden = model.forward(tokens, [6], model.encode(TEXTS[:1]))
    other = model.forward(tokens, [6], model.encode(TEXTS[2:3]))
    assert relative(other, hidden) > 1e-2
    (gradient,) = torch.autograd.grad(hidden[3, : model.hidden_size // 2].sum(), tokens)
    assert gradient[4:].abs().max() == 0
    assert gradient[:4].abs().amax(1).min() > 1e-4


def test_sliding_window_hides_what_lies_behind_it():
    model = backbone("mistral")
    tokens = observations(model, [30]).requires_grad_()
    hidden = model.forward(tokens, [30], model.encode(TEXTS[:1]))
    (gradient,) = torch.autograd.grad(hidden[-1, 0], tokens)
    reach = 2 * (WINDOW - 1)  # two layers
    assert gradient[: 29 - reach].abs().max() == 0
    assert gradient[29 - reach].abs().max() > 0


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "mistral", "bert"])
def test_packed_equals_one_by_one(model_type):
    model = backbone(model_type)
    tokens = observations(model, LENGTHS)
    prefixes = model.encode(TEXTS)
    packed = model.forward(tokens, LENGTHS, prefixes)
    parts = zip(tokens.split(LENGTHS), LENGTHS, prefixes, strict=True)
    alone = torch.cat([model.forward(part, [length], [prefix]) for part, length, prefix in parts])
    assert relative(packed, alone) < EXACT


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "mistral", "bert"])
def test_longer_neighbours_change_nothing(model_type):
    """What a short episode is padded to, in attention, is its neighbours' length."""
    model = backbone(model_type)
    tokens = observations(model, [4])
    (short,) = model.encode(TEXTS[2:3])
    alone = model.forward(tokens, [4], [short])
    for length in (5, 17, 60):
        beside = torch.cat([tokens, 100 * observations(model, [length], seed=length)])
        both = model.forward(beside, [4, length], [short, *model.encode(TEXTS[1:2])])
        assert relative(both[:4], alone) < EXACT


def test_episodes_without_tokens_are_allowed():
    model = backbone("llama")
    tokens = observations(model, [5, 2])
    prefixes = model.encode(TEXTS)
    with_gaps = model.forward(tokens, [0, 5, 0, 2], prefixes)
    without = model.forward(tokens, [5, 2], [prefixes[1], prefixes[3]])
    assert relative(with_gaps, without) < EXACT
    assert model.forward(tokens[:0], [0, 0], prefixes[:2]).shape == (0, model.hidden_size)


def test_gradient_is_finite_with_very_uneven_lengths():
    model = backbone("mistral")
    tokens = observations(model, [1, 40]).requires_grad_()
    model.forward(tokens, [1, 40], model.encode(TEXTS[:2])).square().sum().backward()
    assert torch.isfinite(tokens.grad).all()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "bert"])
def test_an_instruction_reads_alike_to_the_last_bit_whatever_is_read_with_it(model_type):
    texts = [" ".join(f"w{(7 * i + j) % 90}" for j in range(1 + i % 40)) for i in range(60)]
    together = backbone(model_type).encode(texts)
    assert {prefix.length for prefix in together} >= set(range(2, 33))
    alone = backbone(model_type)
    for text, prefix in list(zip(texts, together, strict=True))[::7]:
        assert torch.equal(alone.encode([text])[0].keys_values, prefix.keys_values)


@pytest.mark.parametrize("model_type", ["llama", "bert"])
@pytest.mark.parametrize("steps", [1, products.ROWS_AT_ONCE + 3])
def test_laid_out_weights_give_the_same_products_and_leave_the_stock_model_alone(model_type, steps, monkeypatch):
    monkeypatch.setattr(products, "onednn_is_faster", torch.backends.mkldnn.is_available)
    model = backbone(model_type)
    linears = [module for module in model.model.modules() if isinstance(module, nn.Linear)]
    assert linears
    for linear in linears:
        rows = torch.randn(1, steps, linear.in_features, generator=torch.Generator().manual_seed(0))
        weight = torch.randn(1, steps, linear.out_features, generator=torch.Generator().manual_seed(1))
        expected = functional.linear(rows, linear.weight, linear.bias)
        ours, stock = rows.clone().requires_grad_(), rows.clone().requires_grad_()
        with Pass([Layout([0], [steps])]):
            product = linear(ours)
            with torch.no_grad():
                assert relative(linear(rows), expected) < EXACT
        assert relative(product, expected) < EXACT
        assert torch.equal(linear(stock), expected)
        (product * weight).sum().backward()
        (functional.linear(stock, linear.weight, linear.bias) * weight).sum().backward()
        assert relative(ours.grad, stock.grad) < EXACT
    assert model.weights_hash() == model.identity.hash


def laid_out(model):
    return ["forward" in vars(module) for module in model.model.modules() if isinstance(module, nn.Linear)]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
def test_small_models_keep_their_weights_laid_out_and_large_ones_do_not(monkeypatch):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    assert all(laid_out(backbone("llama")))
    monkeypatch.setattr(products, "BYTES_AT_MOST", 1000)
    assert not any(laid_out(backbone("llama")))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
@pytest.mark.parametrize(
    "maker, mkl, faster", [("GenuineIntel", True, False), ("GenuineIntel", False, True), ("AuthenticAMD", True, True)]
)
def test_mkl_multiplies_on_intels_processors_and_onednn_on_others(maker, mkl, faster, monkeypatch):
    monkeypatch.setattr(products, "_processor", lambda: f"vendor_id: {maker}")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert products.onednn_is_faster() == faster


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "bert"])
def test_compiled_attention_equals_that_of_other_devices(model_type):
    """Shared instructions, grouped key heads, sliding windows, episodes of one step; gradients too."""
    model = backbone(model_type)
    lengths, texts = [20, 1, 31, 12], [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[3]]
    weight = torch.randn(sum(lengths), model.hidden_size, generator=torch.Generator().manual_seed(1))
    found = []
    for compiled in (True, False):
        tokens = observations(model, lengths).requires_grad_()
        packed = ForwardPass(lengths, model.encode(texts))
        assert packed.compiled
        packed.compiled = compiled
        hidden = model.run(packed, tokens)
        (hidden * weight).sum().backward()
        found.append((hidden, tokens.grad))
    assert relative(found[0][0], found[1][0]) < EXACT
    assert relative(found[0][1], found[1][1]) < EXACT


def test_attention_is_compiled_where_it_cannot_be_kept(monkeypatch):
    def refuse(self):
        raise OSError(30, "read-only file system")

    def doubled(x):
        return 2 * x

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    assert kernels.compiled(doubled)(3) == 6
