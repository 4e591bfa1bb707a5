"""A campaign of faults: kills, full disks, vanished and forbidden folders, and what is left after each.

    python benchmarks/faults.py --record benchmarks/records/faults.jsonl --trials 200 --seed 2026

Each trial runs a command in a process forked from this one, which has torch imported already, has something happen to
it, and then looks at what is on the disk, from processes that start afresh:

- every checkpoint that a run lists loads, whole, and equals the one that an undisturbed run has at the same step;
- no checkpoint is lost that was there before, and the run goes on from the last one;
- a run of two processes under torchrun, one of which is killed, goes on and ends by itself; one of which all are
  killed at once, as when a machine is gone, is gone on with by hand;
- an export, a film, an episode file is the old one, the new one, or absent;
- after the next start no temporary file is left;
- a command that could not write says so in one line, and its exit status is 1 or 2.

The record gets a line a trial; started again, the campaign goes on where its record ends. `--report` sums a record up.
Needs Linux. Where nothing can be mounted (`--trials` as a plain user), full disks are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import mmap
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

KINDS = {
    "train": 76, "export": 25, "video": 10, "generate": 16, "import": 11, "size limit": 16, "full disk": 16,
    "forbidden": 10, "vanished": 8, "rank": 12,
}  # fmt: skip
"""What happens, and how often in 200 trials."""

PHASES = ("other", "rollout", "update", "checkpoint", "export", "video", "episodes")
UPDATE = 32
"""Environment steps of the runs' updates; each is followed by a checkpoint."""
LONGEST = 640
"""Steps after which a run is put aside for a new one."""
NOBODY = 65534
SECONDS = 3600
"""A command that takes longer hangs; a busy machine may take long."""

RECIPE = f"""
steps: {UPDATE}
num_envs: 4
backbone: {{name: tiny-llama}}
adapter: {{hidden: 32, decoder_hidden: 32}}
vision: {{image_size: 128}}
tasks: {{families: [move], count: 16, homes: 4}}
imitation: {{steps: 128, minibatches: 2, epochs: 1}}
ppo: {{rollout_steps: 8, minibatches: 2, epochs: 1}}
checkpoint: {{every: {UPDATE}, keep: 2}}
"""


class Child:
    """A command in a process of its own, forked from this one.

    Args:
        arguments: of llarp.
        folder: where it runs.
        before: what the new process does first.
    """

    def __init__(self, arguments: list[str], folder: Path, before: Callable[[], None] | None = None):
        self.shared = mmap.mmap(-1, 2)
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.begun = time.monotonic()
        self.pid = os.fork()
        self.status: int | None = None
        if self.pid == 0:
            self._run(arguments, folder, before)

    def _run(self, arguments: list[str], folder: Path, before: Callable[[], None] | None) -> None:
        code = 70
        try:
            for stream in (1, 2):
                os.dup2(self.output.fileno(), stream)
            os.chdir(folder)
            _tell_phases(self.shared)
            if before is not None:
                before()
            from llarp_cli.cli import main

            main(arguments, prog_name="llarp")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        except BaseException as error:  # a fault of ours: shown as one
            print(f"Traceback: {error!r}", file=sys.stderr)
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    @property
    def phase(self) -> str:
        return PHASES[self.shared[0]]

    @property
    def entered(self) -> int:
        """How often it has entered a phase."""
        return self.shared[1]

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() - self.begun > SECONDS:
                self.kill()
                raise TimeoutError(f"still running after {SECONDS} seconds")
        return self.status is not None

    def wait(self) -> int:
        while not self.ended():
            time.sleep(0.002)
        return self.status

    def kill(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def cpu_seconds(self) -> float:
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read().decode("utf-8", "replace")


def _tell_phases(shared: mmap.mmap) -> None:
    """Have this process say what it is doing."""
    from llarp_cli import export
    from llarp_cli.evaluation import video
    from llarp_cli.learning.collector import Collector
    from llarp_cli.learning.trainer import Trainer

    def told(owner: Any, name: str, phase: str) -> None:
        work = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            before, shared[0] = shared[0], PHASES.index(phase)
            shared[1] = min(shared[1] + 1, 255)
            try:
                return work(*arguments, **options)
            finally:
                shared[0] = before

        @contextmanager
        def wrapped_context(*arguments: Any, **options: Any) -> Iterator[Any]:
            before, shared[0] = shared[0], PHASES.index(phase)
            shared[1] = min(shared[1] + 1, 255)
            with work(*arguments, **options) as given:
                yield given
            shared[0] = before

        setattr(owner, name, wrapped_context if name.startswith("replacing") else wrapped)

    told(Collector, "collect", "rollout")
    told(Trainer, "_learn", "update")
    told(Trainer, "_write_checkpoint", "checkpoint")
    told(export, "replacing_folder", "export")
    told(video, "write_video", "video")
    for module in ("llarp_cli.dataset.generate", "llarp_cli.dataset_import"):
        told(sys.modules[module], "write_episodes", "episodes")


def kill_somewhere(
    child: Child, dice: random.Random, phases: tuple[str, ...], spread: float, short: float | None = None
) -> dict[str, Any]:
    """Kill a process within a phase, or, where it ends before, not at all.

    Args:
        phases: one of them is waited for; "any" is any moment at all.
        spread: seconds into the phase, of the process's own time.
        short: likewise, of rollouts and updates.
    """
    wanted, times = dice.choice(phases), dice.choice((1, 1, 2, 3)) if "update" in phases else 1
    spread = {"any": 4 * spread, "rollout": short, "update": short}.get(wanted, spread)
    after = dice.uniform(0, spread)
    entered, inside = -1, 0
    while wanted != "any" and not child.ended():
        if child.phase == wanted and child.entered != entered:
            entered, inside = child.entered, inside + 1
            if inside == times:
                break
        time.sleep(0.0005)
    begun = child.cpu_seconds()
    # A process's own time counts in hundredths of a second; what is finer is waited.
    while not child.ended() and child.cpu_seconds() - begun < after - 0.01:
        time.sleep(0.001)
    time.sleep(min(after, 0.01))
    phase = child.phase
    child.kill()
    return {"wanted": wanted, "phase": phase, "killed": child.status == -signal.SIGKILL}


class Campaign:
    """What the trials share.

    Args:
        work: a folder for them.
    """

    def __init__(self, work: Path):
        self.work = work
        self.problems: list[str] = []
        self.runs = 0
        self.recipe = work / "recipe.yaml"
        self.recipe.write_text(RECIPE)
        self.reference: dict[int, str] = {}
        self.run = work / "none"

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.problems.append(otherwise)

    def start(self, *arguments: Any, before: Callable[[], None] | None = None) -> Child:
        return Child([str(argument) for argument in arguments], self.work, before)

    def finish(self, *arguments: Any) -> None:
        """A command that has to go well."""
        child = self.start(*arguments)
        self.expect(child.wait() == 0, f"`{arguments[0]}` after it: {child.status}: {child.said()[-500:]}")

    def make_reference(self) -> None:
        """An undisturbed run, of which all checkpoints stay."""
        self.finish(
            *("train", "--recipe", self.recipe, "--run-dir", "reference", "--steps", LONGEST + 4 * UPDATE),
            "checkpoint.keep=1000",
        )
        if self.problems:
            raise SystemExit(self.problems[0])
        for folder in (self.work / "reference" / "checkpoints").iterdir():
            if folder.name.isdigit():
                self.reference[int(folder.name)] = sha(folder / "adapter.safetensors")

    def train(self, run: Path, steps: int, **options: Any) -> Child:
        """Begin a run, or go on with it."""
        if (run / "run.json").exists():
            return self.start("train", "--resume", run, "--steps", steps, **options)
        return self.start("train", "--recipe", self.recipe, "--run-dir", run, "--steps", steps, **options)

    def check_run(self, run: Path, before: list[int]) -> None:
        """Look at a run after a fault, go on with it, and look again."""
        there = self.checkpoints(run)
        if before and not (there and there[-1] >= before[-1]):
            self.problems.append(f"lost: had checkpoint {before[-1]}, now {there}")
        at = there[-1] if there else 0
        if not (run / "run.json").exists():
            self.expect(not there, "checkpoints without a run")
        self.expect(self.train(run, at + UPDATE).wait() == 0, "does not go on")
        self.expect(self.checkpoints(run)[-1:] == [at + UPDATE], f"goes on to {self.checkpoints(run)} from {at}")
        self.expect(not strays(run), f"left behind: {strays(run)}")
        metrics = [json.loads(line)["steps"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        self.expect(metrics == list(range(UPDATE, at + 2 * UPDATE, UPDATE)), f"metrics of {metrics}")

    def checkpoints(self, run: Path, processes: int = 1) -> list[int]:
        """The checkpoints of a run, having looked into each."""
        from llarp_cli.learning.checkpoint import load_counters, load_tensors
        from llarp_cli.policy.files import read_policy
        from llarp_cli.runs import RunDirectory

        found = RunDirectory(run).numbered()
        for steps in found:
            folder = run / "checkpoints" / str(steps)
            try:
                read_policy(folder)
                load_counters(folder / "trainer" / "counters.json")
                for name in ("optimizer", *(f"process-{rank}" for rank in range(processes))):
                    load_tensors(folder / "trainer" / f"{name}.pt")
            except Exception as error:
                self.problems.append(f"checkpoint {steps} does not load: {error}")
                continue
            if processes == 1:
                same = sha(folder / "adapter.safetensors") == self.reference.get(steps)
                self.expect(same, f"checkpoint {steps} is not that of the undisturbed run")
        for name in ("last", "best"):
            link = run / "checkpoints" / name
            if link.is_symlink():
                self.expect(link.exists(), f"{name} leads nowhere")
        return found

    def said_in_one_line(self, child: Child, *, codes: tuple[int, ...]) -> None:
        """A command that could not do its work said so."""
        errors = [line for line in child.said().splitlines() if line.startswith("error: ")]
        self.expect(child.status in codes, f"exit status {child.status}: {child.said()[-300:]}")
        self.expect(len(errors) == 1, f"{len(errors)} lines of error: {child.said()[-300:]}")
        self.expect("Traceback" not in child.said(), f"a traceback: {child.said()[-500:]}")

    # The trials. Each returns what to record.

    def trial(self, kind: str, dice: random.Random) -> dict[str, Any]:
        return getattr(self, f"_{kind.replace(' ', '_')}")(dice)

    def _own_run(self, before: int = 0) -> Path:
        """A new run directory, trained for some steps."""
        self.runs += 1
        run = self.work / f"run-{self.runs}"
        if before:
            self.expect(self.train(run, before).wait() == 0, "cannot be begun")
        return run

    def _train(self, dice: random.Random) -> dict[str, Any]:
        if not self.run.exists() or (self.checkpoints(self.run) or [0])[-1] > LONGEST:
            shutil.rmtree(self.run, ignore_errors=True)
            self.run = self._own_run()
        before = self.checkpoints(self.run)
        child = self.train(self.run, LONGEST + 3 * UPDATE)
        told = kill_somewhere(child, dice, ("any", "rollout", "rollout", "update", "update", "checkpoint"), 0.25, 0.02)
        self.check_run(self.run, before)
        return {**told, "steps": (before or [0])[-1]}

    def _export(self, dice: random.Random) -> dict[str, Any]:
        from llarp_cli.policy.files import read_policy

        out = self.work / "out" / "export"
        shutil.rmtree(out.parent, ignore_errors=True)
        told = kill_somewhere(self.start("export", "reference", "--out", out), dice, ("any", "export", "export"), 0.006)
        if out.exists():
            read_policy(out)
            self.expect((out / "README.md").stat().st_size > 0, "no model card")
            shutil.rmtree(out)
        self.finish("export", "reference", "--out", out)
        self.expect(not strays(out.parent), f"left behind: {strays(out.parent)}")
        return told

    def _written(self, dice: random.Random, name: str, phase: str, spread: float, *arguments: Any) -> dict[str, Any]:
        """A command that writes one file is killed: the old file is there, or the new one."""
        path = self.work / "out" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"old")
        told = kill_somewhere(self.start(*arguments, path), dice, ("any", phase, phase), spread)
        whole = path.read_bytes() == b"old" or self._readable(path)
        self.expect(whole, f"{name} is torn")
        self.finish(*arguments, path)
        self.expect(self._readable(path), f"{name} cannot be read")
        self.expect(not strays(path.parent), f"left behind: {strays(path.parent)}")
        return told

    def _readable(self, path: Path) -> bool:
        if path.suffix == ".mp4":
            import av

            with suppress(av.error.FFmpegError), av.open(str(path)) as film:
                return sum(1 for _ in film.decode(video=0)) > 10
            return False
        from llarp_cli.errors import LlarpError
        from llarp_cli.rearrangement.episode_files import read_episodes

        with suppress(LlarpError):
            return len(read_episodes(path)) > 0
        return False

    def _video(self, dice: random.Random) -> dict[str, Any]:
        episode = dice.randrange(20)
        return self._written(
            dice, "film.mp4", "video", 0.8, "rollout", "planner", "--split", "train", "--episode", episode, "--video"
        )

    def _generate(self, dice: random.Random) -> dict[str, Any]:
        name = dice.choice(("more.jsonl", "more.jsonl.gz"))
        seed = dice.randrange(1000)
        return self._written(
            dice, name, "episodes", 0.1, "dataset", "generate", "rephrasing", "--count", 12, "--seed", seed, "--out"
        )

    def _import(self, dice: random.Random) -> dict[str, Any]:
        return self._written(dice, "imported.jsonl", "episodes", 0.02, "dataset", "import", self.released(), "--out")

    def released(self) -> Path:
        """A file in the form of the reference release."""
        path = self.work / "released.pickle"
        if not path.exists():
            sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
            from released_files import brought, episode, released, write

            sentence = "The TV stand could do with a drill."
            asked = episode("f0917e29", sentence, brought("drill", "TV stand"), where={"drill": "sofa"})
            write(path, released([asked] * 5))
        return path

    def _size_limit(self, dice: random.Random) -> dict[str, Any]:
        """No file may become larger than so much."""
        run = self._own_run(UPDATE)
        before = self.checkpoints(run)
        largest = max(path.stat().st_size for path in run.rglob("*") if path.is_file())
        limit = round(largest ** dice.uniform(0.4, 0.999))

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        child = self.train(run, 3 * UPDATE, before=limited)
        child.wait()
        self.said_in_one_line(child, codes=(1, 2))
        self.check_run(run, before)
        shutil.rmtree(run)
        return {"limit": limit}

    def _full_disk(self, dice: random.Random) -> dict[str, Any]:
        """The disk fills up; when there is room again, the run goes on."""
        place = self.work / "disk"
        place.mkdir(exist_ok=True)
        size = round(10 ** dice.uniform(4.6, 6.3))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=False).returncode:
            return {"left out": "nothing can be mounted"}
        try:
            run = place / "run"
            child = self.train(run, LONGEST)
            if dice.random() < 0.5:  # somebody else fills it
                while not child.ended() and child.phase != "checkpoint":
                    time.sleep(0.001)
                with suppress(OSError), (place / "ballast").open("wb") as file:
                    while not child.ended():
                        file.write(bytes(1000))
                        file.flush()
            child.wait()
            self.said_in_one_line(child, codes=(1, 2))
            before = self.checkpoints(run)
            (place / "ballast").unlink(missing_ok=True)
            subprocess.run(["mount", "-o", "remount,size=100m", place], check=True)
            self.expect(not before or f"checkpoints/{before[-1]}" in child.said(), "the last checkpoint is not named")
            self.check_run(run, before)
        finally:
            subprocess.run(["umount", "-l", place], check=True)
        return {"bytes": size, "steps": (before or [0])[-1]}

    def _forbidden(self, dice: random.Random) -> dict[str, Any]:
        """The run directory may no longer be written to."""
        run = self._own_run(UPDATE)
        before = self.checkpoints(run)
        for path in (run, *run.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        child = self.train(run, LONGEST, before=lambda: os.setuid(NOBODY))
        wanted, times = dice.choice(("rollout", "update", "checkpoint")), dice.randrange(1, 5)
        while not child.ended() and not (child.phase == wanted and child.entered >= times):
            time.sleep(0.001)
        what = dice.choice((run, run / "checkpoints"))
        os.chown(what, 0, 0)
        what.chmod(0o555)
        child.wait()
        self.said_in_one_line(child, codes=(1, 2))
        what.chmod(0o755)
        self.check_run(run, before)
        shutil.rmtree(run)
        return {"wanted": wanted, "forbidden": what.name}

    def _vanished(self, dice: random.Random) -> dict[str, Any]:
        """The run directory is moved away while the run goes on."""
        run = self._own_run(UPDATE)
        before = self.checkpoints(run)
        child = self.train(run, LONGEST)
        wanted, times = dice.choice(("rollout", "update", "checkpoint")), dice.randrange(1, 5)
        while not child.ended() and not (child.phase == wanted and child.entered >= times):
            time.sleep(0.001)
        elsewhere = run.with_name("elsewhere")
        run.rename(elsewhere)
        child.wait()
        self.said_in_one_line(child, codes=(1, 2))
        shutil.rmtree(run, ignore_errors=True)
        elsewhere.rename(run)
        self.check_run(run, before)
        shutil.rmtree(run)
        return {"wanted": wanted}

    def _rank(self, dice: random.Random) -> dict[str, Any]:
        """Of two processes under torchrun one is killed, or all are, the launcher too."""
        run, everything = self._own_run(), dice.random() < 0.3
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        begin = ["train", "--recipe", str(self.recipe), "--run-dir", str(run), "--steps", str(10 * 2 * UPDATE)]
        variables = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        with (self.work / "torchrun").open("w+") as said:
            command = [*torchrun, "--max-restarts", "2", "-m", "llarp_cli", *begin]
            launcher = subprocess.Popen(command, cwd=self.work, env=variables, stdout=said, stderr=said)
            metrics, updates = run / "metrics.jsonl", dice.randrange(8)
            try:
                while launcher.poll() is None and _lines(metrics) < updates:
                    time.sleep(0.002)
                time.sleep(dice.uniform(0, 1))
                seen = psutil.Process(launcher.pid)
                ranks = {child.environ().get("RANK"): child for child in seen.children(recursive=True)}
                ranks = {rank: child for rank, child in ranks.items() if rank is not None}
                killed = [seen, *ranks.values()] if everything else [ranks[dice.choice(sorted(ranks))]] if ranks else []
            except psutil.NoSuchProcess:
                killed = []
            before = _numbered(run)  # not read: while the run lives, it removes old ones
            for one in killed:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            status = launcher.wait(timeout=SECONDS)
            told = Path(said.name).read_text()
        last = 10 * 2 * UPDATE
        if everything and killed:
            there = self.checkpoints(run, 2)
            self.expect(there[-1:] >= before[-1:], f"lost: had {before}, now {there}")
            last = (there or [0])[-1] + 2 * UPDATE
            if (run / "run.json").exists():
                self.finish("train", "--resume", run, "--steps", last, "--num-processes", 2)
            else:
                self.finish("train", "--recipe", self.recipe, "--run-dir", run, "--steps", last, "--num-processes", 2)
        else:
            self.expect(status == 0, f"torchrun ends with {status}: {told[-1000:]}")
        self.expect(self.checkpoints(run, 2)[-1:] == [last], f"ends at {self.checkpoints(run, 2)}, not {last}")
        self.expect(not strays(run), f"left behind: {strays(run)}")
        steps = [json.loads(line)["steps"] for line in metrics.read_text().splitlines()]
        self.expect(steps == list(range(2 * UPDATE, last + 1, 2 * UPDATE)), f"metrics of {steps}")
        restarted = "; restart " in (run / "train.log").read_text()
        shutil.rmtree(run)
        return {
            "killed": bool(killed),
            "phase": "all" if everything else "one rank",
            "steps": (before or [0])[-1],
            "restarted": restarted,
        }


def _numbered(run: Path) -> list[int]:
    from llarp_cli.runs import RunDirectory

    return RunDirectory(run).numbered()


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def strays(folder: Path) -> list[str]:
    """Temporary files."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def warm_up() -> None:
    """Import and compile what all trials need; nothing is learned, for torch's threads do not survive a fork."""
    import av  # noqa: F401
    import torch

    import llarp_cli.dataset_import
    import llarp_cli.evaluation.rollout
    import llarp_cli.train  # noqa: F401
    from llarp_cli import registry
    from llarp_cli.config import BackboneOptions, VisionOptions
    from llarp_cli.dataset import generate
    from llarp_cli.learning.curves import draw_curves
    from llarp_cli.rearrangement.environment import RearrangementVectorEnv
    from llarp_cli.rearrangement.splits import TrainingEpisodes
    from llarp_cli.recipes import load_recipe

    assert generate
    torch.set_num_threads(1)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(RECIPE)
        file.flush()
        recipe = load_recipe(file.name)[0]
    with tempfile.TemporaryDirectory() as folder:
        draw_curves([{"steps": 1, "stage": "ppo"}], Path(folder, "curves.png"))
    world = registry.load("environment", "home")
    registry.build("backbone", "tiny-llama", BackboneOptions(name="tiny-llama"), "cpu")
    registry.build("vision encoder", "home", VisionOptions(name="home"), "cpu")
    episodes = TrainingEpisodes(world, recipe.tasks, 0, 0, 1)
    environment = RearrangementVectorEnv(world, episodes, 2, image_size=128, reward=recipe.reward, seed=0)
    environment.reset()
    for _ in range(3):
        environment.step(environment.expert_actions())
    environment.close()


def kinds(seed: int, first: int) -> Iterator[str]:
    """The kinds of trials number `first` and on: as often as they should be, in an order that the seed draws."""
    each = sum(KINDS.values())
    for cycle in itertools.count(first // each):
        whole = [kind for kind, count in KINDS.items() for _ in range(count)]
        random.Random(f"{seed} {cycle * each}").shuffle(whole)
        yield from whole[first % each if cycle == first // each else 0 :]


def report(record: Path) -> str:
    """What a record says, as Markdown."""
    trials = [json.loads(line) for line in record.read_text().splitlines()]
    rows = ["| what | trials | killed in | problems |", "|---|---|---|---|"]
    for kind in KINDS:
        own = [trial for trial in trials if trial["kind"] == kind]
        where = Counter(trial["phase"] for trial in own if trial.get("killed"))
        told = ", ".join(f"{phase} {count}" for phase, count in where.most_common())
        rows.append(f"| {kind} | {len(own)} | {told or '-'} | {sum(bool(trial['problems']) for trial in own)} |")
    rows.append(f"| all | {len(trials)} | | {sum(bool(trial['problems']) for trial in trials)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, required=True, help="JSON lines; is gone on with")
    parser.add_argument("--trials", type=int, default=200, help="in all, those in the record included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, action="append", help="pass over trials of other kinds; repeatable")
    parser.add_argument("--report", action="store_true", help="sum the record up and stop")
    options = parser.parse_args()
    if options.report:
        print(report(options.record))
        return
    lines = [json.loads(line) for line in options.record.read_text().splitlines()] if options.record.exists() else []
    first, left = max((line["trial"] for line in lines), default=-1) + 1, options.trials - len(lines)
    if left <= 0:
        return
    warm_up()
    with tempfile.TemporaryDirectory(prefix="llarp-faults-") as folder:
        Path(folder).chmod(0o755)
        campaign = Campaign(Path(folder))
        campaign.make_reference()
        for number, kind in enumerate(kinds(options.seed, first), first):
            if options.only and kind not in options.only:
                continue
            campaign.problems = []
            begun = time.monotonic()
            try:
                told = campaign.trial(kind, random.Random(f"{options.seed} trial {number}"))
            except Exception as error:
                told = {}
                campaign.problems.append(f"{type(error).__name__}: {error}")
            line = {"trial": number, "kind": kind, **told, "problems": campaign.problems}
            line["seconds"] = round(time.monotonic() - begun, 1)
            with options.record.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            left -= 1
            if not left:
                break


if __name__ == "__main__":
    main()
