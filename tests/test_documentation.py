"""What the pages say is so: commands parse and name what exists, tables are the program's, examples run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import click
import pytest
from click.testing import CliRunner
from habitat_scenes import DOUBLE
from pages import PAGES, ROOT, Command, blocks, commands, inline
from released_files import brought, episode, released, write
from test_sharing import hub  # noqa: F401

from llarp_cli import registry
from llarp_cli.cli import main
from llarp_cli.comparison.study_file import shipped_studies
from llarp_cli.config import Recipe
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.splits import SPLITS, expand
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.recipes import load_recipe, recipe_keys

RUN, OTHER_RUN = "runs/quickstart-minilm-20260101-120000", "runs/quickstart-lstm-20260101-130000"

GIVEN = (RUN, OTHER_RUN, "runs/mine", "runs/ours-0", "runs/ours-1", "runs/lstm", "new_scenes.pickle", "/models/")
"""What commands read and no page makes: runs of the quickstart and others, a file of the reference release, and weights
in a folder."""

OTHER_PROGRAMS = {".", "apt", "brew", "cd", "conda", "export", "git", "mkdir", "source"}
"""Whose commands are not looked at: the shell's and those that get things."""

MESSAGES = ("llarp needs Python",)
"""Which begin as commands do."""

OUTPUTS = ("out", "json_file", "plot", "curves", "markdown", "video", "run_dir", "frames", "directory")
"""Parameters of commands that name what is made."""

# Every command on every page parses, and names only what there is


def names_of(page: str) -> set[str]:
    """Names of the plugins whose making a page shows; other pages may use them."""
    return {name for block in blocks(page, "toml") for name in re.findall(r'^"?([\w.-]+)"? = "\w+:\w+"$', block, re.M)}


class Reader:
    """Looks at the commands of a page one after another.

    Attributes:
        made: files that the commands so far have made.
    """

    def __init__(self, page: str):
        self.page = page
        self.own = set().union(*map(names_of, PAGES))
        self.made: set[str] = set()

    def look(self, command: Command) -> None:
        first, words = command.words[0], command.words
        if command.llarp is not None:
            self.llarp(command.llarp)
        elif first == "make":
            makefile = (ROOT / "Makefile").read_text()
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets), "no such target"
        elif first == "pip" or words[1:3] == ("-m", "pip"):
            project = (ROOT / "pyproject.toml").read_text()
            for extra in re.findall(r"(?:llarp|\.)\[([\w,]+)\]", " ".join(words)):
                for name in extra.split(","):
                    assert re.search(rf"^{name} = \[", project, re.M), f"no extra '{name}'"
            if "-c" in words:
                assert (ROOT / words[words.index("-c") + 1]).is_file()
        elif first in ("python", "python3") and words[1] == "-m":
            module = words[2]
            if module.startswith("llarp"):
                assert importlib.util.find_spec(module), f"no module {module}"
        elif first in ("python", "pytest", ".venv/bin/pytest"):
            assert (ROOT / words[1].partition("::")[0]).is_file(), f"no file {words[1]}"
            source = (ROOT / words[1].partition("::")[0]).read_text()
            assert all(word in source for word in words[2:] if word.startswith("--")), "no such option"
        else:
            assert first in OTHER_PROGRAMS, f"unknown program '{first}'"
        if command.into is not None:
            self.made.add(command.into)

    def llarp(self, words: tuple[str, ...]) -> None:
        if "mine.yaml" in self.made:
            shutil.copy(ROOT / "recipes" / "quickstart.yaml", "mine.yaml")
        name, parameters = parsed(words)
        self.plugin("backbone", parameters.get("backbone"))
        self.plugin("environment", parameters.get("environment"))
        splits = [*(parameters.get("splits") or ()), *([parameters["split"]] if parameters.get("split") else [])]
        if name in ("dataset show", "dataset validate"):
            splits += [one for one in parameters["names"] if not one.endswith(".jsonl")]
            self.given(*(one for one in parameters["names"] if one.endswith(".jsonl")))
        expand(splits or ["all"])
        assert set(parameters.get("families") or ()) <= set(FAMILIES)
        if name == "train" and parameters["recipe"]:
            recipe = self.recipe(parameters["recipe"], parameters["overrides"])
            self.plugin("backbone", recipe.backbone.name)
            self.plugin("vision encoder", recipe.vision.name)
            self.plugin("environment", recipe.environment)
            if (recipe.vision.weights or "random") != "random":
                self.given(recipe.vision.weights)
        if name == "study" and parameters["file"]:
            assert parameters["file"] in shipped_studies()
        for key in ("policy", "source", "resume", "episodes", "weights"):
            value = str(parameters.get(key) or "").removeprefix("hf:")
            if value and value not in ("planner", "searcher", "expert", "random", "zero-shot"):
                self.given(value)
        self.given(*(one for one in parameters.get("runs") or () if one not in ("planner", "searcher", "random")))
        self.made |= {str(parameters[key]) for key in OUTPUTS if parameters.get(key)}

    def plugin(self, kind: str, name: str | None) -> None:
        if name and name.partition(":")[0] not in self.own:
            registry.find(kind, name)

    def recipe(self, name: str, overrides: tuple[str, ...]) -> Recipe:
        return load_recipe(name, overrides)[0]

    def given(self, *names: str) -> None:
        for name in names:
            known = any(name.startswith(one) for one in (*GIVEN, *self.made)) or (ROOT / name).is_file()
            assert known or re.fullmatch(r"[\w-]+/[\w.-]+", name), f"nothing made '{name}'"


def parsed(words: tuple[str, ...]) -> tuple[str, dict]:
    """A command's name and its parameters, as click reads them."""
    context = click.Context(main, **main.context_settings)
    if words[0] == "--debug":
        words = words[1:]
    if words[0] in ("--version", "--help", "-h"):
        return "", {}
    name, *rest = words
    command = main.get_command(context, name)
    assert command is not None, f"no command '{name}'"
    if isinstance(command, click.Group):
        inner, *rest = rest
        name, command = f"{name} {inner}", command.commands[inner]
    if {"--help", "-h"} & set(rest):
        return name, {}
    return name, command.make_context(name, rest, context, resilient_parsing=False).params


@pytest.mark.parametrize("page", PAGES)
def test_every_command_parses_and_names_what_there_is(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in (RUN, OTHER_RUN):
        (tmp_path / folder).mkdir(parents=True)
    reader, problems = Reader(page), []
    for command in commands(page):
        try:
            reader.look(command)
        except (AssertionError, LlarpError, click.ClickException) as error:
            problems.append(f"{command}: {error}")
    assert not problems, "\n".join(problems)


def inline_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        yield from ((page, code) for code in inline(page) if code.startswith("llarp "))


def test_commands_in_running_text_have_the_options_they_are_shown_with():
    problems = []
    for page, code in inline_commands():
        name, *rest = code.split()[1:]
        if name in ("COMMAND", "...", "--debug", "--version", "--help") or code.startswith(MESSAGES):
            continue
        command = main.get_command(click.Context(main), name)
        if command is not None and isinstance(command, click.Group) and rest and rest[0].islower():
            command = command.commands.get(rest[0])
        if command is None:
            problems.append(f"{page}: `{code}`: no such command")
            continue
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        typed = {word.partition("=")[0] for word in rest if re.match(r"--\w", word)} - {"--help"}
        problems += [f"{page}: `{code}`: no option {option}" for option in typed - options]
    assert not problems, "\n".join(problems)


def test_recipe_keys_in_running_text_exist():
    keys = recipe_keys()
    sections = {key for key, section in keys.items() if section is not None}
    problems = []
    for page in PAGES:
        for code in inline(page):
            key = code.partition("=")[0]
            if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", key) and key.partition(".")[0] in sections:
                known = key in keys or key.endswith((".py", ".md", ".yaml", ".json", ".jsonl", ".pt", ".png", ".log"))
                if not known:
                    problems.append(f"{page}: `{code}`")
    assert not problems, "\n".join(problems)


def test_files_in_running_text_exist():
    problems = []
    for page in PAGES:
        for code in inline(page):
            if re.fullmatch(r"(docs|tests|recipes|benchmarks|plugins|llarp_cli)/[\w./-]+", code):
                problems += [f"{page}: `{code}`"] * (not (ROOT / code).exists())
    assert not problems, "\n".join(problems)


def test_the_readme_shows_every_verb():
    shown = {command.llarp[0] for command in commands("README.md") if command.llarp}
    assert shown >= {"train", "eval", "rollout", "export", "dataset", "recipes", "play", "plugins", "doctor", "compare"}


# What pages repeat from the program


def load_generator():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["recipes.md", "cli.md"])
def test_generated_parts_are_as_the_program_is_now(name):
    generator = load_generator()
    assert generator.page(name) == (ROOT / "docs" / name).read_text("utf-8"), "type: python docs/generate.py"


def test_the_page_of_the_benchmark_says_of_splits_what_the_program_says():
    page = (ROOT / "docs" / "benchmark.md").read_text("utf-8")
    for name, split in SPLITS.items():
        assert f"| `{name}` | {split.description} |" in page, "type: python -m llarp_cli.dataset.document docs"


def test_every_recipe_key_and_command_is_on_its_page():
    recipes, cli = (ROOT / "docs" / name for name in ("recipes.md", "cli.md"))
    for key, section in recipe_keys().items():
        assert section is not None or f"| `{key}` |" in recipes.read_text("utf-8"), key
    for name in main.list_commands(click.Context(main)):
        assert f"## `llarp {name}`" in cli.read_text("utf-8")


def test_a_key_that_the_docstring_forgets_is_noticed():
    generator = load_generator()

    class Section(Recipe):
        """Nothing is said here."""

    with pytest.raises(KeyError, match="says nothing of steps"):
        generator.meanings(Section)


# Commands of the README, run with tiny settings

TINY = (
    "steps=32 num_envs=2 imitation.steps=16 imitation.minibatches=1 ppo.minibatches=1 ppo.rollout_steps=8 "
    "backbone.prefix_cache_mb=8"
)
SMALL = {
    "train": f"{TINY} tasks.homes=2 tasks.count=4",
    "eval": "--limit 1 --num-envs 4",
    "compare": "--evaluate --split rephrasing --limit 1",
    "study": "--dry-run",  # tests/test_study.py runs small ones
}
"""Command → what makes it small."""

VALUES = {"--backbone": "tiny-llama", "--count": "2", "--steps": "32", "--num-processes": "2"}
"""Option → what it gets in place of what the page says."""

STANDING_IN = {"habitat": "habitat:homes", "ORG/NAME": "me/policy", "hf:ORG/NAME": "hf:me/policy"}
"""What the page says → what there is here: a stand-in for habitat-sim, and one for the hub."""

QUICK = ("recipes", "plugins", "dataset", "--dry-run")
"""What the default tests run of the README; `make test-slow` runs all of it."""


def small(words: tuple[str, ...]) -> list[str]:
    """A command that asks for the same in miniature, with weights that are at hand."""
    changed = [STANDING_IN.get(word, word) for word in words]
    for flag in VALUES.keys() & set(words):
        changed[changed.index(flag) + 1] = VALUES[flag]
    if "--weights" in words and "random" not in words:
        at = changed.index("--weights")
        del changed[at : at + 2]
    if "--resume" in words:
        return changed if "--steps" in words else [*changed, "--steps", "112"]
    more = TINY if words[0] == "train" and {"gym", "babyai-goto"} & set(words) else SMALL.get(words[0], "")
    if "lang-rearrange" in words and "--backbone" not in words:
        more += " --backbone tiny-llama"
    if words[0] == "train" and "habitat" in words:
        more += " vision.name=cnn"  # its own has to be fetched
    if words[:2] == ("eval", "hf:ORG/NAME"):
        more += " --split new_scenes"  # the newest run is Habitat's, where the stand-in needs seconds for every home
    return [*changed, *more.split()]


def run(*words: str) -> str:
    """What a command says on stdout."""
    done = CliRunner().invoke(main, [*words], prog_name="llarp", input="help\nquit\n")
    assert done.exit_code == 0, f"llarp {shlex.join(words)}: {done.output}"
    return done.stdout


def run_apart(*words: str) -> None:
    """Run a program to its end."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"


def visit(*words: str) -> None:
    """Open the page that a command serves, and stop it with Ctrl-C."""
    command = [sys.executable, "-m", "llarp_cli", *words, "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        with urlopen(served.stdout.readline().strip()) as page:
            assert b"llarp" in page.read()
        served.send_signal(signal.SIGINT)
    assert served.returncode == 130


def run_llarp(command: Command) -> None:
    """Run a command of llarp's in miniature; into a file if the page does that."""
    assert command.llarp is not None
    words = small(command.llarp)
    if command.words[0] == "accelerate":
        launched = [*command.words[: command.words.index("-m")], "--cpu", "--num_processes", "2", "-m", "llarp_cli"]
        run_apart(str(Path(sys.executable).with_name("accelerate")), *launched[1:], *words)
    elif "--num-processes" in words:
        run_apart(sys.executable, "-m", "llarp_cli", *words)
    elif "--web" in words:
        visit(*words)
    else:
        said = run(*words)
        if command.into is not None:
            Path(command.into).write_text(said)


def run_other(command: Command) -> None:
    """Run a command of another program: what `make` would have llarp do in miniature, installations as far as to see
    that what is named can be."""
    words = command.words
    if words[0] == "make":
        done = subprocess.run([*words, "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            if line.startswith(".venv/bin/llarp "):
                run(*small(tuple(shlex.split(line)[1:])))
    elif words[0] == "pip":
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-build-isolation", "--quiet"]
        what = [word for word in words[2:] if word != "-e"]  # for which pip would have to get a package
        done = subprocess.run([*pip, *what], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    else:
        run_apart("sh", "-c", shlex.join(words))


def test_what_is_quick_in_the_readme_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for command in commands("README.md"):
        if command.llarp and any(part in command.words for part in QUICK) and "new_scenes.pickle" not in command.words:
            run_llarp(command)
    assert {path.name for path in tmp_path.iterdir()} >= {"mine.yaml", "mine.jsonl"}


@pytest.mark.slow
def test_all_of_the_readme_runs(monkeypatch, tmp_path, capsys, hub):  # noqa: F811
    """In order, in an empty folder, with what it says that one has: two runs, a file of the reference release, and an
    environment of one's own. Habitat and the hub are stand-ins."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(DOUBLE), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("LLARP_HABITAT_GPU", "-1")
    asked = [
        episode("42f1b012", "Bring the apple to the sofa.", brought("apple", "sofa"), where={"apple": "black table"})
    ]
    write(tmp_path / "new_scenes.pickle", released(asked))
    (lamps,) = (block for block in blocks("docs/environments.md", "python") if "lamps = GymEnvironment" in block)
    (tmp_path / "lamps.py").write_text(lamps)
    for name, more in ((RUN, []), (OTHER_RUN, ["policy=lstm"])):
        run(*small(("train", "--backbone", "minilm", "--recipe", "quickstart", "--run-dir", name, *more)), "steps=96")
    run("export", RUN)
    monkeypatch.setattr("llarp_cli.comparison.curves.EPISODES", 1)  # more than that they do not have
    for command in commands("README.md"):
        (run_llarp if command.llarp else run_other)(command)
    capsys.readouterr()
    for page in ("README.md", "docs/python.md"):
        (example,) = (block for block in blocks(page, "python") if "load_policy" in block)
        exec(compile(example, page, "exec"), {})
        assert capsys.readouterr().out.split()[0] in ("go", "pick", "place", "open", "close")


# Examples


def test_the_vision_encoder_of_the_plugin_guide_sees(tmp_path, monkeypatch):
    import numpy as np

    from llarp_cli.config import VisionOptions

    (source,) = (block for block in blocks("docs/plugins.md", "python") if "class MosaicEncoder" in block)
    info = tmp_path / "llarp_mosaic-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llarp-mosaic\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llarp.vision]\nmosaic = llarp_mosaic:mosaic\n")
    (tmp_path / "llarp_mosaic.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llarp_mosaic", raising=False)

    encoder = registry.build("vision encoder", "mosaic", VisionOptions(image_size=64, tokens=2), "cpu")
    pictures = np.zeros((3, 64, 64, 3), np.uint8)
    pictures[1, :8, 8:16] = 255  # one square of the upper half
    features = encoder.perceive(pictures)
    assert features.shape == (3, 2, encoder.feature_size) == (3, 2, 96)
    assert features[0].sum() == 0 and features[1, 0].tolist() == [0] * 3 + [1] * 3 + [0] * 90
    with pytest.raises(UsageProblem, match="8 rows"):
        registry.build("vision encoder", "mosaic", VisionOptions(tokens=3), "cpu")


@pytest.mark.slow  # `make docs` does the same, in continuous integration too
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the documentation needs Python 3.11 or newer")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-n", "-W", "--keep-going", "-c", "docs", ".", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "docs" / "how-it-works.html").read_text("utf-8")
    assert "<math" in page and 'href="../source/llarp_cli/policy/adapter.py.html"' in page
    assert "class ObservationAdapter" in re.sub(
        "<[^>]+>", "", (tmp_path / "source/llarp_cli/policy/adapter.py.html").read_text("utf-8")
    )
    assert 'url=docs/index.html"' in (tmp_path / "index.html").read_text("utf-8")
