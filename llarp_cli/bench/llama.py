"""`--llama hidden=384,layers=8,heads=6`: a LLaMA of any size, its weights drawn at random. Imports no torch."""

from __future__ import annotations

from typing import Any

from llarp_cli.errors import UsageProblem, unknown

KEYS = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "key_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
}
"""What is typed → transformers' name."""

EXAMPLE = "--llama hidden=384,layers=8,heads=6"
VOCABULARY = 32000
ROUNDED_TO = 256


def architecture(text: str) -> dict[str, Any]:
    """Sizes by transformers' names, from `key=number,...`; hidden, layers and heads are needed.

    Left out, `intermediate` is what LLaMA makes of `hidden` (8/3 of it, rounded up to a multiple of 256),
    `key_heads` is `heads`, and `vocabulary` 32,000.

    Raises:
        UsageProblem: it is not of that form.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        key, _, number = part.strip().partition("=")
        if key not in KEYS:
            raise unknown("size in --llama", key, KEYS)
        if not number.isdigit() or int(number) == 0:
            raise UsageProblem(f"--llama {key} = '{number}' is not a whole number above 0", EXAMPLE)
        sizes[key] = int(number)
    for key in ("hidden", "layers", "heads"):
        if key not in sizes:
            raise UsageProblem(f"--llama names no {key}", EXAMPLE)
    if sizes["hidden"] % (2 * sizes["heads"]):
        raise UsageProblem(
            f"--llama: {sizes['heads']} heads do not share {sizes['hidden']} numbers evenly, in pairs", EXAMPLE
        )
    sizes.setdefault("key_heads", sizes["heads"])
    if sizes["heads"] % sizes["key_heads"]:
        raise UsageProblem(f"--llama: {sizes['key_heads']} key heads do not divide {sizes['heads']} heads", EXAMPLE)
    sizes.setdefault("intermediate", -(-8 * sizes["hidden"] // (3 * ROUNDED_TO)) * ROUNDED_TO)
    sizes.setdefault("vocabulary", VOCABULARY)
    return {KEYS[key]: number for key, number in sizes.items()}
