"""Tiny decoder LMs with random, seeded weights: for tests and for trying things out. Nothing is downloaded."""

from dataclasses import replace

from llarp_cli.backbones.plugin import TransformersPlugin

SIZE = {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}

tiny_llama = TransformersPlugin(
    summary="LLaMA of 0.2M random parameters, for tests",
    architecture={"model_type": "llama", **SIZE},
)

tiny_mistral = TransformersPlugin(
    summary="Mistral of 0.2M random parameters with a sliding window of 24, for tests",
    architecture={"model_type": "mistral", "sliding_window": 24, **SIZE},
)

tiny_llama_8bit = replace(
    tiny_llama,
    summary="tiny-llama in 8 bits, for tests",
    quantization="8bit",
    requires=("bitsandbytes",),
    extra="quantized",
)

tiny_llama_4bit = replace(tiny_llama_8bit, summary="tiny-llama in 4 bits, for tests", quantization="4bit")
