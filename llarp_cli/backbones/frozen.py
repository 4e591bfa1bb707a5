"""What every frozen transformers model shares: the `Backbone` contract over packed calls of the stock model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

from llarp_cli.backbones.attention import PACKED, Layout, Pass
from llarp_cli.backbones.behind import ForwardPass
from llarp_cli.backbones.contract import BackboneIdentity
from llarp_cli.backbones.lora import LoraWeights, add_lora, frozen_state
from llarp_cli.backbones.prefixes import EncodePass, InstructionPrefix, PrefixStore, TextFeatures
from llarp_cli.backbones.products import lay_out_weights
from llarp_cli.backbones.rollout_cache import ExtendPass, RowSlotCache
from llarp_cli.backbones.transfer import to_device
from llarp_cli.config import LoraOptions
from llarp_cli.errors import UsageProblem

ENCODED_AT_ONCE_ON_CPU, ENCODED_AT_ONCE = 128, 4096
"""Instruction tokens per call. A CPU's matrix product of given size rounds each row alike, wherever it is and
whatever rows are beside it; other sizes may be summed in another order. On a CPU calls are filled up to this
size, so that a prefix does not depend on what was encoded with it, and a resumed run goes on to the last digit."""

BUCKET = 32
"""Instructions of 1–32, 33–64, ... tokens are encoded apart, padded to that in attention."""


class Tokenizer(Protocol):
    """Texts to token ids."""

    size: int

    def __call__(self, texts: Sequence[str]) -> list[list[int]]: ...


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over the types, shapes and bytes of everything the model stores; updates of the weights are left out.

    Without names and their order, which differ between versions of transformers: the same weights have the same hash.
    """
    digests = []
    for name, held in frozen_state(model).items():
        tensor = held
        if held.is_meta:  # it is on the disk, or waits in main memory; such a model has no updates
            owner, _, own_name = name.rpartition(".")
            module = model.get_submodule(owner)
            with align_module_device(module, "cpu"):
                tensor = module.state_dict()[own_name].clone()
        digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
        for part in flat.split(64 << 20):
            digest.update(part.cpu().numpy().data)
        digests.append(digest.hexdigest())
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def embedding_scale(model: nn.Module, device: torch.device) -> float:
    """Standard deviation of the word embeddings as the model uses them (some scale what they look up)."""
    embedding = model.get_input_embeddings()
    count, total, squares = 0, 0.0, 0.0
    for ids in torch.arange(embedding.num_embeddings, device=device).split(512):
        values = embedding(ids).double()
        count += values.numel()
        total += values.sum().item()
        squares += values.square().sum().item()
    mean = total / count
    return max(squares / count - mean**2, 0.0) ** 0.5


class FrozenBackbone:
    """A stock transformers model behind the `Backbone` contract.

    Frozen, but for the updates that `train_updates` adds.

    In half precision there is no autocast. Weights and activations are of that type throughout, the residual stream
    too, as the stock model was made to run; tokens are cast once on the way in, and the heads cast hidden states once
    on the way out, so that all that is trained, log-probabilities and values are float32. Autocast would instead keep
    a float32 residual stream, which the keys and values of prefixes do not come from, and cast frozen weights, or
    keep a second copy of them, in every pass. Norms and softmax compute in float32 either way.

    Args:
        model: an `AutoModel` (no head) whose attention is to be ours.
        tokenizer: of its instructions.
        device: where tokens come from and go to, whatever devices the model is on.
        name, weights, revision: for the identity.
        context_length: tokens that fit.
        prefix_cache_mb: bound of the memory for prefixes, MiB.

    Attributes:
        steps_recorded: steps that extend all rows of a cache alike are recorded once and replayed; see `steps`.

    Attributes:
        recomputed_layers: layers that keep only their inputs for the pass backward.
    """

    prefix_is_causal: ClassVar[bool]

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        device: torch.device,
        *,
        name: str,
        weights: str,
        revision: str | None,
        context_length: int,
        prefix_cache_mb: int,
        first_position: int = 0,
    ):
        self.model = model.eval().requires_grad_(False)
        if model.config.model_type == "falcon":
            from llarp_cli.backbones.falcon import pack_attention

            pack_attention(model)
        self.model.set_attn_implementation(PACKED)
        lay_out_weights(self.model)
        self._tokenizer = tokenizer
        self._first_position = first_position
        self._prefixes = PrefixStore(prefix_cache_mb << 20)
        self._text_features = PrefixStore(prefix_cache_mb << 20)
        embedding = model.get_input_embeddings()
        self.hidden_size: int = embedding.weight.shape[1]
        self.device = torch.zeros(0, device=device).device  # "cuda" has a number
        self.dtype: torch.dtype = embedding.weight.dtype
        self.context_length = context_length
        self.layers: int = model.config.num_hidden_layers
        self.heads: int = model.config.num_attention_heads
        self.vocabulary_size = tokenizer.size
        self.parameters: int = model.num_parameters()
        with torch.no_grad():
            self.token_scale = embedding_scale(model, self.device)
        self.identity = BackboneIdentity(name, weights, revision, self.weights_hash())
        self.trained: LoraWeights | None = None
        self.steps_recorded = False
        self.recomputed_layers = 0
        self._encoded_with: tuple[int, int] | None = None

    def train_updates(self, options: LoraOptions) -> None:
        """Put trained updates, at first of no effect, into the model.

        Raises:
            UsageProblem: peft is not installed, or the model has no such layers.
        """
        self.trained = add_lora(self.model, options, self.identity.name)

    def weights_hash(self) -> str:
        return hash_weights(self.model)

    def tokenize(self, instructions: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(instructions)

    def encode(self, instructions: Sequence[str]) -> list[InstructionPrefix]:
        return self._once_each(instructions, self._known_prefixes(), self._encode)

    @torch.no_grad()
    def text_features(self, instructions: Sequence[str]) -> list[Tensor]:
        found = self._once_each(instructions, self._text_features, self._encode_features)
        return [features.hidden for features in found]

    def _once_each(
        self,
        instructions: Sequence[str],
        known: PrefixStore,
        encode: Callable[[list[list[int]], int], list[Any]],
    ) -> list[Any]:
        """What a store knows of the instructions, or else `encode` makes of token ids of about the same length."""
        found = {text: known.get(text) for text in instructions}
        missing = [text for text, encoded in found.items() if encoded is None]
        buckets: dict[int, list[tuple[str, list[int]]]] = {}
        for text, ids in zip(missing, self.tokenize(missing) if missing else [], strict=True):
            if not ids:
                raise UsageProblem("an instruction is empty", "say what is to be done")
            if len(ids) >= self.context_length:
                raise UsageProblem(
                    f"an instruction of {len(ids)} tokens does not fit {self.identity.name}'s context of "
                    f"{self.context_length}: '{text[:40]}...'",
                    "shorten it, or choose a backbone with a longer context",
                )
            buckets.setdefault(-(-len(ids) // BUCKET) * BUCKET, []).append((text, ids))
        for width, texts in sorted(buckets.items()):
            for part in self._batches(texts):
                made = encode([ids for _, ids in part], width)
                if self.device.type == "cuda" and not torch.is_grad_enabled():
                    # Another group of environments may take them from the store, and computes in a stream of its own.
                    torch.cuda.current_stream(self.device).synchronize()
                for (text, _), encoded in zip(part, made, strict=True):
                    found[text] = encoded
                    known.add(text, encoded)
        for encoded in found.values():
            encoded.lend()
        return [found[text] for text in instructions]

    def _known_prefixes(self) -> PrefixStore:
        """The store; a fresh one after the weights changed, and one for this call alone where prefixes carry
        gradients, which are good for one pass backward."""
        if self.trained is None:
            return self._prefixes
        if torch.is_grad_enabled():
            return PrefixStore(self._prefixes.limit)
        if self._encoded_with != self.trained.version:
            self._prefixes = PrefixStore(self._prefixes.limit)
            self._encoded_with = self.trained.version
        return self._prefixes

    def _batches(self, texts: list[tuple[str, list[int]]]) -> Iterator[list[tuple[str, list[int]]]]:
        """Cut texts where the next would make too many tokens at once."""
        limit = ENCODED_AT_ONCE_ON_CPU if self.device.type == "cpu" else ENCODED_AT_ONCE
        batch, tokens = [], 0
        for text in texts:
            if batch and tokens + len(text[1]) > limit:
                yield batch
                batch, tokens = [], 0
            batch.append(text)
            tokens += len(text[1])
        yield batch

    def _encode(self, texts: list[list[int]], width: int) -> list[InstructionPrefix]:
        encoded, _, lengths = self._run_texts(texts, width)
        return encoded.prefixes(lengths)[: len(texts)]

    def _encode_features(self, texts: list[list[int]], width: int) -> list[TextFeatures]:
        _, hidden, lengths = self._run_texts(texts, width)
        return [TextFeatures(one.clone()) for one in hidden.split(lengths)[: len(texts)]]

    def _run_texts(self, texts: list[list[int]], width: int) -> tuple[EncodePass, Tensor, list[int]]:
        """The pass over some texts, their hidden states [S, D] and lengths; on a CPU with others behind them."""
        if self.device.type == "cpu":
            missing = ENCODED_AT_ONCE_ON_CPU - sum(map(len, texts))
            texts = texts + [texts[0][: missing - begin] for begin in range(0, missing, len(texts[0]))]
        lengths = [len(ids) for ids in texts]
        layout = Layout([0] * len(texts), lengths, causal=self.prefix_is_causal, width=width, queries=width)
        encoded = EncodePass(layout)
        ids = to_device(np.array([token for text in texts for token in text], np.int64), self.device)[None]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trained is not None):
            hidden = self.run(encoded, input_ids=ids)
        return encoded, hidden, lengths

    def forward(self, tokens: Tensor, lengths: Sequence[int], prefixes: Sequence[InstructionPrefix]) -> Tensor:
        if not len(tokens):
            return tokens.to(self.dtype)
        starts = [prefix.length for prefix in prefixes]
        self._check_context(np.add(starts, lengths))
        packed = ForwardPass(lengths, prefixes)
        hidden = self.run(packed, tokens.index_select(0, to_device(packed.order, self.device)))
        return hidden.index_select(0, to_device(packed.order.argsort(), self.device))

    def open_cache(self, rows: int, capacity: int) -> RowSlotCache:
        return RowSlotCache(rows, capacity)

    @torch.no_grad()
    def extend(
        self, tokens: Tensor, lengths: Sequence[int], cache: RowSlotCache, rows: Sequence[int], *, keep: bool = True
    ) -> Tensor:
        if not len(tokens):
            return tokens.to(self.dtype)
        named = np.asarray(rows, dtype=np.int64)
        starts = cache.lengths[named]
        ends = starts + np.asarray(lengths, dtype=np.int64)
        self._check_context(ends)
        if (ends - cache.prefix_lengths[named]).max() > cache.capacity:
            raise ValueError(f"a row of more tokens than the cache's capacity of {cache.capacity}")
        if self.steps_recorded and keep and cache.in_step(named, lengths):
            hidden = cache.steps(self.model, lengths[0], self._first_position, tokens)(tokens, starts)
        else:
            hidden = self.run(ExtendPass(Layout(starts, lengths), cache, named), tokens)
        if keep:
            cache.lengths[named] = ends
        return hidden

    def _check_context(self, ends: np.ndarray) -> None:
        if ends.max() > self.context_length:
            raise UsageProblem(
                f"an episode of {ends.max()} tokens, its instruction included, does not fit "
                f"{self.identity.name}'s context of {self.context_length}",
                "use fewer tokens per step, shorter instructions, or a backbone with a longer context",
            )

    def run(self, packed: Pass, tokens: Tensor | None = None, input_ids: Tensor | None = None) -> Tensor:
        """One packed call of the stock model: hidden states [S, D] of tokens [S, D] or ids [1, S]."""
        if self.trained is not None:
            self.trained.drop(torch.is_grad_enabled())
        positions = to_device(packed.positions + self._first_position, self.device)[None]
        with packed:
            hidden = self.model(
                input_ids=input_ids,
                inputs_embeds=None if tokens is None else tokens.to(self.dtype)[None],
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state.squeeze(0)
        if packed.layer == 0:
            raise RuntimeError("it does not use transformers' attention interface")
        return hidden
