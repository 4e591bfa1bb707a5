"""Broken and hostile input by the thousand, through the command line, in this process.

Each kind has good examples, ways to spoil them, the command that reads them, and the exit statuses that are right.
What is looked for: an exception that nobody turned into a line and a hint, more than five seconds, more memory than a
bound, and anything written elsewhere than asked.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import random
import resource
import shutil
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from released_files import brought, episode, released

SECONDS = 5
"""Of this process's own time."""
MEMORY = 4 << 30
"""Bytes that may be asked for beyond what is there, so that a bomb is a MemoryError."""

WORDS = (
    *("0", "-1", "1e400", "-1e400", "nan", ".inf", "1" * 5000, "0x7fffffffffffffff", "9223372036854775808", "1e300"),
    *(
        "null",
        "true",
        "~",
        "[]",
        "{}",
        "''",
        '"',
        "'",
        "[",
        "{",
        "]",
        "}",
        ":",
        ",",
        "-",
        "- ",
        "#",
        "%",
        "@",
        "`",
        "|",
    ),
    *(
        ">",
        "&a",
        "*a",
        "&a [*a, *a]",
        "<<: {a: 1}",
        "<<: 1",
        "!!binary aGk=",
        "!!binary ?",
        "!!python/object:os.system",
    ),
    *("!!python/name:os.system", "!!int x", "!!float x", "!!timestamp x", "2020-13-45", "12:30:45", "!!set {a, b}"),
    *("!!omap [a: 1]", "!!pairs [a: 1]", "? [a, b]", "? {a: b}", "\t", "\n", "\r", "\x00", "\x1b[31m", "\ufeff"),
    *("\u2028", "\ud7ff", "é", "名前", "😀", "../../../etc/passwd", "/etc/passwd", "..", "a/b", "C:\\x", "%n%s", "{0}"),
    *("$(id)", "hf:../..", "hf:", "home:", "x" * 3000, "[" * 400, "{a: " * 200, "- " * 300, "nan\n...\n---\n"),
)

NODES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 1e308, float("nan"), float("inf"), 0.5),
    *("", " ", "x", "../../x", "/etc/passwd", "\x00", "\n", "\ud800", "名前", "x" * 5000, "1" * 5000),
    *([], {}, [[]], [{}], {"": ""}, [0] * 500, {"x": [1, 2]}, {"__array__": 1}),
)


class Hang(BaseException):
    """More than five seconds."""


class Watch:
    """Hears what this process writes."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None
        self.strange: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def only(self, *allowed: Path) -> Iterator[None]:
        self.strange = []
        self.allowed = tuple(os.path.realpath(path) for path in allowed)
        try:
            yield
        finally:
            self.allowed = None

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                return
            paths = [path]
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = list(arguments[:2]) if event == "os.rename" else [arguments[1]]
        elif event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            return  # within a folder that is being removed, which was looked at
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree"):
            paths = [arguments[0]]
        elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"):
            self.strange.append(f"{event} {arguments[0]!r}")
            return
        else:
            return
        for path in paths:
            if isinstance(path, int):
                continue
            real = os.path.join(os.path.realpath(os.path.dirname(os.fsdecode(path)) or "."), os.path.basename(path))
            if "__pycache__" not in real and real != os.devnull and not real.startswith(self.allowed):
                self.strange.append(f"{event} {real}")


WATCH = Watch()


class Kind:
    """Something that is read.

    Args:
        make: a spoilt example, from dice; returns what to run: arguments, or a function.
        right: exit statuses.
        share: how often, of all.
    """

    def __init__(self, make: Callable[[random.Random], list[str] | Callable[[], None]], right: set[int], share: int):
        self.make, self.right, self.share = make, right, share


def spoilt_bytes(data: bytes, dice: random.Random) -> bytes:
    """A file with some bytes changed, cut, repeated or put in."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        at = dice.randrange(len(changed) + 1)
        to = min(len(changed), at + dice.choice((1, 1, 2, 8, 64, 1000)))
        how = dice.randrange(6)
        if how == 0 and changed:
            changed[at % len(changed)] = dice.randrange(256)
        elif how == 1:
            del changed[at:to]
        elif how == 2:
            changed[at:at] = changed[at:to] * dice.choice((1, 2, 50))
        elif how == 3:
            changed[at:at] = dice.choice(WORDS).encode("utf-8", "surrogatepass")
        elif how == 4:
            changed[at:to] = dice.randbytes(to - at)
        elif dice.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def spoilt_words(text: str, dice: random.Random) -> str:
    """A text with values replaced."""
    lines = text.split("\n")
    for _ in range(dice.choice((1, 1, 2, 3))):
        at = dice.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        how = dice.randrange(4)
        if how == 0:
            lines[at] = key + colon + " " + dice.choice(WORDS)
        elif how == 1:
            lines.insert(at, dice.choice(WORDS) + ": " + dice.choice(WORDS))
        elif how == 2:
            lines.insert(at, dice.choice(lines))
        else:
            lines[at] = " " * dice.randrange(8) + lines[at].strip()
    return "\n".join(lines)


def spoilt_json(value: Any, dice: random.Random) -> Any:
    """A value with nodes of it replaced, left out or doubled."""
    value = copy.deepcopy(value)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return dice.choice(NODES)
        owner, key = dice.choice(places)
        how = dice.randrange(5)
        if how == 0:
            del owner[key]
        elif how == 1 and isinstance(owner, dict):
            owner[str(dice.choice(NODES))[:50]] = owner[key]
        elif how == 2:
            other, name = dice.choice(places)
            owner[key] = copy.deepcopy(other[name])
        else:
            owner[key] = copy.deepcopy(dice.choice(NODES))
    return dice.choice(NODES) if dice.random() < 0.02 else value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside):
        yield value, key
        yield from _places(one)


class Fuzzer:
    """All kinds, in a folder of their own.

    Args:
        work: an empty folder.
        policy: a folder with a policy's three files.
        run: a run directory with a checkpoint.
    """

    def __init__(self, work: Path, policy: Path, run: Path):
        self.work, self.policy, self.run = work, policy, run
        self.inputs, self.out = work / "in", work / "out"
        for folder in (self.inputs, self.out):
            folder.mkdir()
        self.failures: list[dict[str, Any]] = []
        self.counts: dict[str, dict[str, int]] = {}
        self.slowest: tuple[float, int, str] = (0.0, 0, "")
        self.recipes = [path.read_text("utf-8") for path in sorted(_recipes())]
        self.episodes = self._episodes()
        sentence = "The TV stand could do with a drill."
        asked = episode("f0917e29", sentence, brought("drill", "TV stand"), where={"drill": "sofa"})
        self.pickles = [pickle.dumps(released([asked] * 2), protocol) for protocol in (2, 4, 5)]
        self.kinds = {
            "recipe": Kind(self._recipe, {0, 2}, 25),
            "override": Kind(self._override, {0, 2}, 20),
            "episode file": Kind(self._episode_file, {0, 1, 2}, 20),
            "goal": Kind(self._goal, {0, 1, 2}, 15),
            "pickle": Kind(self._pickle, {0, 2}, 20),
            "safetensors": Kind(self._safetensors, {0, 2}, 12),
            "config": Kind(self._config, {0, 2}, 12),
            "policy's recipe": Kind(self._policy_recipe, {0, 2}, 6),
            "results": Kind(self._results, {0, 2}, 5),
            "run": Kind(self._run, {0, 2}, 8),
            "tensors": Kind(self._tensors, {0, 2}, 8),
            "names": Kind(self._names, {2}, 5),
        }

    def fuzz(self, count: int, seed: int, first: int = 0) -> None:
        """Try inputs number `first` to `first + count`; each depends on its number and the seed alone."""
        names = [name for name, kind in self.kinds.items() for _ in range(kind.share)]
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        try:
            for number in range(first, first + count):
                dice = random.Random(f"{seed} {number}")
                self._try(number, dice.choice(names), dice)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def _try(self, number: int, name: str, dice: random.Random) -> None:
        kind = self.kinds[name]
        for folder in (self.inputs, self.out):
            shutil.rmtree(folder)
            folder.mkdir()
        work = kind.make(dice)
        begun = time.process_time()
        with WATCH.only(self.out):
            code, said = _watched(work)
        self.slowest = max(self.slowest, (round(time.process_time() - begun, 2), number, name))
        wrong = []
        if code not in kind.right:
            wrong.append(f"exit status {code}")
        if code == 2 and "Usage:" not in said and len([x for x in said.splitlines() if x.startswith("error: ")]) < 1:
            wrong.append("no line of error")
        if any(len(line) > 4000 for line in said.splitlines()):
            wrong.append("a line of more than 4000 characters")
        if "Traceback" in said or "--debug" in said:
            wrong.append("nobody caught it")
        wrong += WATCH.strange
        wrong += [f"left behind {path}" for path in self.out.rglob(".*.tmp")]
        counts = self.counts.setdefault(name, {})
        counts[str(code)] = counts.get(str(code), 0) + 1
        if wrong:
            told = work if isinstance(work, list) else name
            self.failures.append({"number": number, "kind": name, "wrong": wrong, "said": said[-400:], "ran": told})

    # One spoilt input of each kind, and the command that reads it.

    def _file(self, name: str, data: bytes) -> str:
        path = self.inputs / name
        path.write_bytes(data)
        return str(path)

    def _spoilt_text(self, text: str, dice: random.Random) -> bytes:
        if dice.random() < 0.6:
            return spoilt_words(text, dice).encode("utf-8", "surrogatepass")
        return spoilt_bytes(text.encode(), dice)

    def _recipe(self, dice: random.Random) -> list[str]:
        bomb = dice.random() < 0.03
        data = dice.choice(BOMBS)() if bomb else self._spoilt_text(dice.choice(self.recipes), dice)
        return ["train", "--dry-run", "--recipe", self._file("recipe.yaml", data)]

    def _override(self, dice: random.Random) -> list[str]:
        from llarp_cli.recipes import recipe_keys

        typed = []
        for _ in range(dice.choice((1, 1, 2, 5))):
            key = dice.choice([*recipe_keys(), *WORDS])
            value = dice.choice(WORDS) if dice.random() < 0.8 else dice.choice(BOMBS)().decode("latin-1")[:60000]
            typed.append(dice.choice((f"{key}={value}", f"{key}.{value}=1", f"{key}", f"{key}=[{value}]", f"={value}")))
        return ["train", "--dry-run", "--recipe", "quickstart", "--", *(one.replace("\x00", "") for one in typed)]

    def _episodes(self) -> list[dict[str, Any]]:
        from llarp_cli.rearrangement.episode_files import line
        from llarp_cli.rearrangement.splits import split_episodes
        from llarp_cli.registry import load

        world = load("environment", "home")
        return [json.loads(line(split_episodes(world, split)[0])) for split in ("rephrasing", "multiple_objects")]

    def _validate(self, data: bytes) -> list[str]:
        return ["dataset", "validate", self._file("mine.jsonl", data), "--limit", "3"]

    def _episode_file(self, dice: random.Random) -> list[str]:
        good = dice.choice(self.episodes)
        how = dice.random()
        if how < 0.6:
            return self._validate(json.dumps(spoilt_json(good, dice)).encode() + b"\n")
        if how < 0.95:
            return self._validate(spoilt_bytes(json.dumps(good, ensure_ascii=False).encode() + b"\n", dice))
        return self._validate(dice.choice((b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, b"\n" * 200_000, b" ")))

    def _goal(self, dice: random.Random) -> list[str]:
        good = dice.choice(self.episodes)
        goal: Any = spoilt_json(good["goal"], dice)
        if dice.random() < 0.2:
            names = [
                {"name": f"X{i}", "expr_type": dice.choice(("apple", "mug", "lid"))} for i in range(dice.randrange(9))
            ]
            goal = {"expr_type": "AND", "quantifier": "FORALL", "inputs": names, "sub_exprs": [goal]}
            for _ in range(dice.choice((0, 3, 12))):
                goal = {"expr_type": "NOR", "sub_exprs": [goal, goal]}
        if dice.random() < 0.3 and isinstance(goal, dict):
            goal["sub_exprs"] = [dice.choice(PREDICATES)]
        return self._validate(json.dumps({**good, "goal": goal}).encode()[: 1 << 20] + b"\n")

    def _pickle(self, dice: random.Random) -> list[str]:
        good = dice.choice(self.pickles)
        if dice.random() < 0.15:
            data = dice.choice(PICKLES)()
        elif dice.random() < 0.4:
            content = spoilt_json(pickle.loads(good)["all_eps"], dice)
            data = pickle.dumps({**pickle.loads(good), "all_eps": content}, dice.choice((2, 4)))
        else:
            data = spoilt_bytes(good, dice)
        return ["dataset", "import", self._file("x.pickle", data), "--out", str(self.out / "imported.jsonl")]

    def _export(self, **files: bytes) -> list[str]:
        folder = self.inputs / "policy"
        shutil.copytree(self.policy, folder)
        for name, data in files.items():
            (folder / name.replace("_", ".")).write_bytes(data)
        return ["export", str(folder), "--out", str(self.out / "export")]

    def _safetensors(self, dice: random.Random) -> list[str]:
        good = (self.policy / "adapter.safetensors").read_bytes()
        size = struct.unpack("<Q", good[:8])[0]
        header, data = json.loads(good[8 : 8 + size]), good[8 + size :]
        how = dice.random()
        if how < 0.5:
            told = json.dumps(spoilt_json(header, dice)).encode()
            spoilt = struct.pack("<Q", len(told)) + told + data
        elif how < 0.7:
            lie = dice.choice((0, 1, size - 1, size + 1, len(good), 2**31, 2**40, 2**63, 2**64 - 1))
            spoilt = struct.pack("<Q", lie) + good[8:]
        else:
            spoilt = spoilt_bytes(good, dice)
        config = json.loads((self.policy / "config.json").read_text())
        if dice.random() < 0.9:  # a hash is no signature
            config["adapter_sha256"] = hashlib.sha256(spoilt).hexdigest()
        return self._export(adapter_safetensors=spoilt, config_json=json.dumps(config).encode())

    def _config(self, dice: random.Random) -> list[str]:
        good = (self.policy / "config.json").read_bytes()
        if dice.random() < 0.7:
            return self._export(config_json=json.dumps(spoilt_json(json.loads(good), dice)).encode())
        return self._export(config_json=spoilt_bytes(good, dice))

    def _policy_recipe(self, dice: random.Random) -> list[str]:
        return self._export(recipe_yaml=self._spoilt_text((self.policy / "recipe.yaml").read_text(), dice))

    def _results(self, dice: random.Random) -> list[str]:
        split = {"episodes": 100, "success": 0.5, "interval": [0.4, 0.6]}
        good = {"policy": "run", "splits": {"train": split}, "total": split, "seed": 0}
        spoilt = json.dumps(spoilt_json(good, dice)).encode()
        if dice.random() < 0.3:
            spoilt = spoilt_bytes(spoilt, dice)
        results = self._file("results.json", spoilt)
        return ["export", str(self.policy), "--out", str(self.out / "export"), "--results", results]

    def _run(self, dice: random.Random) -> list[str]:
        """A whole run directory from somebody else; `train --resume` goes as far as its reasons not to."""
        run = self.out / "run"  # what is resumed is written to
        shutil.copytree(self.run, run, symlinks=True)
        refused = json.loads((run / "run.json").read_text())
        last = next(path for path in (run / "checkpoints").iterdir() if path.name.isdigit())
        how = dice.randrange(5)
        if how == 0:
            (run / "run.json").write_bytes(spoilt_bytes((run / "run.json").read_bytes(), dice))
        elif how == 1:
            (run / "run.json").write_text(json.dumps(spoilt_json(refused, dice)))
        elif how == 2:
            link = run / "checkpoints" / dice.choice(("last", "best"))
            link.unlink()
            link.write_bytes(
                dice.choice(("../../..", "/etc", "..", "", "1" * 400, "\x00", "١", str(last.name))).encode()
            )
            return ["export", str(link), "--out", str(self.out / "export")]
        elif how == 3:
            name = dice.choice(("..1", "-1", "٣", "1e3", "0" * 250, "99999999999999999999", "7 ", ".9"))
            last.rename(last.with_name(name))
        else:
            (run / "recipe.yaml").write_bytes(self._spoilt_text((run / "recipe.yaml").read_text(), dice))
        if dice.random() < 0.5:
            return ["export", str(run), "--out", str(self.out / "export")]
        return ["train", "--resume", str(run)]

    def _tensors(self, dice: random.Random) -> Callable[[], None]:
        """What a checkpoint holds for going on, read as going on reads it."""
        from llarp_cli.learning.checkpoint import load_counters, load_tensors

        last = next(path for path in (self.run / "checkpoints").iterdir() if path.name.isdigit())
        name, read = dice.choice(
            (("optimizer.pt", load_tensors), ("process-0.pt", load_tensors), ("counters.json", load_counters))
        )
        folder = self.inputs / "100" / "trainer"
        folder.mkdir(parents=True)
        good = (last / "trainer" / name).read_bytes()
        path = folder / name
        if name.endswith(".pt") and dice.random() < 0.6:  # within the archive, whose parts have checksums
            path.write_bytes(good)
            parts = {}
            with zipfile.ZipFile(path) as file:
                parts = {part: file.read(part) for part in file.namelist()}
            chosen = dice.choice([part for part in parts if part.endswith("data.pkl")] * 9 + list(parts))
            parts[chosen] = spoilt_bytes(parts[chosen], dice)
            with zipfile.ZipFile(path, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
                for part, data in parts.items():
                    file.writestr(part, data)
        else:
            path.write_bytes(spoilt_bytes(good, dice))
        return lambda: read(path)

    def _names(self, dice: random.Random) -> list[str]:
        word = dice.choice([word.replace("\x00", "") for word in WORDS if "\ud7ff" not in word]) or "x"
        word = f"nothing {word}"[: dice.choice((20, 300, 5000))]
        out = str(self.out / "more.jsonl")
        return dice.choice(
            (
                ["dataset", "generate", word, "--count", "1", "--seed", "0", "--out", out],
                ["dataset", "validate", word],
                ["dataset", "show", word],
                ["rollout", word],
                ["rollout", "planner", "--split", word],
                ["rollout", "planner", "--home", word, "--instruction", "bring the apple to the sofa"],
                ["eval", word],
                ["eval", "random", "--split", word],
                ["export", word, "--out", out],
                ["train", "--recipe", word, "--dry-run"],
                ["train", "--recipe", "quickstart", "--backbone", word, "--dry-run"],
                ["train", "--recipe", "quickstart", "--env", word, "--dry-run"],
                ["train", "--resume", word],
            )
        )


def _watched(work: list[str] | Callable[[], None]) -> tuple[int | str, str]:
    """Run a command; its exit status, or what went wrong, and what it said."""
    from llarp_cli.cli import main
    from llarp_cli.errors import LlarpError

    def late(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        if isinstance(work, list):
            result = CliRunner().invoke(main, work, prog_name="llarp")
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                return type(result.exception).__name__, f"Traceback: {result.exception!r} {result.output}"
            return result.exit_code, result.output
        try:
            work()
        except Exception as error:
            if isinstance(error, LlarpError):
                return error.exit_code, f"error: {error.message}"
            return type(error).__name__, f"Traceback: {error!r}"
        return 0, ""
    except Hang:
        return "hang", "Traceback: too long"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _recipes() -> list[Path]:
    from llarp_cli.shipped import shipped_recipes

    return list(shipped_recipes().values())


BOMBS: tuple[Callable[[], bytes], ...] = (
    lambda: b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
    lambda: b"[" * 30_000,
    lambda: b"{a: " * 10_000,
    lambda: b"- " * 20_000,
    lambda: b"steps: " + b"9" * 50_000,
    lambda: b"steps: " + b"1:" * 5_000 + b"1",
    lambda: b"x" * 10_000_000,
    lambda: b"".join(b"k%d: 1\n" % i for i in range(6_000)),
    lambda: b'"' + b"x" * 60_000 + b'": 1',
    lambda: b"seed: !!binary " + b"A" * 40_000,
    lambda: b"? " * 10_000,
    lambda: b"'" * 60_000,
    lambda: b"&a " * 20_000,
    lambda: b"!!" + b"x" * 50_000 + b" 1",
    lambda: b"# " + b"x" * 60_000,
    lambda: b"a: |\n " + b" \n" * 20_000,
)

PREDICATES = (
    *(
        "on_top(X, sofa)",
        "on_top(X)",
        "on_top",
        "()",
        "on_top(X,,sofa)",
        "not_holding(" * 2000,
        "x" * 10_000,
        "in(X, sofa)",
    ),
    *("robot_at(X)", "robot_at(mars)", "opened_cab(fridge)", "on_top(X, sofa) ", "ON_TOP(X, sofa)", "on_top(\n)", ""),
    "on_top(" + "a" * 100_000 + ")",
    "holding(" + " " * 100_000 + ")",
    " " * 100_000,
)

PICKLES: tuple[Callable[[], bytes], ...] = (
    lambda: b"cos\nsystem\n(S'true'\ntR.",
    lambda: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    lambda: b"\x80\x02]q\x00" + b"".join(b"(h\x00h\x00e" for _ in range(20_000)) + b".",
    lambda: b"(" * 1_000_000 + b".",
    lambda: b"\x80\x04" + b"]\x94" * 100_000 + b"a" * 99_999 + b".",
    lambda: b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".",
    lambda: b"\x80\x04B\xff\xff\xff\x7f" + b"x" * 100 + b".",
    lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    lambda: b"I" + b"9" * 100_000 + b"\n.",
    lambda: b"L" + b"9" * 100_000 + b"L\n.",
    lambda: b"\x80\x05" + b"\x95" + struct.pack("<Q", 2**63) + b".",
    lambda: b"version https://git-lfs.github.com/spec/v1\n",
    lambda: b"",
    lambda: pickle.dumps({"all_transforms": 1, "idx_to_name": {}, "all_eps": []}),
)
