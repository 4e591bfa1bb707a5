"""A decoder language model with its head, which says how likely texts are: for acting without any training.

The texts to be ranked are few and fixed, and many begin alike; so they are laid out as a tree in which each token is
computed once, behind every context at the same time. What all contexts begin with is read once and for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from llarp_cli import registry
from llarp_cli.backbones.decoder import DecoderBackbone
from llarp_cli.backbones.models import ModelMaker
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.backbones.sizing import first_line
from llarp_cli.backbones.sources import RANDOM, find_source
from llarp_cli.backbones.weights import backbone_kind, pretrained_tokenizer, quiet, read_config, stated_context_length
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

MEMORY_AT_ONCE = 1 << 30
"""Bytes of keys, values and logits per call; so many contexts are taken together."""

TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Relative difference to the plain model's log-likelihoods up to which it is believed."""


class TextTree:
    """Texts as token sequences that share their beginnings.

    Args:
        texts: token ids of each, none empty.
        device: torch device.

    Attributes:
        tokens: int64 [M], of the nodes, parents first.
        depths: int64 [M], 0 for those without a parent.
        parents: int64 [M], -1 for none.
        paths: bool [C, M], the nodes of each text; also, of each node's way from the top, `ancestors` [M, M].
    """

    def __init__(self, texts: Sequence[Sequence[int]], device: torch.device):
        nodes: dict[tuple[int, int], int] = {}
        ways: list[list[int]] = []
        depths: list[int] = []
        for text in texts:
            at, way = -1, []
            for depth, token in enumerate(text):
                if (at, token) not in nodes:
                    nodes[at, token] = len(nodes)
                    depths.append(depth)
                at = nodes[at, token]
                way.append(at)
            ways.append(way)
        parents = [parent for parent, _ in nodes]
        self.tokens = torch.tensor([token for _, token in nodes], device=device)
        self.depths = torch.tensor(depths, device=device)
        self.parents = torch.tensor(parents, device=device)
        self.paths = torch.zeros(len(texts), len(nodes), dtype=torch.bool, device=device)
        self.ancestors = torch.eye(len(nodes), dtype=torch.bool, device=device)
        for text, way in enumerate(ways):
            self.paths[text, way] = True
        for node, parent in enumerate(parents):
            if parent >= 0:
                self.ancestors[node] |= self.ancestors[parent]


class LanguageModel:
    """Ranks fixed texts behind contexts.

    Args:
        model: an `AutoModelForCausalLM`.
        tokenizer: of transformers.
        device: torch device.
        name: the backbone's, for messages.
        context_length: tokens that fit.
        beginning: what every context begins with.
        anchor: what every context ends in; a tokenizer may join it with a text only at this seam.
        texts: to be ranked.

    Raises:
        UsageProblem: the model does not do exactly what it does without a tree, or the context is too short.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        device: torch.device,
        *,
        name: str,
        context_length: int,
        beginning: str,
        anchor: str,
        texts: Sequence[str],
    ):
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self._tokenizer, self._device = tokenizer, device
        self._context_length = context_length
        self._beginning = self._first_ids(beginning)
        self._seam = beginning[-1]
        self._tree = TextTree([self._behind(anchor, text) for text in texts], device)
        self._longest = int(self._tree.depths.max()) + 1
        if self.room < 1:
            raise UsageProblem(
                f"zero-shot's prompt takes {len(self._beginning) + self._longest} tokens; backbone '{name}' holds "
                f"{context_length}",
                "choose one with a longer context",
            )
        self._read_beginning()
        self._refuse_unless_exact(anchor)

    @property
    def room(self) -> int:
        """Tokens that a context may have behind the beginning."""
        return self._context_length - len(self._beginning) - self._longest

    @torch.no_grad()
    def log_likelihoods(self, contexts: Sequence[str]) -> Tensor:
        """How likely each text is to follow the beginning and a context: the sum over its tokens.

        Args:
            contexts: N texts.

        Returns:
            float64 [N, C].

        Raises:
            UsageProblem: a context does not fit.
        """
        ids = [self._behind(self._seam, context) for context in contexts]
        longest = max(map(len, ids))
        if longest > self.room:
            raise UsageProblem(
                f"a situation takes {longest} tokens; backbone '{self.name}' holds {self.room} behind the prompt",
                "choose one with a longer context, or shorten the instruction",
            )
        rows = self._rows_at_once(longest)
        return torch.cat([self._rank(ids[begin : begin + rows]) for begin in range(0, len(ids), rows)])

    def _rank(self, contexts: Sequence[Sequence[int]]) -> Tensor:
        """One call: contexts padded on the left, the tree behind all of them."""
        device, tree = self._device, self._tree
        longest, begun, nodes = max(map(len, contexts)), len(self._beginning), len(tree.tokens)
        padding = torch.tensor([longest - len(ids) for ids in contexts], device=device)
        padded = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in contexts], device=device)
        tokens = torch.cat([padded, tree.tokens.expand(len(contexts), -1)], dim=1)

        slots = torch.arange(longest, device=device)
        real = slots >= padding[:, None]
        places = begun + torch.cat(
            [(slots - padding[:, None]).clamp(min=0), longest - padding[:, None] + tree.depths], dim=1
        )
        seen = torch.ones(len(contexts), longest + nodes, begun + longest + nodes, dtype=torch.bool, device=device)
        seen[:, :, begun : begun + longest] = real[:, None]
        seen[:, :longest, begun : begun + longest] &= slots <= slots[:, None]
        seen[:, :longest, begun + longest :] = False
        seen[:, longest:, begun + longest :] = tree.ancestors
        mask = torch.zeros(seen.shape, dtype=self.model.dtype, device=device)
        mask = mask.masked_fill(~seen, torch.finfo(self.model.dtype).min)[:, None]

        logits = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=places,
            past_key_values=self._begun(len(contexts)),
            use_cache=True,
            logits_to_keep=nodes + 1,
        ).logits[:, -nodes - 1 :]
        # A node's token is predicted at its parent, one without a parent at the context's last token.
        at_parents = logits.float().log_softmax(-1)[:, tree.parents + 1]
        own = at_parents.gather(-1, tree.tokens[None, :, None].expand(len(contexts), -1, -1))[..., 0]
        return own.double() @ tree.paths.double().T

    def _read_beginning(self) -> None:
        """Keys and values of what all contexts begin with."""
        ids = torch.tensor([self._beginning], device=self._device)
        with torch.no_grad():
            cache = self.model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True).past_key_values
        self._keys_values = [(layer.keys, layer.values) for layer in cache.layers]

    def _begun(self, rows: int) -> DynamicCache:
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._keys_values):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
        return cache

    def _rows_at_once(self, longest: int) -> int:
        per_token = sum(one.element_size() * one[0, :, 0].numel() for pair in self._keys_values for one in pair)
        slots = len(self._beginning) + longest + len(self._tree.tokens)
        heads = self.model.config.get_text_config().num_attention_heads
        scores = 8 * heads * slots * (longest + len(self._tree.tokens))
        logits = 12 * (len(self._tree.tokens) + 1) * self.model.get_output_embeddings().weight.shape[0]
        return max(1, MEMORY_AT_ONCE // (slots * per_token + scores + logits))

    def _first_ids(self, text: str) -> list[int]:
        """Token ids of what begins a sequence, with the start token that the tokenizer puts there."""
        ids = self._tokenizer(text)["input_ids"]
        ending = self._tokenizer.eos_token_id
        return ids[:-1] if len(ids) > 1 and ids[-1] == ending else ids

    def _behind(self, anchor: str, text: str) -> list[int]:
        """Token ids of a text that follows an anchor: some tokenizers write a text's beginning in another way."""
        lead, whole = (self._tokenizer(t, add_special_tokens=False)["input_ids"] for t in (anchor, anchor + text))
        same = whole[: len(lead)] == lead and len(whole) > len(lead)
        return whole[len(lead) :] if same else self._tokenizer(text, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def _refuse_unless_exact(self, anchor: str) -> None:
        """Compare the tree with plain calls, one text at a time: what biases attention by distance would differ."""
        contexts = [f"{anchor}", f"Instruction: fetch me an apple\n{anchor}"]
        refusal = f"backbone '{self.name}' cannot rank skills: "
        try:
            found = self.log_likelihoods(contexts)[:, [0, -1]]
            expected = torch.stack([self._plainly(context, text) for context in contexts for text in (0, -1)])
        except UsageProblem:
            raise
        except Exception as error:
            raise UsageProblem(refusal + f"it takes no tree of texts ({first_line(error)})", HINT) from error
        difference = ((found.flatten() - expected).abs() / expected.abs()).max().item()
        if not difference < TOLERANCE[self.model.dtype]:
            raise UsageProblem(refusal + f"results differ from the stock model's by {difference:.1%}", HINT)

    def _plainly(self, context: str, text: int) -> Tensor:
        """The log-likelihood of one text by the stock model, everything anew."""
        before = [*self._beginning, *self._behind(self._seam, context)]
        behind = self._tree.tokens[self._tree.paths[text]].tolist()
        logits = self.model(input_ids=torch.tensor([before + behind], device=self._device), use_cache=False).logits[0]
        predicted = logits[len(before) - 1 : -1].float().log_softmax(-1)
        return predicted.gather(-1, torch.tensor(behind, device=self._device)[:, None]).sum().double()


HINT = "choose a text-only decoder (LLaMA, Mistral, Qwen, GPT-2, ...)"


def load_language_model(
    options: BackboneOptions, device: Any, *, beginning: str, anchor: str, texts: Sequence[str]
) -> LanguageModel:
    """Load a decoder backbone's model with its head.

    Args:
        options: which, as for a backbone.
        device: torch device.
        beginning, anchor, texts: see `LanguageModel`.

    Raises:
        UsageProblem: it cannot be had, has no head, or is too small.
    """
    device = torch.device(device)
    plugin = registry.load("backbone", options.name)
    if not isinstance(plugin, TransformersPlugin):
        raise UsageProblem(f"backbone '{options.name}' brings no head that predicts words", HINT)
    plugin = plugin.named(options)
    if options.weights == RANDOM or (options.weights is None and plugin.weights is None):
        raise UsageProblem(
            f"zero-shot with backbone '{options.name}' would only guess: its weights are random",
            "name pretrained ones: --weights PATH, or a hub id",
        )
    with quiet():
        source = find_source(plugin, options, False)
        config = read_config(plugin, options, source)
        if backbone_kind(config, options.name) is not DecoderBackbone:
            raise UsageProblem(
                f"zero-shot needs a language model that writes; '{options.name}' is a '{config.model_type}' encoder, "
                "which does not",
                HINT,
            )
        if config.get_text_config(decoder=True) is not config:
            raise UsageProblem(f"zero-shot: backbone '{options.name}' has other parts beside its language model", HINT)
        maker = ModelMaker(plugin, options, source, config, device)
        limit = stated_context_length(config, options.name)
        window = config.to_dict().get("sliding_window")
        return LanguageModel(
            maker.pretrained(AutoModelForCausalLM),
            pretrained_tokenizer(source, options, plugin),
            device,
            name=options.name,
            context_length=min(limit, window) if window else limit,
            beginning=beginning,
            anchor=anchor,
            texts=texts,
        )
