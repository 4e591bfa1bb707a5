"""Tiny random models of many architectures, and the plain forward pass that everything is measured against."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions

# Weights large enough that attention and positions matter to the result.
DECODER = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": 512, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.3}
OPT = {
    "vocab_size": 512,
    "hidden_size": 32,
    "word_embed_proj_dim": 16,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "init_std": 0.3,
}
ENCODER = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": 1,
}
WINDOW = 8

DECODERS = {
    "llama": DECODER,
    "mistral": DECODER | {"sliding_window": WINDOW},
    "gpt2": GPT2,
    "opt": OPT,
    "qwen2": DECODER | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": DECODER | {"head_dim": 8},
    "gpt_neox": ENCODER,
    "phi": DECODER,
    "phi3": DECODER,
    "gemma": DECODER | {"head_dim": 8},
    "gemma2": DECODER | {"head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8},
    "gpt_bigcode": GPT2,
}
ENCODERS = {"bert": ENCODER, "roberta": ENCODER}
ALL = {**DECODERS, **ENCODERS}

TEXTS = [
    "fetch the apple",
    "put the ball on the brown table, then close the fridge door and come back to the sofa",
    "a mug",
    "bring me the plate that lies on the left counter",
]


def backbone(model_type: str, **options):
    """A random backbone of that architecture, in float32 on the CPU."""
    plugin = TransformersPlugin(summary="", architecture={"model_type": model_type, **ALL[model_type]})
    return plugin.load(BackboneOptions(name=f"test-{model_type}", **options), "cpu")


def observations(model, lengths, seed=0):
    """Packed observation tokens [S, D] at the scale of the word embeddings."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(lengths), model.hidden_size, generator=generator) * model.token_scale


def stock(model, weights=None):
    """An untouched transformers model with the backbone's weights (or other ones)."""
    settings = {key: value for key, value in model.model.config.to_dict().items() if key != "quantization_config"}
    plain = AutoModel.from_config(AutoConfig.for_model(**settings), attn_implementation="eager").eval()
    missing = plain.load_state_dict(weights or model.model.state_dict(), strict=False).missing_keys
    assert all("pooler" in name for name in missing)
    return plain


def plain_forward(plain, ids, tokens, *, causal):
    """Final hidden states [L, D] of observation tokens behind an instruction: one sequence, everything anew."""
    embedded = plain.get_input_embeddings()(torch.tensor(ids))
    mask = None
    if not causal:  # bidirectional over the instruction, causal behind it
        total, prefix = len(ids) + len(tokens), len(ids)
        seen = torch.ones(total, total).tril().bool()
        seen[:prefix, :prefix] = True
        mask = torch.zeros(1, 1, total, total).masked_fill(~seen, torch.finfo(torch.float32).min)
    whole = torch.cat([embedded, tokens])[None]
    return plain(inputs_embeds=whole, attention_mask=mask).last_hidden_state[0, len(ids) :]


def relative(result, expected):
    """Largest difference relative to the largest value."""
    return ((result - expected).abs().max() / expected.abs().max()).item()


def save_tiny_llama(folder):
    """A random LLaMA as a folder of its own: config, weights (safetensors) and a tokenizer of words."""
    tokenizer = Tokenizer(
        WordLevel({"<s>": 0, "<unk>": 1, "fetch": 2, "the": 3, "apple": 4, "ball": 5}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(3)
    config = AutoConfig.for_model("llama", **DECODER | {"hidden_size": 64, "intermediate_size": 128})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
