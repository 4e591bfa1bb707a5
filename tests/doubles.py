"""Small stand-ins, true to the contracts, for a language model and a vision encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from llarp_cli.backbones.contract import BackboneIdentity
from llarp_cli.config import AdapterOptions, BackboneOptions, LSTMOptions, VisionOptions
from llarp_cli.policy.contract import Policy


@dataclass
class FakePrefix:
    """An instruction read by the recurrent network: its state after the last letter."""

    length: int
    state: Tensor


class FakeCache:
    """Rows of recurrent state."""

    def __init__(self, rows: int, capacity: int, hidden_size: int):
        self.states = torch.zeros(rows, hidden_size)
        self.used = [0] * rows
        self.capacity = capacity

    def reset(self, rows: Sequence[int], prefixes: Sequence[FakePrefix]) -> None:
        for row, prefix in zip(rows, prefixes, strict=True):
            self.states[row] = prefix.state
            self.used[row] = 0


class FakeBackbone:
    """A frozen random GRU in place of a language model: causal, and run one episode at a time."""

    def __init__(self, options: BackboneOptions | None = None, seed: int = 0):
        self.hidden_size, self.context_length, self.token_scale, self.vocabulary_size = 24, 300, 0.3, 128
        self.layers, self.heads = 2, 4
        self.device, self.dtype, self.trained = torch.device("cpu"), torch.float32, None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Embedding(128, 24).requires_grad_(False)
            self.model = nn.GRU(24, 24).requires_grad_(False)
        self.parameters = sum(p.numel() for module in (self.words, self.model) for p in module.parameters())
        name = options.name if options else "fake"
        self.identity = BackboneIdentity(name, (options and options.weights) or "random", None, self.weights_hash())

    def tokenize(self, instructions: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) % 128 for letter in text] for text in instructions]

    def encode(self, instructions: Sequence[str]) -> list[FakePrefix]:
        with torch.no_grad():
            return [
                FakePrefix(len(ids), self.model(self.words(torch.tensor(ids)))[1][0])
                for ids in self.tokenize(instructions)
            ]

    @torch.no_grad()
    def text_features(self, instructions: Sequence[str]) -> list[Tensor]:
        return [self.model(self.words(torch.tensor(ids)))[0] for ids in self.tokenize(instructions)]

    def forward(self, tokens: Tensor, lengths: Sequence[int], prefixes: Sequence[FakePrefix]) -> Tensor:
        parts = tokens.split(list(lengths))
        return torch.cat([self.model(part, p.state[None])[0] for part, p in zip(parts, prefixes, strict=True)])

    def open_cache(self, rows: int, capacity: int) -> FakeCache:
        return FakeCache(rows, capacity, self.hidden_size)

    @torch.no_grad()
    def extend(
        self, tokens: Tensor, lengths: Sequence[int], cache: FakeCache, rows: Sequence[int], *, keep: bool = True
    ) -> Tensor:
        outputs = []
        for row, part in zip(rows, tokens.split(list(lengths)), strict=True):
            assert cache.used[row] + len(part) <= cache.capacity
            output, state = self.model(part, cache.states[row][None])
            if keep:
                cache.used[row] += len(part)
                cache.states[row] = state[0]
            outputs.append(output)
        return torch.cat(outputs)

    def weights_hash(self) -> str:
        digest = hashlib.sha256()
        for parameter in (*self.words.parameters(), *self.model.parameters()):
            digest.update(parameter.numpy().tobytes())
        return digest.hexdigest()


class FakeVisionModule(nn.Module):
    """Pictures to features, trained."""

    def __init__(self, tokens: int):
        super().__init__()
        self.linear = nn.Linear(3, tokens * 12)
        self.tokens = tokens

    def forward(self, pictures: Tensor) -> Tensor:
        return self.linear(pictures.float().mean((1, 2)) / 255).unflatten(-1, (self.tokens, 12))


class FakeEncoder:
    """A fixed random projection of a picture's rows."""

    def __init__(self, options: VisionOptions | None = None, tokens: int = 1, trained: bool = False):
        options = options or VisionOptions(image_size=16, tokens=tokens)
        self.name, self.weights, self.hash, self.renderer = options.name or "fake", "fixed", "abc", None
        self.image_size, self.tokens, self.feature_size = options.image_size, options.tokens, 12
        self.trained = FakeVisionModule(self.tokens) if trained else None
        generator = torch.Generator().manual_seed(7)
        self.projection = torch.randn(3 * self.image_size, self.tokens * 12, generator=generator)

    def perceive(self, rgb) -> Tensor:
        pictures = torch.from_numpy(rgb.copy())
        if self.trained is not None:
            return pictures
        rows = pictures.float().mean(1).flatten(1) / 255
        return (rows @ self.projection).unflatten(-1, (self.tokens, 12)).half()


def make_policy(
    kind: str, tokens: int = 1, action_tokens: int = 0, trained_vision: bool = False, backbone=None
) -> Policy:
    """A small policy of a kind ("lstm-backbone" reads with the backbone) around the stand-ins (or another backbone),
    seeded."""
    from llarp_cli.policy.llarp import LLaRPPolicy
    from llarp_cli.policy.lstm import LSTMPolicy
    from llarp_cli.policy.transformer import TransformerPolicy

    options = AdapterOptions(hidden=32, decoder_hidden=32, action_tokens=action_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = FakeEncoder(tokens=tokens, trained=trained_vision)
        made = {
            "llarp": LLaRPPolicy,
            "lstm": LSTMPolicy,
            "lstm-backbone": partial(LSTMPolicy, lstm=LSTMOptions(instruction="backbone")),
            "transformer": TransformerPolicy,
        }
        policy = made[kind](backbone or FakeBackbone(), encoder, options)
        nn.init.normal_(
            policy.adapter.decoder.mlp[-1].weight, std=0.02
        )  # larger than training's, so that tests can see
    return policy


class FakeBackbonePlugin:
    """An entry point of `llarp.backbones`; `weights` names the seed."""

    summary, weights, requires, extra = "a random recurrent network", None, (), None

    def load(self, options, device) -> FakeBackbone:
        return FakeBackbone(options, seed=int(options.weights or 0))


class FakeVisionPlugin:
    """An entry point of `llarp.vision`."""

    summary, requires, extra = "a random projection", (), None

    def load(self, options, device) -> FakeEncoder:
        return FakeEncoder(options, trained=options.weights == "trained")


fake_backbone = FakeBackbonePlugin()
fake_vision = FakeVisionPlugin()


def install_doubles(folder) -> None:
    """Make the stand-ins discoverable as `fake` wherever `folder` is on the path."""
    info = folder / "llarp_doubles-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llarp-doubles\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[llarp.backbones]\nfake = doubles:fake_backbone\n[llarp.vision]\nfake = doubles:fake_vision\n"
    )
