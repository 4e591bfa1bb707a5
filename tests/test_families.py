"""Every family of decoders, feature by feature: our two ways through the model against the stock model's one."""

import numpy as np
import pytest
import torch
from backbone_models import DECODER, GPT2, OPT, TEXTS, WINDOW, observations, plain_forward, relative, stock

from llarp_cli.backbones.check import TESTED_FAMILIES
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions

EXACT = 2e-5  # of float32, summed in another order
LENGTHS = [20, 3, 31, 12]  # beyond the window of 8

HEADS = DECODER | {"head_dim": 8}
EVERY = DECODER | {"num_key_value_heads": 4}
WINDOWED = {"sliding_window": WINDOW}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN_WINDOWS = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
QWEN_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = EVERY | {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
ROUTED = {"n_routed_experts": 4, "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
NEOX = {key: value for key, value in DECODER.items() if key != "num_key_value_heads"}
FALCON = {key: value for key, value in NEOX.items() if key != "intermediate_size"}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}

FAMILIES = {
    "llama: every head its own keys": ("llama", EVERY),
    "llama: grouped queries, tied weights": ("llama", DECODER | {"tie_word_embeddings": True}),
    "llama: one key head": ("llama", DECODER | {"num_key_value_heads": 1}),
    "llama: rope of 3.1 and 3.2": ("llama", DECODER | {"rope_parameters": LLAMA3_ROPE}),
    "llama: yarn": ("llama", DECODER | {"rope_parameters": YARN}),
    "llama: biases": ("llama", DECODER | {"attention_bias": True, "mlp_bias": True}),
    "llama 4: some layers without positions": (
        "llama4_text",
        HEADS | EXPERTS | {"intermediate_size_mlp": 48, "attention_chunk_size": 64, "no_rope_layers": [1, 0]},
    ),
    "mistral: sliding window": ("mistral", DECODER | WINDOWED),
    "ministral": ("ministral", HEADS | WINDOWED),
    "ministral 3": ("ministral3", HEADS),
    "mixtral: experts, sliding window": ("mixtral", DECODER | EXPERTS | WINDOWED),
    "qwen 2: biases, window in some layers": ("qwen2", DECODER | QWEN_WINDOWS),
    "qwen 2 with experts": ("qwen2_moe", DECODER | QWEN_EXPERTS | {"shared_expert_intermediate_size": 16}),
    "qwen 3: normed queries and keys": ("qwen3", HEADS | QWEN_WINDOWS),
    "qwen 3 with experts": ("qwen3_moe", HEADS | QWEN_EXPERTS),
    "gemma 1: scaled embeddings, zero-centred norms": ("gemma", HEADS),
    "gemma 2: soft caps, alternating windows": (
        "gemma2",
        HEADS | WINDOWED | {"num_hidden_layers": 4, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0},
    ),
    "gemma 3: two rotations, alternating windows": (
        "gemma3_text",
        HEADS | WINDOWED | {"num_hidden_layers": 6, "query_pre_attn_scalar": 8, "sliding_window_pattern": 3},
    ),
    "vaultgemma": ("vaultgemma", HEADS | WINDOWED | {"query_pre_attn_scalar": 8}),
    "phi 1.5 and 2: partial rotation": ("phi", EVERY | {"partial_rotary_factor": 0.5}),
    "phi 3: joined projections, sliding window": ("phi3", DECODER | WINDOWED),
    "phi 4: partial rotation": ("phi3", HEADS | {"partial_rotary_factor": 0.5}),
    "phi with experts": ("phimoe", DECODER | EXPERTS),
    "gpt-2: learned positions": ("gpt2", GPT2),
    "gpt-2: scaled by layer": ("gpt2", GPT2 | {"scale_attn_by_inverse_layer_idx": True}),
    "starcoder 1: one key head": ("gpt_bigcode", GPT2),
    "gpt-neox, pythia: parallel residual": ("gpt_neox", NEOX),
    "gpt-neox: residual in turn": ("gpt_neox", NEOX | {"use_parallel_residual": False}),
    "gpt-oss: sinks, alternating windows": ("gpt_oss", HEADS | WINDOWED | EXPERTS),
    "opt: learned positions, narrow embeddings": ("opt", OPT),
    "opt 350m: norms behind": ("opt", OPT | {"do_layer_norm_before": False}),
    "biogpt": ("biogpt", NEOX),
    "falcon 7b: one key head": ("falcon", FALCON),
    "falcon 40b, 11b: grouped queries": ("falcon", FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon: every head its own keys": ("falcon", FALCON | {"multi_query": False, "parallel_attn": False}),
    "olmo 1: clipped": ("olmo", DECODER | {"clip_qkv": 1.0}),
    "olmo 2: normed queries and keys": ("olmo2", DECODER),
    "olmo 3: alternating windows": ("olmo3", DECODER | WINDOWED | {"num_hidden_layers": 4}),
    "olmo with experts": ("olmoe", DECODER | {"num_experts": 4, "num_experts_per_tok": 2}),
    "smollm 3: some layers without positions": ("smollm3", DECODER | {"no_rope_layer_interval": 2}),
    "stablelm: biases": ("stablelm", DECODER | {"use_qkv_bias": True}),
    "stablelm: normed heads, parallel residual": (
        "stablelm",
        DECODER | {"qk_layernorm": True, "use_parallel_residual": True},
    ),
    "starcoder 2: sliding window": ("starcoder2", DECODER | WINDOWED),
    "granite: multipliers": (
        "granite",
        DECODER | {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.3},
    ),
    "granite with experts": ("granitemoe", DECODER | EXPERTS),
    "cohere": ("cohere", DECODER),
    "cohere 2: alternating windows": (
        "cohere2",
        DECODER | WINDOWED | {"num_hidden_layers": 4, "sliding_window_pattern": 2},
    ),
    "glm": ("glm", HEADS),
    "glm 4": ("glm4", HEADS),
    "deepseek 2: latent keys and values, experts": ("deepseek_v2", LATENT | ROUTED | {"num_experts_per_tok": 2}),
    "deepseek 3": ("deepseek_v3", LATENT | ROUTED | {"num_experts_per_tok": 2}),
    "minicpm 3: latent keys and values": ("minicpm3", LATENT),
    "exaone 4: alternating windows": (
        "exaone4",
        DECODER | WINDOWED | {"num_hidden_layers": 4, "layer_types": 2 * ["sliding_attention", "full_attention"]},
    ),
    "nemotron": ("nemotron", DECODER),
}


def load(architecture, **options):
    plugin = TransformersPlugin(summary="", architecture=architecture)
    return plugin.load(BackboneOptions(name="test", **options), "cpu")


def errors(model):
    """Largest relative differences from the stock model: of packed hidden states, of gradients to the
    observation tokens, and of hidden states from the rollout cache through resets in the middle."""
    plain = stock(model)
    ids = dict(zip(TEXTS, model.tokenize(TEXTS), strict=True))

    tokens = observations(model, LENGTHS).requires_grad_()
    weight = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(1))
    hidden = model.forward(tokens, LENGTHS, model.encode(TEXTS))
    (hidden * weight).sum().backward()
    again = tokens.detach().clone().requires_grad_()
    parts = zip(TEXTS, again.split(LENGTHS), strict=True)
    expected = torch.cat([plain_forward(plain, ids[text], part, causal=True) for text, part in parts])
    (expected * weight).sum().backward()

    draw = np.random.default_rng(0)
    rows, steps = 4, 16
    cache = model.open_cache(rows, 2 * steps)
    under_way, episodes = [None] * rows, []
    for step in range(steps):
        fresh = [row for row in range(rows) if step == 0 or draw.random() < 0.1]
        for row in fresh:
            under_way[row] = (TEXTS[(row + step) % len(TEXTS)], [])
        episodes += [under_way[row] for row in fresh]
        cache.reset(fresh, model.encode([under_way[row][0] for row in fresh]))
        new = observations(model, [2] * rows, seed=step)
        out = model.extend(new, [2] * rows, cache, range(rows))
        for row, pair in enumerate(zip(new.split(2), out.split(2), strict=True)):
            under_way[row][1].append(pair)
    assert len(episodes) > rows
    cached = 0.0
    for text, pairs in episodes:
        given, got = (torch.cat(part) for part in zip(*pairs, strict=True))
        with torch.no_grad():
            cached = max(cached, relative(got, plain_forward(plain, ids[text], given, causal=True)))
    return relative(hidden, expected), relative(tokens.grad, again.grad), cached


@pytest.mark.parametrize(("model_type", "settings"), FAMILIES.values(), ids=FAMILIES)
def test_packed_and_cached_equal_the_stock_model(model_type, settings):
    model = load({"model_type": model_type, **settings})
    assert model.context_length == settings.get("attention_chunk_size", 128)
    tokens = observations(model, [20])
    hidden, other = (model.forward(tokens, [20], model.encode([text])) for text in TEXTS[1:3])
    assert relative(other, hidden) > 1e-2, "nothing to be exact about"
    packed, gradient, cached = errors(model)
    assert packed < EXACT
    assert gradient < EXACT
    assert cached < EXACT


def test_the_families_called_tested_are_those_tested_here():
    named = {model_type for types in TESTED_FAMILIES.values() for model_type in types}
    assert named - set(TESTED_FAMILIES["BERT"]) == {model_type for model_type, _ in FAMILIES.values()}
