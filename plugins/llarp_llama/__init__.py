"""LLaMA 1, 2 and 3 from the hub (gated ones need a licence accepted there), a local folder, or random."""

from llarp_cli.backbones.plugin import TransformersPlugin


def llama(
    summary: str,
    weights: str,
    *,
    hidden: int,
    layers: int,
    heads: int,
    key_heads: int,
    intermediate: int,
    vocabulary: int,
    positions: int,
    rope: dict | None = None,
    head_size: int = 128,
    epsilon: float = 1e-5,
    tied: bool = False,
) -> TransformersPlugin:
    """A LLaMA of given numbers, which `--weights random` builds without the hub."""
    architecture = {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": head_size,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "rms_norm_eps": epsilon,
        "tie_word_embeddings": tied,
        "rope_parameters": rope or {"rope_type": "default", "rope_theta": 10000.0},
    }
    return TransformersPlugin(summary=summary, weights=weights, architecture=architecture)


def llama3_rope(factor: float) -> dict:
    """The rotary frequencies of LLaMA 3.1 and 3.2, stretched from 8,192 positions."""
    return {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


FIRST = {"vocabulary": 32000, "positions": 2048, "epsilon": 1e-6}
SECOND = {"vocabulary": 32000, "positions": 4096}
THIRD = {"vocabulary": 128256, "positions": 131072, "key_heads": 8}
SIZE_7B = {"hidden": 4096, "layers": 32, "heads": 32, "key_heads": 32, "intermediate": 11008}
SIZE_13B = {"hidden": 5120, "layers": 40, "heads": 40, "key_heads": 40, "intermediate": 13824}

llama_7b = llama("LLaMA 7B, the paper's backbone", "huggyllama/llama-7b", **SIZE_7B, **FIRST)
llama_13b = llama("LLaMA 13B", "huggyllama/llama-13b", **SIZE_13B, **FIRST)
llama_2_7b = llama("LLaMA 2 7B", "meta-llama/Llama-2-7b-hf", **SIZE_7B, **SECOND)
llama_2_13b = llama("LLaMA 2 13B", "meta-llama/Llama-2-13b-hf", **SIZE_13B, **SECOND)
llama_31_8b = llama(
    "LLaMA 3.1 8B",
    "meta-llama/Llama-3.1-8B",
    hidden=4096,
    layers=32,
    heads=32,
    intermediate=14336,
    rope=llama3_rope(8.0),
    **THIRD,
)
llama_32_1b = llama(
    "LLaMA 3.2 1B",
    "meta-llama/Llama-3.2-1B",
    hidden=2048,
    layers=16,
    heads=32,
    head_size=64,
    intermediate=8192,
    rope=llama3_rope(32.0),
    tied=True,
    **THIRD,
)
llama_32_3b = llama(
    "LLaMA 3.2 3B",
    "meta-llama/Llama-3.2-3B",
    hidden=3072,
    layers=28,
    heads=24,
    intermediate=8192,
    rope=llama3_rope(32.0),
    tied=True,
    **THIRD,
)
