"""Decoders of other families, small enough for one GPU or a laptop: from the hub, a local folder, or random.

`hf:ORG/NAME` takes any other model of these families; the names here have an architecture for `--weights random`.
"""

from llarp_cli.backbones.plugin import TransformersPlugin


def decoder(
    summary: str, weights: str, model_type: str, hidden: int, layers: int, heads: int, vocabulary: int, **numbers
) -> TransformersPlugin:
    """A decoder of given numbers; `numbers` are named as in the family's config."""
    architecture = {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        **numbers,
    }
    return TransformersPlugin(summary=summary, weights=weights, architecture=architecture)


gpt2 = decoder("GPT-2 (124M, learned positions)", "openai-community/gpt2", "gpt2", 768, 12, 12, 50257, n_positions=1024)

opt_125m = decoder(
    "OPT 125M (learned positions)",
    "facebook/opt-125m",
    "opt",
    *(768, 12, 12, 50272),
    ffn_dim=3072,
    word_embed_proj_dim=768,
    max_position_embeddings=2048,
)

pythia_160m = decoder(
    "Pythia 160M (GPT-NeoX)",
    "EleutherAI/pythia-160m",
    "gpt_neox",
    *(768, 12, 12, 50304),
    intermediate_size=3072,
    max_position_embeddings=2048,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
)

smollm2_135m = decoder(
    "SmolLM 2 135M (a LLaMA)",
    "HuggingFaceTB/SmolLM2-135M",
    "llama",
    *(576, 30, 9, 49152),
    num_key_value_heads=3,
    intermediate_size=1536,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
)

smollm3_3b = decoder(
    "SmolLM 3 3B (every fourth layer without positions)",
    "HuggingFaceTB/SmolLM3-3B-Base",
    "smollm3",
    *(2048, 36, 16, 128256),
    num_key_value_heads=4,
    intermediate_size=11008,
    max_position_embeddings=65536,
    no_rope_layer_interval=4,
    rope_parameters={"rope_type": "default", "rope_theta": 5000000.0},
)

qwen3_06b = decoder(
    "Qwen 3 0.6B",
    "Qwen/Qwen3-0.6B-Base",
    "qwen3",
    *(1024, 28, 16, 151936),
    num_key_value_heads=8,
    head_dim=128,
    intermediate_size=3072,
    max_position_embeddings=32768,
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
)

gemma_2_2b = decoder(
    "Gemma 2 2B (soft caps, alternating sliding windows)",
    "google/gemma-2-2b",
    "gemma2",
    *(2304, 26, 8, 256000),
    num_key_value_heads=4,
    head_dim=256,
    intermediate_size=9216,
    max_position_embeddings=8192,
    sliding_window=4096,
    query_pre_attn_scalar=256,
)

gemma_3_1b = decoder(
    "Gemma 3 1B (five sliding windows of 512 to one full layer)",
    "google/gemma-3-1b-pt",
    "gemma3_text",
    *(1152, 26, 4, 262144),
    num_key_value_heads=1,
    head_dim=256,
    intermediate_size=6912,
    max_position_embeddings=32768,
    sliding_window=512,
    query_pre_attn_scalar=256,
)

phi_2 = decoder(
    "Phi-2 (2.8B)",
    "microsoft/phi-2",
    "phi",
    *(2560, 32, 32, 51200),
    intermediate_size=10240,
    max_position_embeddings=2048,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.4},
)

phi_3_mini = decoder(
    "Phi-3 mini (3.8B, sliding window of 2,047)",
    "microsoft/Phi-3-mini-4k-instruct",
    "phi3",
    *(3072, 32, 32, 32064),
    num_key_value_heads=32,
    intermediate_size=8192,
    max_position_embeddings=4096,
    sliding_window=2047,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
)

olmo_2_1b = decoder(
    "OLMo 2 1B",
    "allenai/OLMo-2-0425-1B",
    "olmo2",
    *(2048, 16, 16, 100352),
    num_key_value_heads=16,
    intermediate_size=8192,
    max_position_embeddings=4096,
    rms_norm_eps=1e-6,
    rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
)

falcon_7b = decoder("Falcon 7B (one key head)", "tiiuae/falcon-7b", "falcon", 4544, 32, 71, 65024)
