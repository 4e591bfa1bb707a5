"""The reference release's way of working, on our models: what `--layout reference` measures.

Written from a description of what the release does, to be measured beside ours on the same weights:

- a rollout keeps one key/value cache for all environments, as long as instruction and longest episode
  together; every step drops its oldest tokens and appends the newest, so that all rows are in step, and
  a mask hides what belongs to earlier episodes;
- environments and the language model wait for each other;
- an update sends instructions, their padding and all observations of an episode through the language
  model with gradient, in every minibatch of every epoch;
- a minibatch is a few episode fragments, 1/8 of the environments; an epoch draws as many fragments as
  there are environments from all the rollout has, so that part of its steps is not learned from;
- an episode that began in an earlier rollout is read with the observation tokens it was acted on with,
  and the cache keeps the keys and values that earlier weights made: both stale.

One thing differs, at equal cost: padding is masked, where the release lets the model attend to it, so
that both layouts compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from llarp_cli.backbones.attention import PACKED
from llarp_cli.backbones.frozen import FrozenBackbone
from llarp_cli.errors import UsageProblem
from llarp_cli.learning.learner import LossOf
from llarp_cli.learning.rollouts import Rollout, Trajectory
from llarp_cli.policy.contract import Decision
from llarp_cli.policy.llarp import LLaRPPolicy
from llarp_cli.policy.parts import EPISODE_STEPS, choose

MINIBATCHES = 8
"""As shipped: 8 minibatches, of one fragment each for the 8 environments of a process."""

INSTRUCTION_TOKENS = 30
"""As shipped: instructions are padded to this."""


class StockModel:
    """The backbone's own model with transformers' attention, for whole sequences with padding.

    Args:
        backbone: whose weights are used.
        padded_to: tokens of an instruction with its padding; longer ones are padded to the longest.
        steps: of the longest episode.

    Raises:
        UsageProblem: the model attends through a sliding window, which the masks made here do not have.
    """

    def __init__(self, backbone: FrozenBackbone, padded_to: int = INSTRUCTION_TOKENS, steps: int = EPISODE_STEPS):
        self.backbone = backbone
        self.model = backbone.model
        self.padded_to = padded_to
        self.steps = steps
        self.shift = backbone._first_position
        window = self.model.config.to_dict().get("sliding_window")
        if window is not None and window < padded_to + steps:
            raise UsageProblem(
                f"the reference layout has no sliding windows, and '{backbone.identity.name}' one of {window} tokens",
                "measure another backbone, or --layout ours",
            )

    @contextmanager
    def attention(self) -> Iterator[None]:
        """Within this, the model attends as transformers has it; outside, as our backbone has it."""
        self.model.set_attn_implementation("sdpa")
        try:
            yield
        finally:
            self.model.set_attn_implementation(PACKED)

    def words(self, instructions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embedded instructions [B, P, D] with padding behind them, and which tokens are real, bool [B, P]."""
        texts = self.backbone.tokenize(instructions)
        longest = max(self.padded_to, *map(len, texts))
        ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts], device=self.backbone.device)
        real = torch.tensor([[i < len(text) for i in range(longest)] for text in texts], device=ids.device)
        return self.model.get_input_embeddings()(ids), real

    def __call__(self, embedded: Tensor, seen: Tensor, positions: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """Hidden states [B, L, D] of tokens [B, L, D].

        Args:
            seen: bool [B, L, K], which keys each token attends to, those in the cache first.
            positions: int64 [B, L].
            cache: is extended by the tokens.
        """
        mask = torch.zeros(seen.shape, dtype=embedded.dtype, device=seen.device)
        mask = mask.masked_fill(~seen, torch.finfo(embedded.dtype).min)[:, None]
        return self.model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions + self.shift,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def instruction_seen(self, real: Tensor) -> Tensor:
        """bool [B, P, P]: what the tokens of padded instructions attend to; padding to itself at least."""
        size = real.shape[1]
        seen = real[:, None].expand(-1, size, -1)
        if self.backbone.prefix_is_causal:
            seen = seen & torch.ones(size, size, dtype=torch.bool, device=real.device).tril()
        return seen | torch.eye(size, dtype=torch.bool, device=real.device)


@dataclass
class RolledCache:
    """Keys and values of all rows, newest tokens last.

    Attributes:
        layers: of the model; each [N, heads, W, D per head].
        seen: bool [N, W], what belongs to a row's own episode.
        lengths: int64 [N], tokens of each episode so far, its instruction included.
    """

    layers: DynamicCache
    seen: Tensor
    lengths: Tensor


class ReferencePolicy:
    """Acting and evaluating in the reference layout, with the adapter and heads of a policy of ours.

    Args:
        policy: without action tokens.
        stock: the language model.
        recompute: act without a cache: read instruction and episode anew at every step.
    """

    def __init__(self, policy: LLaRPPolicy, stock: StockModel, *, recompute: bool = False):
        self.policy = policy
        self.stock = stock
        self.recompute = recompute
        self.per_step = policy.adapter.tokens_per_step
        self._cache: RolledCache | None = None

    def tokens(self, features: Tensor) -> Tensor:
        """Observation tokens [S, K, D] of features [S, ...]."""
        backbone = self.policy.frozen.backbone
        none = torch.full((len(features),), -1, device=backbone.device)
        return self.policy.adapter.tokens(features.to(backbone.device), none).to(backbone.dtype)

    @torch.no_grad()
    def act(
        self,
        tokens: Tensor,
        instructions: Sequence[str],
        starts: Sequence[int],
        episodes: Sequence[Tensor],
        generator: Any,
    ) -> Decision:
        """Choose a skill in each of N rows.

        Args:
            tokens: [N, K, D] of what is seen now.
            starts: rows whose episode begins.
            episodes: tokens [k, D] of each row's episode up to now, for acting without a cache.
            generator: of sampling.
        """
        if self.recompute:
            readouts = self.read(instructions, episodes)
            last = torch.tensor([len(episode) // self.per_step for episode in episodes]).cumsum(0) - 1
            hidden = readouts[last.to(readouts.device)]
        else:
            if len(starts):
                self.start(starts, [instructions[row] for row in starts], len(tokens))
            hidden = self.append(tokens)
        return choose(*self.policy.adapter.decide(hidden), False, generator)

    def read(self, instructions: Sequence[str], episodes: Sequence[Tensor]) -> Tensor:
        """Hidden states [S, D] at the steps of whole episodes, given as tokens [L, D] to which gradients flow."""
        words, real = self.stock.words(instructions)
        lengths = torch.tensor([len(episode) for episode in episodes], device=words.device)
        observed = pad_sequence(list(episodes), batch_first=True)
        prefix, longest = words.shape[1], observed.shape[1]
        whole = torch.cat([words.expand(len(episodes), -1, -1).to(observed.dtype), observed], 1)
        steps = torch.arange(longest, device=words.device)
        earlier = (steps <= steps[:, None]).expand(len(episodes), -1, -1)
        behind = torch.cat([real[:, None].expand(-1, longest, -1), earlier], 2)
        instruction = functional.pad(self.stock.instruction_seen(real), (0, longest))
        positions = torch.cat([torch.arange(prefix, device=words.device).expand_as(real), real.sum(1, True) + steps], 1)
        hidden = self.stock(whole, torch.cat([instruction, behind], 1), positions)[:, prefix:]
        readouts = (steps < lengths[:, None]) & ((steps + 1) % self.per_step == 0)
        return hidden[readouts]

    def start(self, rows: Sequence[int], instructions: Sequence[str], num_envs: int) -> None:
        """Read the instructions of some rows, padding included, into the newest end of the cache."""
        words, real = self.stock.words(instructions)
        size = real.shape[1]
        fresh = DynamicCache()
        positions = torch.arange(size, device=words.device).expand_as(real)
        self.stock(words, self.stock.instruction_seen(real), positions, fresh)
        cache = self._cache = self._wide_enough(fresh, num_envs)
        where = torch.tensor(rows, device=words.device)
        for kept, layer in zip(cache.layers.layers, fresh.layers, strict=True):
            kept.keys[where, :, -size:] = layer.keys
            kept.values[where, :, -size:] = layer.values
        cache.seen[where] = False
        cache.seen[where, -size:] = real
        cache.lengths[where] = real.sum(1)

    def _wide_enough(self, fresh: DynamicCache, num_envs: int) -> RolledCache:
        """The cache, with room for instructions as long as the fresh ones and a whole episode."""
        _, heads, size, head_size = fresh.layers[0].keys.shape
        device = fresh.layers[0].keys.device
        cache = self._cache or RolledCache(
            DynamicCache(),
            torch.zeros(num_envs, 0, dtype=torch.bool, device=device),
            torch.zeros(num_envs, dtype=torch.int64, device=device),
        )
        missing = size + self.stock.steps * self.per_step - cache.seen.shape[1]
        if missing > 0:
            cache.seen = functional.pad(cache.seen, (missing, 0))
            for index, layer in enumerate(fresh.layers):
                if index == len(cache.layers.layers):
                    nothing = layer.keys.new_zeros(num_envs, heads, 0, head_size)
                    cache.layers.update(nothing, nothing, index)
                kept = cache.layers.layers[index]
                kept.keys = functional.pad(kept.keys, (0, 0, missing, 0))
                kept.values = functional.pad(kept.values, (0, 0, missing, 0))
        return cache

    def append(self, tokens: Tensor) -> Tensor:
        """Hidden states [N, D] at the last of new tokens [N, K, D]."""
        cache, new = self._cache, tokens.shape[1]
        for layer in cache.layers.layers:
            layer.keys, layer.values = layer.keys[:, :, new:], layer.values[:, :, new:]
        order = torch.arange(new, device=tokens.device)
        cache.seen = torch.cat([cache.seen[:, new:], torch.ones_like(cache.seen[:, :new])], 1)
        seen = cache.seen[:, None].repeat(1, new, 1)
        seen[:, :, -new:] &= order <= order[:, None]
        hidden = self.stock(tokens, seen, cache.lengths[:, None] + order, cache.layers)
        cache.lengths = cache.lengths + new
        return hidden[:, -1]


@dataclass
class ReferenceRollout:
    """A rollout with the tokens of the steps of earlier rollouts as they were acted on, [kept, K, D]."""

    rollout: Rollout
    stale: Tensor


class ReferenceCollector:
    """Collects rollouts in the reference layout, environment and policy in turn.

    Args:
        policy: acts.
        environment: N environments that reset themselves within the step that ends an episode.
        seed: of sampling.
    """

    def __init__(self, policy: ReferencePolicy, environment: Any, *, seed: int):
        self.policy = policy
        self.environment = environment
        self.device = policy.policy.frozen.backbone.device
        self._generator = torch.Generator(device=self.device).manual_seed(seed)

    def reset(self) -> None:
        """Begin new episodes in all environments."""
        observation, _ = self.environment.reset()
        self._seen = self._perceive(observation)
        self._under_way = [Trajectory(instruction) for instruction in observation["instruction"]]
        self._tokens: list[list[Tensor]] = [[] for _ in self._under_way]
        self._features: list[list[Tensor]] = [[] for _ in self._under_way]
        self._actions: list[list[int]] = [[] for _ in self._under_way]

    def collect(self, steps: int) -> ReferenceRollout:
        """Take `steps` steps in every environment."""
        rows = range(len(self._under_way))
        kept = self._renumber()
        stale = [token for tokens in self._tokens for token in tokens]
        features = [[one for row in self._features for one in row]]
        actions = [action for row in self._actions for action in row]
        log_probs, values, rewards, ends = [], [], [], []
        ended: list[Trajectory] = []
        finished: list[Any] = []
        for t in range(steps):
            with torch.no_grad():
                tokens = self.policy.tokens(self._seen)
            starts = [row for row in rows if not self._under_way[row].steps]
            for row in rows:
                self._under_way[row].steps.append(kept + t * len(rows) + row)
                self._tokens[row].append(tokens[row])
                self._features[row].append(self._seen[row])
            decision = self.policy.act(
                tokens,
                [trajectory.instruction for trajectory in self._under_way],
                starts,
                [torch.cat(row) for row in self._tokens] if self.policy.recompute else [],
                self._generator,
            )
            chosen = decision.actions.cpu().numpy()
            features.append(list(self._seen))
            actions += chosen.tolist()
            log_probs.append(decision.log_probs)
            values.append(decision.values)
            observation, reward, terminations, truncations, infos = self.environment.step(chosen)
            over = terminations | truncations
            rewards.append(torch.from_numpy(np.asarray(reward, np.float32)))
            ends.append(torch.from_numpy(over))
            finished += infos.get("finished", ())
            self._seen = self._perceive(observation)
            for row in rows:
                self._actions[row].append(int(chosen[row]))
                if over[row]:
                    ended.append(self._under_way[row])
                    self._under_way[row] = Trajectory(observation["instruction"][row])
                    self._tokens[row], self._features[row], self._actions[row] = [], [], []
        stacked = torch.stack(values)
        done = torch.stack(ends).to(self.device)
        # The value behind the last step is not asked for: the next rollout's first one would do as well.
        next_values = torch.cat([stacked[1:], stacked[-1:]]).masked_fill(done, 0.0)
        rollout = Rollout(
            trajectories=ended + [trajectory for trajectory in self._under_way if trajectory.steps],
            features=torch.stack([one for part in features for one in part]),
            actions=torch.tensor(actions, device=self.device),
            kept=kept,
            log_probs=torch.stack(log_probs),
            values=stacked,
            rewards=torch.stack(rewards).to(self.device),
            next_values=next_values,
            ends=done,
            labels=None,
            finished=finished,
        )
        return ReferenceRollout(rollout, torch.stack(stale) if stale else self._seen.new_zeros(0))

    def _renumber(self) -> int:
        """Let the steps of episodes under way count from 0, row by row; how many there are."""
        first = 0
        for row, trajectory in enumerate(self._under_way):
            last = first + len(trajectory.steps)
            self._under_way[row] = Trajectory(trajectory.instruction, list(range(first, last)))
            first = last
        return first

    def _perceive(self, observation: dict[str, Any]) -> Tensor:
        with torch.no_grad():
            return self.policy.policy.perceive(observation["rgb"]).to(self.device, copy=True)


class ReferenceLearner:
    """Updates in the reference layout.

    Args:
        policy: its adapter and heads are trained.
        accelerator: of the backward pass.
        fragments: in a minibatch.
        seed: of drawing fragments.
    """

    def __init__(
        self, policy: ReferencePolicy, accelerator: Accelerator, *, fragments: int, weight_decay: float, seed: int
    ):
        self.policy = policy
        self.accelerator = accelerator
        self.fragments = fragments
        self.optimizer = torch.optim.AdamW(policy.policy.parameters(), weight_decay=weight_decay, eps=1e-5)
        self.random = np.random.Generator(np.random.PCG64(seed))

    def update(
        self,
        collected: ReferenceRollout,
        loss_of: LossOf,
        *,
        lr: float,
        epochs: int,
        max_grad_norm: float,
        drawn: int | None,
    ) -> int:
        """Learn from some fragments of a rollout in each epoch.

        Args:
            drawn: fragments an epoch draws, as many as there are environments in the release; None takes all.

        Returns:
            how many different steps were learned from.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        learned: set[int] = set()
        for _ in range(epochs):
            order = self.random.permutation(len(collected.rollout.trajectories))[:drawn]
            for begin in range(0, len(order), self.fragments):
                chosen = [collected.rollout.trajectories[i] for i in order[begin : begin + self.fragments]]
                logits, values, steps = self.evaluate(collected, chosen)
                loss = loss_of(logits, values, steps).total / len(steps)
                self.accelerator.backward(loss)
                self.accelerator.clip_grad_norm_(self.policy.policy.parameters(), max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
                learned.update(steps.tolist())
        return len(learned)

    def evaluate(self, collected: ReferenceRollout, chosen: Sequence[Trajectory]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [S, A] and values [S] of the new steps of some fragments, and where in [T, N] these lie, int64 [S]."""
        rollout, stale = collected.rollout, collected.stale
        new = [[step for step in one.steps if step >= rollout.kept] for one in chosen]
        steps = torch.tensor([step for fragment in new for step in fragment], device=rollout.actions.device)
        fresh = iter(self.policy.tokens(rollout.features[steps]).split([len(fragment) for fragment in new]))
        episodes = []
        for one, fragment in zip(chosen, new, strict=True):
            context = one.steps[: len(one.steps) - len(fragment)]
            tokens = next(fresh)
            episodes.append(torch.cat([stale[context], tokens]).flatten(0, 1) if context else tokens.flatten(0, 1))
        hidden = self.policy.read([one.instruction for one in chosen], episodes)
        is_new = torch.tensor([step >= rollout.kept for one in chosen for step in one.steps], device=hidden.device)
        logits, values = self.policy.policy.adapter.decide(hidden[is_new])
        return logits, values, steps - rollout.kept


def as_reference(rollout: Rollout, policy: ReferencePolicy) -> ReferenceRollout:
    """A rollout of ours for the reference layout, the tokens of earlier steps made with the weights of now."""
    with torch.no_grad():
        return ReferenceRollout(rollout, policy.tokens(rollout.features[: rollout.kept]))
