"""Collecting: whole episodes, every step once, bootstrapping that disturbs nothing."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
import torch
from toy_learning import LIMIT, ToyEnvironment, ToyPolicy

from llarp_cli.learning import clock
from llarp_cli.learning import collector as collector_module
from llarp_cli.learning.clock import Clock
from llarp_cli.learning.collector import Collector, group_sizes
from llarp_cli.learning.minibatches import even_groups
from llarp_cli.policy.contract import Fragments
from llarp_cli.policy.parts import READ_AHEAD

CPU = torch.device("cpu")
ROWS = 5


def collector(seed=0, environment=None, others=(), limit_ends=False):
    environments = [environment or ToyEnvironment(ROWS, seed), *others]
    made = Collector(ToyPolicy(), environments, device=CPU, clock=Clock(), seed=seed, limit_ends=limit_ends)
    made.policy = made.groups[0].policy
    made.reset()
    return made


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def move(policy, seed):
    """Change the weights, as an update would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("steps", [1, 2, 7, 16])
def test_every_step_is_learned_once_per_epoch_and_in_its_whole_episode(steps):
    collecting = collector()
    for update in range(4):
        rollout = collecting.collect(steps)
        groups = even_groups(rollout.learned_lengths(), 3, np.random.default_rng(update))
        seen = []
        for chosen in groups:
            fragments, learned = rollout.fragments(chosen)
            seen += learned.tolist()
            assert len(fragments.learned) == len(learned)
            begins = np.cumsum([0, *fragments.lengths[:-1]])
            assert (fragments.previous_actions[begins] == -1).all()
            assert (fragments.previous_actions == -1).sum() == len(begins)
        assert sorted(seen) == list(range(steps * ROWS))
        collecting.rebuild()


def test_fragments_hold_what_was_seen_and_done():
    environment = ToyEnvironment(ROWS, seed=3)
    collecting = collector(environment=environment)
    for _ in range(3):
        environment.taken.clear()
        rollout = collecting.collect(4)
        taken = torch.from_numpy(np.stack(environment.taken)).flatten()
        fragments, _ = rollout.fragments(range(len(rollout.trajectories)))
        assert torch.equal(rollout.actions[rollout.kept :], taken)
        following = (fragments.previous_actions != -1).nonzero().squeeze(-1)
        assert len(following) > 0
        steps = torch.tensor([step for trajectory in rollout.trajectories for step in trajectory.steps])
        assert torch.equal(fragments.previous_actions[following], rollout.actions[steps[following - 1]])
        assert torch.equal(fragments.features, rollout.features[steps])
        assert max(fragments.lengths) <= LIMIT
        collecting.rebuild()


def test_log_probs_and_values_are_those_of_the_update_path_whatever_changed_in_between():
    collecting = collector()
    for update in range(4):
        rollout = collecting.collect(5)
        fragments, learned = rollout.fragments(range(len(rollout.trajectories)))
        assert update == 0 or rollout.kept > 0
        with torch.no_grad():
            logits, values = collecting.policy.evaluate(fragments)
        actions = rollout.actions[rollout.kept :][learned]
        log_probs = logits[fragments.learned].log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
        assert torch.allclose(log_probs, rollout.log_probs.flatten()[learned], atol=1e-5)
        assert torch.allclose(values[fragments.learned], rollout.values.flatten()[learned], atol=1e-5)
        move(collecting.policy, update)
        collecting.rebuild()


def test_two_short_rollouts_are_one_long_one():
    short, long = collector(), collector()
    first = short.collect(6)
    short.rebuild()
    second = short.collect(6)
    whole = long.collect(12)
    for name in ("rewards", "ends", "log_probs", "values", "next_values"):
        halves = torch.cat([getattr(first, name), getattr(second, name)])
        assert torch.allclose(halves, getattr(whole, name), atol=1e-6), name
    assert torch.equal(torch.cat([r.actions[r.kept :] for r in (first, second)]), whole.actions)
    assert len(first.finished) + len(second.finished) == len(whole.finished)


class Hopeless(ToyEnvironment):
    """No action is right: every episode is truncated."""

    def expert_actions(self):
        return np.full(self.num_envs, -1)


def test_nothing_is_expected_after_a_limit_that_ends():
    expected, none = (
        collector(environment=Hopeless(ROWS), limit_ends=ends).collect(LIMIT + 1) for ends in (False, True)
    )
    assert none.ends[LIMIT - 1].all() and not none.next_values[LIMIT - 1].any()
    assert expected.next_values[LIMIT - 1].all()
    rest = torch.arange(LIMIT + 1) != LIMIT - 1
    assert torch.equal(none.next_values[rest], expected.next_values[rest])


def test_truncation_bootstraps_from_the_last_observation_in_its_own_context():
    class Watched(Hopeless):
        last_seen = None

        def step(self, actions):
            *rest, infos = super().step(actions)
            if "final_obs" in infos:
                self.last_seen = np.stack([seen["rgb"] for seen in infos["final_obs"]])
            return *rest, infos

    environment = Watched(ROWS)
    collecting = collector(environment=environment)
    rollout = collecting.collect(LIMIT + 1)
    assert rollout.ends[LIMIT - 1].all() and not rollout.ends[:-2].any()
    cut = rollout.trajectories[:ROWS]
    assert all(len(trajectory.steps) == LIMIT for trajectory in cut)
    features = collecting.policy.perceive(environment.last_seen)
    for row, trajectory in enumerate(cut):
        whole = Fragments(
            features=torch.cat([rollout.features[trajectory.steps], features[row : row + 1]]),
            instructions=[trajectory.instruction],
            lengths=[LIMIT + 1],
            previous_actions=torch.cat([torch.tensor([-1]), rollout.actions[trajectory.steps]]),
            learned=torch.zeros(LIMIT + 1, dtype=torch.bool),
        )
        with torch.no_grad():
            _, values = collecting.policy.evaluate(whole)
        assert rollout.next_values[LIMIT - 1, row].item() == pytest.approx(values[-1].item(), abs=1e-6)


def test_terminal_states_are_worth_nothing_and_others_what_comes_next():
    rollout = collector().collect(12)
    right = rollout.rewards == 1
    assert right.any() and (rollout.next_values[right] == 0).all()
    inside = ~rollout.ends[:-1]
    assert torch.equal(rollout.next_values[:-1][inside], rollout.values[1:][inside])
    assert (rollout.next_values[-1][~right[-1]] != 0).all()


def test_the_expert_acts_in_its_share_of_episodes():
    collecting = collector()
    alone = collecting.collect(20, expert=True, expert_share=1.0)
    assert torch.equal(alone.actions, alone.labels.flatten()) and (alone.rewards == 1).all()
    assert (alone.values == 0).all() and all(episode.by_expert for episode in alone.finished)
    collecting.rebuild()
    mixed = collecting.collect(40, expert=True, expert_share=0.5)
    by_expert = [episode.by_expert for episode in mixed.finished]
    assert 0.3 < np.mean(by_expert) < 0.8
    assert all(episode.success for episode in mixed.finished if episode.by_expert)
    collecting.rebuild()
    assert not any(episode.by_expert for episode in collecting.collect(10).finished[ROWS:])


def test_while_the_expert_acts_alone_the_policy_still_says_what_comes_after():
    """An episode of the expert's that is under way is valued in its whole context, though it was never acted in."""

    class Long(Hopeless):
        def expert_actions(self):
            return np.zeros(self.num_envs, np.int64)

        def step(self, actions):
            return super().step(actions + 1)

    collecting = collector(environment=Long(ROWS))
    rollout = collecting.collect(LIMIT - 1, expert=True, expert_share=1.0)
    now = torch.stack(list(rollout.next_values[-1]))
    fragments, _ = rollout.fragments(range(ROWS))
    lengths = [length + 1 for length in fragments.lengths]
    parts = fragments.features.split(fragments.lengths)
    features = torch.cat(
        [x for part, last in zip(parts, collecting.groups[0].perceived, strict=True) for x in (part, last[None])]
    )
    actions = rollout.actions.view(-1, ROWS).T
    previous = torch.cat([torch.full((ROWS, 1), -1), actions], 1).flatten()
    whole = Fragments(features, fragments.instructions, lengths, previous, torch.ones(len(previous), dtype=torch.bool))
    with torch.no_grad():
        _, values = collecting.policy.evaluate(whole)
    assert torch.allclose(values[torch.tensor(lengths).cumsum(0) - 1], now, atol=1e-6)


def test_collecting_goes_on_from_its_state():
    straight = collector()
    straight.collect(5)
    straight.rebuild()
    state = straight.state_dict()
    resumed = collector(seed=9)
    resumed.load_state_dict(state)
    resumed.rebuild()
    one, other = straight.collect(7), resumed.collect(7)
    assert torch.equal(one.actions, other.actions) and torch.equal(one.log_probs, other.log_probs)
    assert torch.equal(one.next_values, other.next_values)


def two_groups(seed=0):
    return collector(seed, others=[ToyEnvironment(ROWS + 2, seed + 1)])


def test_groups_give_the_same_whatever_the_timing(two_threads):
    class Slow(ToyEnvironment):
        def step(self, actions):
            time.sleep(0.002)
            return super().step(actions)

    in_turn, at_once = two_groups(), collector(others=[Slow(ROWS + 2, 1)])
    for update in range(3):
        torch.set_num_threads(1)  # as many as each group has where there are two: others may round otherwise
        one = in_turn.collect(6, expert=update == 1, expert_share=0.5)
        torch.set_num_threads(2)
        other = at_once.collect(6, expert=update == 1, expert_share=0.5)
        for name in ("features", "actions", "log_probs", "values", "next_values", "rewards", "ends"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert one.trajectories == other.trajectories and one.finished == other.finished
        for collecting in (in_turn, at_once):
            move(collecting.policy, update)
            collecting.rebuild()
    assert torch.get_num_threads() == 2


def test_groups_fill_one_rollout():
    collecting = two_groups()
    for _ in range(3):
        rollout = collecting.collect(5)
        fragments, learned = rollout.fragments(range(len(rollout.trajectories)))
        assert sorted(learned.tolist()) == list(range(5 * (2 * ROWS + 2)))
        taken = [torch.from_numpy(np.stack(group.environment.taken[-5:])) for group in collecting.groups]
        assert torch.equal(rollout.actions[rollout.kept :].view(5, -1), torch.cat(taken, 1))
        with torch.no_grad():
            _, values = collecting.policy.evaluate(fragments)
        assert torch.allclose(values[fragments.learned], rollout.values.flatten()[learned], atol=1e-5)
        collecting.rebuild()


def test_groups_go_on_from_their_state():
    straight, resumed = two_groups(), two_groups(seed=9)
    straight.collect(5)
    straight.rebuild()
    resumed.load_state_dict(straight.state_dict())
    resumed.rebuild()
    one, other = straight.collect(7), resumed.collect(7)
    assert torch.equal(one.actions, other.actions) and torch.equal(one.next_values, other.next_values)


def test_a_group_that_fails_is_heard_of(two_threads):
    collecting = two_groups()

    def fail(actions):
        raise OSError("no more homes")

    collecting.groups[1].environment.step = fail
    with pytest.raises(OSError, match="no more homes"):
        collecting.collect(3)
    assert torch.get_num_threads() == 2


class ThreadTime:
    """A clock for each group's thread, which goes on only while it sleeps; other threads read the latest of them."""

    def __init__(self):
        self.slept: dict[str, float] = {}

    def __call__(self) -> float:
        name = threading.current_thread().name
        own = self.slept.get(name, 0.0)
        return own if name.startswith("llarp-group") else max(self.slept.values(), default=0.0)

    def sleep(self, seconds: float) -> None:
        name = threading.current_thread().name
        self.slept[name] = self.slept.get(name, 0.0) + seconds


def test_parts_of_the_time_add_up_to_it(two_threads, monkeypatch):
    """Both groups at once: shares of their time; the quicker one waits for the other."""
    now, both = ThreadTime(), threading.Barrier(2)
    for module in (clock, collector_module):
        monkeypatch.setattr(module, "perf_counter", now)

    class Sleeping(ToyEnvironment):
        def __init__(self, rows, seed, seconds):
            super().__init__(rows, seed)
            self.seconds = seconds

        def step(self, actions):
            both.wait(timeout=60)  # which nobody gets past who is alone
            now.sleep(self.seconds)
            return super().step(actions)

    collecting = collector(environment=Sleeping(ROWS, 0, 3.0), others=[Sleeping(ROWS, 1, 1.0)])
    collecting.collect(6)
    seconds = collecting.clock.read()
    assert seconds["environment"] == (6 * 3.0 + 6 * 1.0) / 2
    assert seconds["waiting"] == (6 * 3.0 - 6 * 1.0) / 2
    assert sum(seconds.values()) == now() == 18.0


def test_an_interrupted_collector_leaves_threads_as_they_were(two_threads, monkeypatch):
    switching = sys.getswitchinterval()
    collecting = two_groups()

    def interrupted(futures):
        assert sys.getswitchinterval() < switching
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(collector_module, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            collecting.collect(3)
    assert sys.getswitchinterval() == switching and torch.get_num_threads() == 2


def test_few_rows_are_not_divided():
    assert group_sizes(16) == [16] and group_sizes(128) == [64, 64] and group_sizes(65) == [33, 32]


def test_pictures_that_did_not_change_are_not_perceived_again():
    class Marked(ToyEnvironment):
        def step(self, actions):
            before = self._observation()["rgb"]
            observation, *rest, infos = super().step(actions)
            infos["unchanged"] = (observation["rgb"] == before).all((1, 2, 3))
            return observation, *rest, infos

    plain, sparing = collector(), collector(environment=Marked(ROWS, 0))
    perceived = []
    perceive = sparing.policy.perceive
    sparing.policy.perceive = lambda rgb: perceived.append(len(rgb)) or perceive(rgb)
    one, other = plain.collect(20), sparing.collect(20)
    assert torch.equal(one.features, other.features) and torch.equal(one.values, other.values)
    assert sum(perceived) < 20 * ROWS


def test_groups_are_even():
    lengths = np.random.default_rng(0).integers(1, 33, 200).tolist()
    groups = even_groups(lengths, 8, np.random.default_rng(1))
    assert sorted(i for group in groups for i in group) == list(range(200))
    sizes = [sum(lengths[i] for i in group) for group in groups]
    assert max(sizes) - min(sizes) <= 2
    assert groups != even_groups(lengths, 8, np.random.default_rng(2))
    assert [len(group) for group in even_groups([9, 1, 1], 3, np.random.default_rng(0))] == [1, 1, 1]


def test_sentences_of_coming_episodes_are_read_together():
    class Foretold(ToyEnvironment):
        """Knows its next sentences: the numbers of episodes."""

        def _begin(self, rows):
            super()._begin(rows)
            self.next = self.begun

        def upcoming(self, count):
            return [f"episode {number}" for number in range(self.next, self.next + count)]

    collecting = collector(environment=Foretold(ROWS))
    told = []
    collecting.policy.prepare = told.append
    for _ in range(6):
        collecting.collect(8)
        collecting.rebuild()
    begun = collecting.groups[0].environment.begun
    assert 3 < len(told) <= 1 + begun / READ_AHEAD
    foretold = [text for texts in told for text in texts if text.startswith("episode")]
    assert len(set(foretold)) == len(foretold) > begun - ROWS - READ_AHEAD
