"""LLaMA and Mistral 7B in 8 or 4 bits through bitsandbytes, on CPU and CUDA."""

from dataclasses import replace

from llarp_llama import llama_7b
from llarp_mistral import mistral_7b

NEEDS = {"requires": ("bitsandbytes",), "extra": "quantized"}

llama_7b_8bit = replace(llama_7b, summary="LLaMA 7B in 8 bits", quantization="8bit", **NEEDS)
llama_7b_4bit = replace(llama_7b, summary="LLaMA 7B in 4 bits (nf4)", quantization="4bit", **NEEDS)
mistral_7b_4bit = replace(mistral_7b, summary="Mistral 7B in 4 bits (nf4)", quantization="4bit", **NEEDS)
