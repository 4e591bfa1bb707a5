"""What Habitat does on this machine: frames and steps per second beside the home's, planner episodes, a policy, a film.

    python benchmarks/habitat.py --scenes homes --policy runs/quickstart-minilm-... --out habitat-bench

Needs habitat-sim (docs/habitat.md); `--scenes` is what follows `habitat:`, "replica-cad" for plain `habitat`. Figures
are of one home for each number of pixels, by the wall clock: nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from llarp_cli import registry
from llarp_cli.config import TaskOptions
from llarp_cli.evaluation.actors import PlannerActor, open_actor
from llarp_cli.evaluation.evaluate import evaluate
from llarp_cli.evaluation.rollout import play
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.splits import EpisodeList, TrainingEpisodes
from llarp_cli.runs import resolve_policy

SIZES = (64, 128, 224)
FRAMES, STEPS = 300, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="homes", help="what follows habitat: (default: homes)")
    parser.add_argument("--policy", help="a run, checkpoint or export; left out, random skills are evaluated")
    parser.add_argument("--episodes", type=int, default=20, help="planner episodes (default: 20)")
    parser.add_argument("--num-envs", type=int, default=2, help="simulators at a time (default: 2)")
    parser.add_argument("--homes", type=int, default=3, help="scenes they take place in (default: 3)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"pictures of each size (default: {FRAMES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of each home (default: {STEPS})")
    parser.add_argument("--out", type=Path, default=Path("habitat-bench"), help="folder for results and film")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    name = "habitat" if given.scenes == "replica-cad" else f"habitat:{given.scenes}"
    worlds = {"home": registry.load("environment", "home"), name: registry.load("environment", name)}
    results: dict[str, object] = {"scenes": given.scenes, "version": worlds[name].version}

    # Episodes of each place, in as many scenes.
    episodes = {}
    for place, world in worlds.items():
        began = time.perf_counter()
        source = TrainingEpisodes(world, TaskOptions(homes=given.homes), seed=0)
        episodes[place] = [source.episode(index) for index in range(given.episodes)]
        print(f"{place}: {given.episodes} episodes made in {time.perf_counter() - began:.1f} s")

    for place, world in worlds.items():
        frames = {size: round(_frames(world, episodes[place][0], size, given.frames), 1) for size in SIZES}
        steps = round(_steps(world, episodes[place], given.num_envs, given.steps), 1)
        results[place] = {"frames_per_second": frames, "steps_per_second": steps}
        shown = ", ".join(f"{value:g} at {size} px" for size, value in frames.items())
        print(f"{place}: frames/s {shown}; {steps:g} steps/s with {given.num_envs} homes, random skills at 128 px")

    found = evaluate(PlannerActor(), worlds[name], episodes[name], num_envs=given.num_envs)
    results["planner"] = {"episodes": len(found), "successes": sum(one.success for one in found)}
    print(f"planner: {results['planner']['successes']} of {len(found)} episodes")
    for one in found:
        if not one.success:
            print(f"  not done: {one.id} ({one.family})")

    opened = open_actor(
        "random" if given.policy is None else resolve_policy(given.policy),
        seed=0,
        deterministic=False,
        environment=name,
    )
    began = time.perf_counter()
    found = evaluate(opened.actor, worlds[name], episodes[name], num_envs=given.num_envs)
    seconds = time.perf_counter() - began
    total = sum(one.length for one in found)
    results["policy"] = {
        "name": opened.name,
        "success": sum(one.success for one in found) / len(found),
        "steps_per_second": round(total / seconds, 2),
    }
    print(f"{opened.label}: success {results['policy']['success']:.1%}, {total / seconds:.1f} steps/s")

    film = given.out / "planner.mp4"
    planner = open_actor("planner", seed=0, deterministic=True, environment=name)
    play(planner, worlds[name], episodes[name][0], seed=0, film_to=film)
    results["film"] = str(film)
    (given.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"{film}, {given.out / 'results.json'}")


def _frames(world, episode, size: int, count: int) -> float:
    """Colour pictures per second of one home, from all its standing poses in turn."""
    simulator = world.simulator(1, 64)
    simulator.reset(0, episode.arrangement)
    simulator.render(size)
    one = np.array([0])
    began = time.perf_counter()
    for frame in range(count):
        simulator.go_to(one, np.array([frame % 16]))
        simulator.render(size)
    seconds = time.perf_counter() - began
    simulator.close()
    return count / seconds


def _steps(world, episodes, num_envs: int, count: int) -> float:
    """Environment steps per second, all homes together: skills, rewards, pictures, counts of what is seen."""
    homes = min(num_envs, len(episodes))
    environment = RearrangementVectorEnv(world, EpisodeList(episodes * count), homes)
    environment.reset()
    random = np.random.default_rng(0)
    environment.step(random.integers(0, 70, homes))
    began = time.perf_counter()
    for _ in range(count):
        environment.step(random.integers(0, 70, homes))
    seconds = time.perf_counter() - began
    environment.close()
    return count * homes / seconds


if __name__ == "__main__":
    main()
