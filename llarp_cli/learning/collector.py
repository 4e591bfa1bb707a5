"""Collecting rollouts: groups of environments, each in its own time.

While the language model acts for one group, the other's environments step, are drawn and are seen: each group runs
from the rollout's first step to its last in a thread of its own. No group depends on another, so that the same seed
gives the same rollout whatever the timing, and whether there are threads for it or the groups take turns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch

from llarp_cli.learning.clock import WAITING, Clock
from llarp_cli.learning.groups import Group, Outcome, Record
from llarp_cli.learning.rollouts import Rollout
from llarp_cli.learning.stragglers import Limit
from llarp_cli.policy.contract import Policy

GROUPS = 2
ROWS_PER_GROUP = 32
"""Fewer rows are not divided: the language model's weights are read at every step, for few rows as for many."""

SWITCH_SECONDS = 2e-4
"""After which one thread's Python makes way for another's; with Python's own 5 ms rollouts take a tenth longer."""

SEEDS_APART = 500_000
"""Between the seeds of two groups; processes' seeds are one apart."""

T = TypeVar("T")


def group_sizes(num_envs: int) -> list[int]:
    """Rows of each group."""
    count = GROUPS if num_envs >= GROUPS * ROWS_PER_GROUP else 1
    return [len(part) for part in np.array_split(np.arange(num_envs), count)]


class Collector:
    """Runs a policy in vector environments and remembers the episodes that are under way.

    Args:
        policy: what acts.
        environments: one for each group; they reset themselves within the step that ends an episode.
        device: where features and actions are kept.
        clock: counts seconds for environment, vision and LLM, and those in which a group waited for the other.
        seed: of sampling actions and of who acts.
        limit_ends: as in `PPOOptions`.

    Attributes:
        in_turn: groups take turns even where they could run at the same time.
    """

    def __init__(
        self,
        policy: Policy,
        environments: Sequence[Any],
        *,
        device: torch.device,
        clock: Clock,
        seed: int,
        limit_ends: bool,
    ):
        self.device = device
        self.clock = clock
        self.groups: list[Group] = []
        self.rows = 0
        for index, environment in enumerate(environments):
            own_seed = seed + index * SEEDS_APART
            group = Group(policy, environment, self.rows, device=device, seed=own_seed, limit_ends=limit_ends)
            self.groups.append(group)
            self.rows += environment.num_envs
        self.in_turn = False
        self._threads = [ThreadPoolExecutor(1, f"llarp-group-{index}") for index in range(len(self.groups))]
        cuda = device.type == "cuda"
        self._streams = [torch.cuda.Stream(device) if cuda else None for _ in self.groups]

    def reset(self) -> None:
        """Begin new episodes in all environments."""
        self._together(Group.reset)
        perceived = self.groups[0].perceived
        self._features = perceived[:0]
        self._actions = torch.zeros(0, dtype=torch.int64, device=self.device)

    def collect(
        self, steps: int, *, expert: bool = False, expert_share: float = 0.0, enough: Callable[[], bool] | None = None
    ) -> Rollout:
        """Take `steps` steps in every environment.

        Args:
            steps: T.
            expert: ask the expert for its choice at every step.
            expert_share: the share of the episodes begun now in which the expert acts. While it acts in
                every environment, the policy is not run at all.
            enough: asked at every step whether to stop early; see `stragglers`.
        """
        kept, new = len(self._actions), steps * self.rows
        shape = (steps, self.rows)
        limit = Limit(steps, enough)
        record = Record(
            limit=limit,
            kept=kept,
            features=torch.cat([self._features, self._features.new_empty(new, *self._features.shape[1:])]),
            actions=torch.cat([self._actions, self._actions.new_empty(new)]),
            log_probs=torch.zeros(shape, device=self.device),
            values=torch.zeros(shape, device=self.device),
            next_values=torch.zeros(shape, device=self.device),
            rewards=np.zeros(shape, np.float32),
            ends=np.zeros(shape, bool),
            labels=np.zeros(shape, np.int64) if expert else None,
        )
        under_way = [trajectory for group in self.groups for trajectory in group.under_way]
        only_expert = expert_share >= 1 and all(t.by_expert or not t.steps for t in under_way)

        def collect(group: Group) -> Outcome:
            return group.collect(record, expert=expert, expert_share=expert_share, only_expert=only_expert)

        outcomes = self._together(collect)
        taken, learned = limit.steps, kept + limit.steps * self.rows
        self._features, self._actions = record.features[:learned], record.actions[:learned]
        under_way = [trajectory for group in self.groups for trajectory in group.under_way]
        return Rollout(
            trajectories=[t for outcome in outcomes for t in outcome.ended] + [t for t in under_way if t.steps],
            features=self._features,
            actions=self._actions,
            kept=kept,
            log_probs=record.log_probs[:taken],
            values=record.values[:taken],
            rewards=torch.from_numpy(record.rewards[:taken]).to(self.device),
            next_values=record.next_values[:taken],
            ends=torch.from_numpy(record.ends[:taken]).to(self.device),
            labels=None if record.labels is None else torch.from_numpy(record.labels[:taken]).to(self.device),
            finished=[episode for outcome in outcomes for episode in outcome.finished],
        )

    def rebuild(self) -> None:
        """Recompute the policy's state from the episodes under way, after its weights changed; the steps of episodes
        that have ended are forgotten."""
        parts = self._together(lambda group: group.rebuild(self._features, self._actions))
        self._features, self._actions = (torch.cat(one) for one in zip(*parts, strict=True))
        first = 0
        for group in self.groups:
            first = group.renumber(first)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how collecting goes on, right after `rebuild`; tensors, numbers and texts."""
        return {
            "features": self._features,
            "actions": self._actions,
            "groups": [group.state_dict() for group in self.groups],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; `rebuild` comes next, with the weights the policy has now."""
        self._features = state["features"].to(self.device)
        self._actions = state["actions"].to(self.device)
        first = 0
        for group, own in zip(self.groups, state["groups"], strict=True):
            first = group.load_state_dict(own, first)
        if first != len(self._features):
            raise ValueError(f"{len(self._features)} steps of episodes under way that have {first}")

    def _together(self, work: Callable[[Group], T]) -> list[T]:
        """Have every group do something, at the same time where there are processors for it."""
        threads, count = torch.get_num_threads(), len(self.groups)
        if count == 1 or self.in_turn or (self.device.type == "cpu" and threads == 1):
            results = [work(group) for group in self.groups]
            for group in self.groups:
                self.clock.add(group.clock)
            return results
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # what is queued so far, for all streams

        def run(group: Group, stream: Any) -> tuple[T, float]:
            torch.set_num_threads(max(1, threads // count))
            with nullcontext() if stream is None else torch.cuda.stream(stream):
                result = work(group)
                if stream is not None:
                    stream.synchronize()
            return result, perf_counter()

        # Operations of torch and numba let another thread run Python meanwhile, and should get their turn back soon.
        switching = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            futures = [
                thread.submit(run, group, stream)
                for thread, group, stream in zip(self._threads, self.groups, self._streams, strict=True)
            ]
            wait(futures)
        finally:
            sys.setswitchinterval(switching)
            torch.set_num_threads(threads)  # the last thread to set its own number set it for threads yet to come
        done = [future.result() for future in futures]
        ended = perf_counter()
        for group, (_, at) in zip(self.groups, done, strict=True):
            group.clock.seconds[WAITING] += ended - at
            self.clock.add(group.clock, share=1 / count)
        return [result for result, _ in done]
