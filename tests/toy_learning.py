"""A toy task and a toy policy with the interfaces of the real ones, for tests of learning.

Task: a picture shows a number o, the sentence names a number k, the right action is (k + o) mod 4.
A right action ends the episode with reward 1; three wrong ones truncate it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from llarp_cli.config import CheckpointOptions, ImitationOptions, PPOOptions, Recipe
from llarp_cli.learning.collector import group_sizes
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.trainer import Trainer
from llarp_cli.policy.contract import Decision
from llarp_cli.runs import RunDirectory

ACTIONS = 4
LIMIT = 3
SIZE = 4
SENTENCES = tuple(f"add {k}" for k in range(ACTIONS))


@dataclass(frozen=True)
class ToyEpisode:
    id: str
    family: str
    instruction: str


class ToyEnvironment:
    """N toy tasks, each resetting itself within the step that ends its episode."""

    def __init__(self, num_envs: int, seed: int = 0):
        self.num_envs = num_envs
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.taken: list[np.ndarray] = []

    def reset(self, *, seed=None, options=None):
        self.shown = np.zeros(self.num_envs, np.int64)
        self.asked = np.zeros(self.num_envs, np.int64)
        self.length = np.zeros(self.num_envs, np.int64)
        self.begun = 0
        self._begin(np.arange(self.num_envs))
        return self._observation(), {}

    def step(self, actions):
        self.taken.append(actions.copy())
        right = actions == self.expert_actions()
        self.length += 1
        truncations = ~right & (self.length >= LIMIT)
        rewards = right.astype(np.float32)
        infos = {"finished": []}
        self.shown = self.random.integers(0, ACTIONS, self.num_envs)
        done = np.flatnonzero(right | truncations)
        if truncations.any():
            last = self._observation()["rgb"].copy()
            infos["final_obs"] = np.full(self.num_envs, None)
            for row in np.flatnonzero(truncations):
                infos["final_obs"][row] = {"rgb": last[row], "instruction": SENTENCES[self.asked[row]]}
        for row in done:
            episode = ToyEpisode(f"toy-{self.begun}", "toy", SENTENCES[self.asked[row]])
            stats = {"success": bool(right[row]), "return": float(right[row]), "length": int(self.length[row])}
            infos["finished"].append((int(row), episode, {**stats, "invalid_skills": 0}))
        self._begin(done)
        return self._observation(), rewards, right, truncations, infos

    def upcoming(self, count):
        return []

    def expert_actions(self):
        return (self.asked + self.shown) % ACTIONS

    def state_dict(self):
        arrays = {"shown": self.shown, "asked": self.asked, "length": self.length}
        return {**arrays, "begun": self.begun, "random": self.random.bit_generator.state}

    def load_state_dict(self, state):
        self.shown, self.asked, self.length = (state[name].copy() for name in ("shown", "asked", "length"))
        self.begun = state["begun"]
        self.random.bit_generator.state = state["random"]

    def close(self):
        pass

    def _begin(self, rows):
        self.asked[rows] = self.random.integers(0, ACTIONS, len(rows))
        self.shown[rows] = self.random.integers(0, ACTIONS, len(rows))
        self.length[rows] = 0
        self.begun += len(rows)

    def _observation(self):
        rgb = np.zeros((self.num_envs, SIZE, SIZE, 3), np.uint8)
        rgb[np.arange(self.num_envs), self.shown] = 255
        return {"rgb": rgb, "instruction": tuple(SENTENCES[k] for k in self.asked)}


class ToyPolicy(nn.Module):
    """A GRU that reads what is shown, the sentence and the previous action."""

    def __init__(self, seed: int = 0, width: int = 32):
        super().__init__()
        torch.manual_seed(seed)
        self.image_size = SIZE
        self.num_actions = ACTIONS
        self.sentence = nn.Embedding(len(SENTENCES), width)
        self.previous = nn.Embedding(ACTIONS + 1, width)
        self.picture = nn.Linear(SIZE, width)
        self.core = nn.GRUCell(width, width)
        self.body = nn.Sequential(nn.Linear(2 * width, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.actor = nn.Linear(64, ACTIONS)
        self.critic = nn.Linear(64, 1)

    def perceive(self, rgb):
        return torch.from_numpy(rgb[:, :, 0, 0].astype(np.float16) / 255)

    def prepare(self, instructions):
        pass

    def initial_state(self, rows):
        return {"memory": torch.zeros(rows, self.core.hidden_size), "sentences": np.zeros(rows, np.int64)}

    @torch.no_grad()
    def act(self, features, instructions, state, starts, previous_actions, *, deterministic=False, generator=None):
        memory = state["memory"] * torch.from_numpy(~starts).unsqueeze(-1)
        state["sentences"] = np.array([SENTENCES.index(text) for text in instructions])
        logits, values, state["memory"] = self._step(features, instructions, torch.as_tensor(previous_actions), memory)
        if deterministic:
            actions = logits.argmax(-1)
        else:
            actions = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
        return Decision(actions, logits.log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1), values, logits)

    @torch.no_grad()
    def values_after(self, state, rows, features, previous_actions):
        sentences = [SENTENCES[i] for i in state["sentences"][rows]]
        return self._step(features, sentences, previous_actions, state["memory"][rows])[1]

    @torch.no_grad()
    def rebuild(self, state, fragments):
        state["memory"] = self._run(fragments)[2]

    def evaluate(self, fragments):
        return self._run(fragments)[:2]

    def forward(self, fragments):
        return self.evaluate(fragments)

    def _run(self, fragments):
        rows, longest = len(fragments.lengths), max(fragments.lengths, default=0)
        begins = torch.tensor([0, *fragments.lengths]).cumsum(0)
        memory = torch.zeros(rows, self.core.hidden_size)
        logits = torch.zeros(len(fragments.features), ACTIONS)
        values = torch.zeros(len(fragments.features))
        for t in range(longest):
            going = [row for row in range(rows) if t < fragments.lengths[row]]
            steps = begins[going] + t
            sentences = [fragments.instructions[row] for row in going]
            now, value, after = self._step(
                fragments.features[steps], sentences, fragments.previous_actions[steps], memory[going]
            )
            logits = logits.index_put((steps,), now)
            values = values.index_put((steps,), value)
            memory = memory.index_put((torch.tensor(going),), after)
        return logits, values, memory

    def _step(self, features, instructions, previous, memory):
        asked = self.sentence(torch.tensor([SENTENCES.index(text) for text in instructions]))
        memory = self.core(self.picture(features.float()) + self.previous(previous + 1), memory)
        hidden = self.body(torch.cat([asked, memory], -1))
        return self.actor(hidden), self.critic(hidden).squeeze(-1), memory


def save_toy(policy, recipe, directory):
    save_file(policy.state_dict(), directory / "adapter.safetensors")


def open_toy(directory):
    policy = ToyPolicy()
    policy.load_state_dict(load_file(directory / "adapter.safetensors"))
    return policy


def toy_recipe(**changes):
    """A recipe of a few updates; `ppo`, `imitation` and `checkpoint` may be given as dicts."""
    parts = {"ppo": PPOOptions, "imitation": ImitationOptions, "checkpoint": CheckpointOptions}
    defaults = {
        "steps": 1024,
        "num_envs": 16,
        "ppo": {"rollout_steps": 8, "lr": 3e-3, "minibatches": 2, "max_grad_norm": 1.0},
        "imitation": {"lr": 3e-3, "minibatches": 2},
        "checkpoint": {"every": 10**6},
    }
    for name, section in parts.items():
        changes[name] = section(**{**defaults[name], **changes.get(name, {})})
    return Recipe(**{**defaults, **changes})


def train_toy(directory, **changes):
    """Train the toy policy in the toy task; the trainer and the run's metrics."""
    recipe = toy_recipe(**changes)
    run = RunDirectory.create(directory, recipe, {})
    trainer = toy_trainer(recipe, run, ToyPolicy(recipe.seed))
    trainer.begin()
    assert trainer.train(Progress(None, total=recipe.steps))
    return trainer, run.read_metrics()


def toy_trainer(recipe, run, policy):
    torch.manual_seed(recipe.seed)
    environments = [
        ToyEnvironment(rows, recipe.seed + group) for group, rows in enumerate(group_sizes(recipe.num_envs))
    ]
    return Trainer(recipe, policy, environments, run, Accelerator(cpu=True), save_policy=save_toy)
