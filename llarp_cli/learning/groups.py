"""Rows that step together: a share of the environments, and the policy acting in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llarp_cli.backbones.transfer import to_device
from llarp_cli.learning.clock import Clock
from llarp_cli.learning.rollouts import Finished, Trajectory, pack
from llarp_cli.learning.stragglers import Limit
from llarp_cli.policy.contract import Decision, Fragments, Policy
from llarp_cli.policy.parts import ReadAhead


@dataclass(frozen=True)
class Record:
    """What a rollout is written into; each group of rows writes to its own columns. See `Rollout`."""

    limit: Limit
    kept: int
    features: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    next_values: Tensor
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Cut:
    """An episode that was cut off: when, in which of the group's rows, and what was last seen in it."""

    t: int
    row: int
    trajectory: Trajectory
    last_seen: Tensor


@dataclass(frozen=True)
class Outcome:
    """What came to an end in a group's rows: all episodes for learning, and what is told of them."""

    ended: list[Trajectory] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)


class Group:
    """Some rows, their episodes under way and the policy's state for them.

    Groups share the policy and nothing else that is written to, so that each may run in a thread of its own and
    what it does depends on no other.

    Args:
        policy: what acts.
        environment: environments that reset themselves within the step that ends an episode.
        first: the first of the group's columns in a rollout.
        device: where features and actions are kept.
        seed: of sampling actions and of who acts.
        limit_ends: nothing is expected after an episode that was cut off.
    """

    def __init__(
        self, policy: Policy, environment: Any, first: int, *, device: torch.device, seed: int, limit_ends: bool
    ):
        self.policy = policy
        self.environment = environment
        self.rows = environment.num_envs
        self.columns = slice(first, first + self.rows)
        self.device = device
        self.limit_ends = limit_ends
        self.clock = Clock()
        self._state = policy.initial_state(self.rows)
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._read_ahead = ReadAhead(policy, environment)

    def reset(self) -> None:
        """Begin new episodes in all environments."""
        with self.clock("environment"):
            observation, _ = self.environment.reset()
        self.perceived = self._perceive(observation["rgb"])
        self.under_way = [Trajectory(instruction) for instruction in observation["instruction"]]
        self._previous = np.full(self.rows, -1, np.int64)

    def collect(self, record: Record, *, expert: bool, expert_share: float, only_expert: bool) -> Outcome:
        """Take as many steps in every environment as the record has room for; see `Collector.collect`.

        Args:
            only_expert: the expert acts in every environment, and the policy is not run before the end.
        """
        outcome = Outcome()
        width = record.rewards.shape[1]
        own = self.columns
        # A GPU has time for whole episodes, but not for a few tokens at every step.
        at_once = self.device.type == "cpu" and not only_expert
        cut: list[Cut] = []
        t = 0
        while not record.limit.reached(t):
            for trajectory in self.under_way:
                if not trajectory.steps:
                    trajectory.by_expert = expert and self._random.random() < expert_share
            if expert:
                with self.clock("environment"):
                    record.labels[t, own] = self.environment.expert_actions()
            if only_expert:
                actions = record.labels[t, own].copy()
            else:
                decision, actions = self._act()
                record.log_probs[t, own], record.values[t, own] = decision.log_probs, decision.values
                if expert:
                    by_expert = np.array([trajectory.by_expert for trajectory in self.under_way])
                    actions = np.where(by_expert, record.labels[t, own], actions)
            first = record.kept + t * width + own.start
            record.features[first : first + self.rows] = self.perceived
            record.actions[first : first + self.rows] = to_device(actions, self.device)
            for row, trajectory in enumerate(self.under_way):
                trajectory.steps.append(first + row)
            instructions, cut_now = self._step(t, actions, record, outcome)
            if at_once and cut_now:
                self._value_now(cut_now, record)
            else:
                cut += cut_now
            for row in np.flatnonzero(record.ends[t, own]):
                outcome.ended.append(self.under_way[row])
                self.under_way[row] = Trajectory(instructions[row])
                self._read_ahead.begun(1)
            t += 1

        if only_expert:
            # The policy has not seen these steps yet; its next value is asked for below.
            self.rebuild(record.features, record.actions)
        decision, _ = self._act(deterministic=True)
        following = torch.cat([record.values[1:t, own], decision.values.unsqueeze(0)])
        ends = to_device(record.ends[:t, own].copy(), self.device)
        # Where an episode was cut off, the value of what was last seen is there already, or comes now.
        record.next_values[:t, own] = torch.where(ends, record.next_values[:t, own], following)
        self._value_together(cut, record)
        return outcome

    def rebuild(self, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Recompute the policy's state from the episodes under way, after its weights changed.

        On a CPU it is made afresh, so that a resumed run computes with the same shapes, and so rounds alike; what a
        GPU has recorded for it goes on to serve.

        Returns:
            the features and actions of these episodes, one after the other.
        """
        fragments, steps = pack(self.under_way, features, actions, kept=0)
        afresh = self.device.type == "cpu"
        if afresh:
            self._state = None  # two would not be needed at once
        with self.clock("llm"), torch.no_grad():
            if afresh:
                self._state = self.policy.initial_state(self.rows)
            self.policy.rebuild(self._state, fragments)
        return fragments.features, actions[steps]

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how collecting goes on, but for the steps of the episodes under way."""
        return {
            "environment": self.environment.state_dict(),
            "perceived": self.perceived,
            "instructions": [trajectory.instruction for trajectory in self.under_way],
            "lengths": [len(trajectory.steps) for trajectory in self.under_way],
            "by_expert": [trajectory.by_expert for trajectory in self.under_way],
            "generator": self._generator.get_state(),
            "previous_actions": self._previous.tolist(),
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any], first_step: int) -> int:
        """Go on from `state_dict`.

        Args:
            first_step: where the steps of the first episode under way lie; those of the others follow.

        Returns:
            where they end.
        """
        self.environment.load_state_dict(state["environment"])
        self.perceived = state["perceived"].to(self.device)
        self._previous = np.array(state["previous_actions"], np.int64)
        # A GPU's generator has another kind of state: a run that goes on elsewhere draws other numbers.
        if state["generator"].numel() == self._generator.get_state().numel():
            self._generator.set_state(state["generator"].cpu())
        self._random.bit_generator.state = state["random"]
        told = zip(state["instructions"], state["by_expert"], state["lengths"], strict=True)
        self.under_way = [Trajectory(text, [0] * length, by_expert) for text, by_expert, length in told]
        return self.renumber(first_step)

    def renumber(self, first_step: int) -> int:
        """Let the steps of the episodes under way lie one after the other from here on; where they end."""
        renumbered = []
        for trajectory in self.under_way:
            end = first_step + len(trajectory.steps)
            renumbered.append(Trajectory(trajectory.instruction, list(range(first_step, end)), trajectory.by_expert))
            first_step = end
        self.under_way = renumbered  # the rollout still has the others
        return first_step

    def _step(
        self, t: int, actions: NDArray[np.int64], record: Record, outcome: Outcome
    ) -> tuple[Sequence[str], list[Cut]]:
        """Take step t in the environments and see what comes of it: all rows' instructions now, and the episodes
        that were cut off, if anything is expected after them."""
        own = self.columns
        with self.clock("environment"):
            observation, reward, terminations, truncations, infos = self.environment.step(actions)
        record.rewards[t, own], record.ends[t, own] = reward, terminations | truncations
        self._see(observation["rgb"], infos.get("unchanged"))
        self._previous = np.where(record.ends[t, own], -1, actions)
        for row, episode, stats in infos.get("finished", ()):
            outcome.finished.append(
                Finished(
                    family=episode.family,
                    success=stats["success"],
                    total_reward=stats["return"],
                    length=stats["length"],
                    invalid_skills=stats["invalid_skills"],
                    by_expert=self.under_way[row].by_expert,
                )
            )
        rows = np.flatnonzero(truncations & ~terminations)
        cut = []
        if len(rows) and not self.limit_ends:
            last_seen = self._perceive(np.stack([infos["final_obs"][row]["rgb"] for row in rows]))
            cut = [Cut(t, int(row), self.under_way[row], seen) for row, seen in zip(rows, last_seen, strict=True)]
        return observation["instruction"], cut

    def _see(self, rgb: NDArray[np.uint8], unchanged: NDArray[np.bool_] | None) -> None:
        """Perceive the pictures that are new."""
        changed = range(self.rows) if unchanged is None else np.flatnonzero(~unchanged)
        if len(changed) == self.rows:
            self.perceived = self._perceive(rgb)
        elif len(changed):
            self.perceived.index_copy_(0, to_device(changed, self.device), self._perceive(rgb[changed]))

    def _perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        with self.clock("vision"), torch.no_grad():
            # The environment may draw its next picture into the same memory.
            return self.policy.perceive(rgb).to(self.device, copy=True)

    def _act(self, *, deterministic: bool = False) -> tuple[Decision, NDArray[np.int64]]:
        """The policy's decision, and its actions fetched to main memory."""
        starts = np.array([not trajectory.steps for trajectory in self.under_way])
        with self.clock("llm"), torch.no_grad():
            self._read_ahead([self.under_way[row].instruction for row in np.flatnonzero(starts)])
            decision = self.policy.act(
                self.perceived,
                [trajectory.instruction for trajectory in self.under_way],
                self._state,
                starts,
                self._previous,
                deterministic=deterministic,
                generator=self._generator,
            )
            return decision, decision.actions.cpu().numpy()

    def _value_now(self, cut: Sequence[Cut], record: Record) -> None:
        """Record the values of the states in which episodes were just cut off, from the policy's state."""
        rows = [one.row for one in cut]
        last_actions = record.actions[[one.trajectory.steps[-1] for one in cut]]
        with self.clock("llm"), torch.no_grad():
            last_seen = torch.stack([one.last_seen for one in cut])
            values = self.policy.values_after(self._state, rows, last_seen, last_actions)
        record.next_values[cut[0].t, self.columns.start + np.array(rows)] = values

    def _value_together(self, cut: Sequence[Cut], record: Record) -> None:
        """The same from the episodes' steps, as many at a time as there are rows."""
        for begin in range(0, len(cut), self.rows):
            some = cut[begin : begin + self.rows]
            features = [torch.cat([record.features[one.trajectory.steps], one.last_seen[None]]) for one in some]
            start = record.actions.new_tensor([-1])
            previous = [torch.cat([start, record.actions[one.trajectory.steps]]) for one in some]
            lengths = [len(one) for one in previous]
            fragments = Fragments(
                features=torch.cat(features),
                instructions=[one.trajectory.instruction for one in some],
                lengths=lengths,
                previous_actions=torch.cat(previous),
                learned=start.new_zeros(0),
            )
            with self.clock("llm"), torch.no_grad():
                _, values = self.policy.evaluate(fragments)
            last = to_device(np.cumsum(lengths) - 1, self.device)
            places = [one.t * record.next_values.shape[1] + self.columns.start + one.row for one in some]
            record.next_values.view(-1).index_copy_(0, to_device(np.array(places), self.device), values[last])
