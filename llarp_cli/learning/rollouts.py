"""Collecting experience, and keeping it as whole episodes.

A rollout is T steps in each of N environments. Its steps are grouped by episode; an episode that
began in an earlier rollout is given from its first step, so that every policy reads its own context
with the weights it has now. Only the steps of this rollout are learned from, each once per epoch.
"""

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
from llarp_cli.learning.gae import advantages
from llarp_cli.policy.contract import Decision, Fragments, Policy
from llarp_cli.policy.parts import ReadAhead


@dataclass
class Trajectory:
    """One episode so far.

    Attributes:
        instruction: its sentence.
        steps: where its steps lie in the rollout's arrays, from the episode's first.
        by_expert: the expert acts in it.
    """

    instruction: str
    steps: list[int] = field(default_factory=list)
    by_expert: bool = False


@dataclass(frozen=True)
class Finished:
    """An episode that ended during the rollout.

    Attributes:
        family: of its task.
        success: whether the goal was reached.
        total_reward: undiscounted, unscaled.
        length: steps.
        invalid_skills: steps whose skill's precondition did not hold.
        by_expert: the expert acted in it.
    """

    family: str
    success: bool
    total_reward: float
    length: int
    invalid_skills: int
    by_expert: bool


@dataclass
class Rollout:
    """P steps: first `kept` ones of earlier rollouts (context only), then T·N new ones, time by time.

    Attributes:
        trajectories: every episode with a new step.
        features: [P, ...], what `perceive` returned.
        actions: int64 [P].
        kept: steps of earlier rollouts.
        log_probs, values, rewards, next_values: float32 [T, N] of the new steps.
        ends: bool [T, N], the episode ended with the step.
        labels: int64 [T, N], the expert's choices, or None where it was not asked.
        finished: the episodes that ended.
    """

    trajectories: list[Trajectory]
    features: Tensor
    actions: Tensor
    kept: int
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    next_values: Tensor
    ends: Tensor
    labels: Tensor | None
    finished: list[Finished]

    def learned_lengths(self) -> list[int]:
        """New steps of each trajectory."""
        return [sum(step >= self.kept for step in trajectory.steps) for trajectory in self.trajectories]

    def targets(self, *, gamma: float, gae_lambda: float, reward_scale: float) -> tuple[Tensor, Tensor]:
        """Advantages and returns [T, N] of the scaled rewards."""
        gained = advantages(
            self.rewards * reward_scale, self.values, self.next_values, self.ends, gamma=gamma, gae_lambda=gae_lambda
        )
        return gained, gained + self.values

    def fragments(self, chosen: Sequence[int]) -> tuple[Fragments, Tensor]:
        """Some trajectories as the policy reads them.

        Returns:
            the fragments, and int64 [S'] where their learned steps lie in the flattened [T, N] arrays.
        """
        fragments, steps = pack([self.trajectories[i] for i in chosen], self.features, self.actions, self.kept)
        return fragments, steps.index_select(0, fragments.learned) - self.kept


def pack(trajectories: Sequence[Trajectory], features: Tensor, actions: Tensor, kept: int) -> tuple[Fragments, Tensor]:
    """Trajectories whose steps lie in `features` and `actions` [P, ...] as fragments, and their steps int64 [S]."""
    listed = np.array([step for trajectory in trajectories for step in trajectory.steps], np.int64)
    before = [step for trajectory in trajectories for step in [-1, *trajectory.steps][: len(trajectory.steps)]]
    steps = to_device(listed, actions.device)
    previous = to_device(np.array(before, np.int64), actions.device)
    fragments = Fragments(
        features=features[steps],
        instructions=[trajectory.instruction for trajectory in trajectories],
        lengths=[len(trajectory.steps) for trajectory in trajectories],
        previous_actions=torch.where(previous < 0, previous, actions[previous.clamp(min=0)]),
        learned=to_device(np.flatnonzero(listed >= kept), actions.device),
    )
    return fragments, steps


class Collector:
    """Runs a policy in a vector environment and remembers the episodes that are under way.

    Args:
        policy: what acts.
        environment: N environments that reset themselves within the step that ends an episode.
        device: where features and actions are kept.
        clock: counts seconds for environment, vision and LLM.
        seed: of sampling actions and of who acts.
    """

    def __init__(self, policy: Policy, environment: Any, *, device: torch.device, clock: Clock, seed: int):
        self.policy = policy
        self.environment = environment
        self.device = device
        self.clock = clock
        self.rows = environment.num_envs
        self._state = policy.initial_state(self.rows)
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._read_ahead = ReadAhead(policy, environment)

    def reset(self) -> None:
        """Begin new episodes in all environments."""
        with self.clock("environment"):
            observation, _ = self.environment.reset()
        self._perceived = self._perceive(observation["rgb"])
        self._under_way = [Trajectory(instruction) for instruction in observation["instruction"]]
        self._features = self._perceived[:0]
        self._actions = torch.zeros(0, dtype=torch.int64, device=self.device)
        self._previous = np.full(self.rows, -1, np.int64)

    def collect(self, steps: int, *, expert: bool = False, expert_share: float = 0.0) -> Rollout:
        """Take `steps` steps in every environment.

        Args:
            steps: T.
            expert: ask the expert for its choice at every step.
            expert_share: the share of the episodes begun now in which the expert acts. While it acts in
                every environment, the policy is not run at all.
        """
        rows, kept = self.rows, len(self._actions)
        self._make_room(steps * rows)
        only_expert = expert_share >= 1 and all(t.by_expert or not t.steps for t in self._under_way)
        shape = (steps, rows)
        log_probs, values, rewards = (torch.zeros(shape, device=self.device) for _ in range(3))
        ends, terminal = np.zeros(shape, bool), np.zeros(shape, bool)
        labels = torch.zeros(shape, dtype=torch.int64) if expert else None
        ended: list[Trajectory] = []
        cut: list[tuple[int, int, Trajectory, Tensor]] = []
        finished: list[Finished] = []

        for t in range(steps):
            for trajectory in self._under_way:
                if not trajectory.steps:
                    trajectory.by_expert = expert and self._random.random() < expert_share
            if labels is not None:
                with self.clock("environment"):
                    labels[t] = torch.from_numpy(self.environment.expert_actions())
            if only_expert:
                actions = labels[t].numpy().copy()
            else:
                decision = self._act()
                log_probs[t], values[t] = decision.log_probs, decision.values
                actions = decision.actions.cpu().numpy()
                if expert:
                    by_expert = np.array([trajectory.by_expert for trajectory in self._under_way])
                    actions = np.where(by_expert, labels[t].numpy(), actions)

            first = kept + t * rows
            self._features[first : first + rows] = self._perceived
            self._actions[first : first + rows] = torch.from_numpy(actions)
            for row, trajectory in enumerate(self._under_way):
                trajectory.steps.append(first + row)

            with self.clock("environment"):
                observation, reward, terminations, truncations, infos = self.environment.step(actions)
            rewards[t] = torch.from_numpy(np.asarray(reward, np.float32))
            terminal[t], ends[t] = terminations, terminations | truncations
            self._perceived = self._perceive(observation["rgb"])
            cut_rows = np.flatnonzero(truncations & ~terminations)
            if len(cut_rows):
                last_seen = self._perceive(np.stack([infos["final_obs"][row]["rgb"] for row in cut_rows]))
                cut += [(t, row, self._under_way[row], last_seen[i]) for i, row in enumerate(cut_rows)]
            for row, episode, stats in infos.get("finished", ()):
                finished.append(
                    Finished(
                        family=episode.family,
                        success=stats["success"],
                        total_reward=stats["return"],
                        length=stats["length"],
                        invalid_skills=stats["invalid_skills"],
                        by_expert=self._under_way[row].by_expert,
                    )
                )
            self._previous = np.where(ends[t], -1, actions)
            for row in np.flatnonzero(ends[t]):
                ended.append(self._under_way[row])
                self._under_way[row] = Trajectory(observation["instruction"][row])
                self._read_ahead.begun(1)

        if only_expert:
            # The policy has not seen these steps yet; its next value is asked for below.
            self.rebuild(compact=False)
        next_values = torch.cat([values[1:], self._act(deterministic=True).values.unsqueeze(0)])
        next_values[torch.from_numpy(terminal).to(self.device)] = 0.0
        for (t, row, _, _), value in zip(cut, self._values_after(cut, batch=rows), strict=True):
            next_values[t, row] = value
        return Rollout(
            trajectories=ended + [trajectory for trajectory in self._under_way if trajectory.steps],
            features=self._features,
            actions=self._actions,
            kept=kept,
            log_probs=log_probs,
            values=values,
            rewards=rewards,
            next_values=next_values,
            ends=torch.from_numpy(ends).to(self.device),
            labels=None if labels is None else labels.to(self.device),
            finished=finished,
        )

    def rebuild(self, *, compact: bool = True) -> None:
        """Recompute the policy's state from the episodes under way, after its weights changed.

        Made afresh, so that a resumed run computes with the same shapes, and so rounds alike. Steps of
        episodes that have ended are forgotten (with `compact`).
        """
        fragments, steps = pack(self._under_way, self._features, self._actions, kept=0)
        self._state = None
        with self.clock("llm"), torch.no_grad():
            self._state = self.policy.initial_state(self.rows)
            self.policy.rebuild(self._state, fragments)
        if not compact:
            return
        self._features, self._actions = fragments.features, self._actions[steps]
        first = 0
        renumbered = []
        for trajectory in self._under_way:
            last = first + len(trajectory.steps)
            renumbered.append(Trajectory(trajectory.instruction, list(range(first, last)), trajectory.by_expert))
            first = last
        self._under_way = renumbered

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how collecting goes on, right after `rebuild`; tensors, numbers and texts."""
        return {
            "environment": self.environment.state_dict(),
            "perceived": self._perceived,
            "features": self._features,
            "actions": self._actions,
            "instructions": [trajectory.instruction for trajectory in self._under_way],
            "lengths": [len(trajectory.steps) for trajectory in self._under_way],
            "by_expert": [trajectory.by_expert for trajectory in self._under_way],
            "generator": self._generator.get_state(),
            "previous_actions": self._previous.tolist(),
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`, with the weights the policy has now."""
        self.environment.load_state_dict(state["environment"])
        self._perceived = state["perceived"].to(self.device)
        self._features = state["features"].to(self.device)
        self._actions = state["actions"].to(self.device)
        self._previous = np.array(state["previous_actions"], np.int64)
        self._under_way, first = [], 0
        for instruction, length, by_expert in zip(
            state["instructions"], state["lengths"], state["by_expert"], strict=True
        ):
            self._under_way.append(Trajectory(instruction, list(range(first, first + length)), by_expert))
            first += length
        self._generator.set_state(state["generator"].cpu())
        self._random.bit_generator.state = state["random"]
        self.rebuild()

    def _perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        with self.clock("vision"), torch.no_grad():
            # The environment may draw its next picture into the same memory.
            return self.policy.perceive(rgb).to(self.device, copy=True)

    def _act(self, *, deterministic: bool = False) -> Decision:
        starts = np.array([not trajectory.steps for trajectory in self._under_way])
        with self.clock("llm"), torch.no_grad():
            self._read_ahead([self._under_way[row].instruction for row in np.flatnonzero(starts)])
            return self.policy.act(
                self._perceived,
                [trajectory.instruction for trajectory in self._under_way],
                self._state,
                starts,
                self._previous,
                deterministic=deterministic,
                generator=self._generator,
            )

    def _make_room(self, steps: int) -> None:
        """Append room for new steps behind those of the episodes under way."""
        kept = len(self._actions)
        features = self._perceived.new_empty((kept + steps, *self._perceived.shape[1:]))
        features[:kept] = self._features
        actions = self._actions.new_empty(kept + steps)
        actions[:kept] = self._actions
        self._features, self._actions = features, actions

    def _values_after(self, cut: Sequence[tuple[int, int, Trajectory, Tensor]], batch: int) -> list[float]:
        """The values of the states in which episodes were cut off, each in its episode's own context."""
        values: list[float] = []
        for begin in range(0, len(cut), batch):
            some = cut[begin : begin + batch]
            features = [torch.cat([self._features[t.steps], seen.unsqueeze(0)]) for _, _, t, seen in some]
            previous = [torch.cat([self._actions.new_tensor([-1]), self._actions[t.steps]]) for _, _, t, _ in some]
            lengths = [len(one) for one in previous]
            fragments = Fragments(
                features=torch.cat(features),
                instructions=[t.instruction for _, _, t, _ in some],
                lengths=lengths,
                previous_actions=torch.cat(previous),
                learned=previous[0].new_zeros(0),
            )
            with self.clock("llm"), torch.no_grad():
                _, after = self.policy.evaluate(fragments)
            values += after[torch.tensor(lengths).cumsum(0) - 1].tolist()
        return values
