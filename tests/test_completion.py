"""What the Tab key offers, as the shells ask for it; and what `llarp --version` tells of a machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from llarp_cli import __version__, registry, versions
from llarp_cli.cli import COMMANDS
from llarp_cli.cli.completion import SETUP, SPLIT_GROUPS
from llarp_cli.rearrangement.splits import GROUPS, SPLITS
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.shipped import shipped_recipes, shipped_splits, shipped_studies

HEAVY = {"torch", "numba", "transformers", "pydantic", "yaml", "matplotlib"}


@pytest.fixture
def offered(llarp, monkeypatch):
    """`offered("llarp train --recipe ", ...)`: what the shell would be told after these words, without kinds."""
    from click.testing import CliRunner

    from llarp_cli.cli import main

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_LLARP_COMPLETE", "bash_complete")
        result = CliRunner().invoke(main, [], prog_name="llarp")
        assert result.stderr == ""
        return [told.partition(",")[2] or told for told in result.stdout.splitlines()]

    return ask


def test_commands_and_options_are_offered(offered):
    assert offered("llarp ") == list(COMMANDS)
    assert offered("llarp ev") == ["eval"]
    assert {"--recipe", "--resume"} <= set(offered("llarp train --re")) <= set(offered("llarp train --"))
    assert offered("llarp dataset va") == ["validate"]
    assert offered("llarp completion ") == list(SETUP)


def test_a_command_that_does_not_exist_is_no_traceback(offered):
    assert "train" in offered("llarp trian ")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("llarp train --recipe ", shipped_recipes()),
        ("llarp recipes ", shipped_recipes()),
        ("llarp study ", shipped_studies()),
        ("llarp eval --split ", [*SPLITS, *GROUPS]),
        ("llarp rollout --split ", [*SPLITS, *GROUPS]),
        ("llarp dataset show ", [*SPLITS, *GROUPS]),
        ("llarp dataset generate ", [*SPLITS, *GROUPS]),
        ("llarp eval --family ", FAMILIES),
        ("llarp train --backbone ", {p.name for p in registry.plugins("backbone")}),
        ("llarp eval --env ", {p.name for p in registry.plugins("environment")}),
        ("llarp play --split ", [*SPLITS, *GROUPS]),
        ("llarp play --env ", {p.name for p in registry.plugins("environment")}),
        ("llarp doctor --env ", {p.name for p in registry.plugins("environment")}),
        ("llarp eval ", {"planner", "searcher", "expert", "random", "zero-shot"}),
    ],
)
def test_names_are_offered(offered, line, names):
    assert set(offered(line)) == set(names) and names


def test_the_beginning_of_a_name_narrows_it(offered):
    assert set(offered("llarp eval --split re")) == {"referring_expressions", "rephrasing"}
    assert offered("llarp train --recipe quick") == ["quickstart"]


def test_runs_are_offered_the_newest_first(offered, tmp_path):
    for name, age in (("old", 100), ("new", 1), ("middle", 50)):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        os.utime(run, (1e9 - age, 1e9 - age))
    (tmp_path / "runs" / "notes").mkdir()
    wanted = [str(Path("runs", name)) for name in ("new", "middle", "old")]
    assert offered("llarp train --resume ") == offered("llarp export ") == offered("llarp compare ") == wanted
    assert offered("llarp eval ")[:4] == [*wanted, "planner"]


def test_where_no_name_fits_the_shell_offers_files(llarp, monkeypatch):
    monkeypatch.setenv("COMP_WORDS", "llarp train --recipe ./mi")
    monkeypatch.setenv("COMP_CWORD", "3")
    monkeypatch.setenv("_LLARP_COMPLETE", "bash_complete")
    assert llarp().stdout == "file,./mi\n"


def test_what_is_known_beforehand_is_what_the_benchmark_has():
    assert set(SPLIT_GROUPS) == set(GROUPS)
    assert set(shipped_splits()) == set(SPLITS)


@pytest.mark.parametrize("line", ["llarp train --recipe ", "llarp train --backbone ", "llarp eval --split "])
def test_completing_imports_nothing_heavy(line):
    code = (
        "import sys; from llarp_cli.cli import main\n"
        "try: main(prog_name='llarp')\n"
        "except SystemExit: print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_LLARP_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.splitlines()[-1].split()) & HEAVY


@pytest.mark.parametrize("shell", SETUP)
def test_every_shell_gets_its_lines(llarp, shell):
    result = llarp("completion", shell)
    assert result.exit_code == 0 and f"_LLARP_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_them(tmp_path):
    """The function that bash is given is called as bash calls it."""
    program = tmp_path / "llarp"
    begin = "from llarp_cli.cli import main; main(prog_name='llarp')"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{begin}" "$@"\n')
    program.chmod(0o755)
    script = (
        "source <(llarp completion bash)\n"
        "COMP_WORDS=(llarp train --recipe quick); COMP_CWORD=3; _llarp_completion llarp quick --recipe\n"
        'echo "${COMPREPLY[@]}"'
    )
    bash = ["bash", "--norc", "-c", script]
    paths = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(bash, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "quickstart", done.stderr


def test_another_shell_is_refused_with_those_there_are(llarp):
    result = llarp("completion", "tcsh")
    assert result.exit_code == 2 and all(shell in result.stderr for shell in SETUP)


# Versions


def test_the_version_says_what_a_bug_report_needs(llarp):
    result = llarp("--version")
    assert result.exit_code == 0
    first, *rest = result.stdout.splitlines()
    assert first == f"llarp {__version__}"
    told = dict(re.fullmatch(r"  (\S+) +(.+)", line).groups() for line in rest)
    assert told["torch"].startswith(metadata.version("torch")) and " (for " in told["torch"]
    assert sys.executable in told["python"]
    for package in ("transformers", "accelerate", "numpy", "numba"):
        assert told[package] == metadata.version(package)
    assert {"platform", "device"} <= set(told)


def test_missing_packages_are_told_where_they_matter(monkeypatch):
    def version(package: str) -> str:
        if package in ("torch", "peft"):
            raise metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    lines = versions.report().splitlines()
    assert any(line.split() == ["torch", "not", "installed"] for line in lines)
    assert not any("peft" in line for line in lines) and any("minigrid" in line for line in lines)


@pytest.mark.parametrize(
    ("written", "told"),
    [("cuda: Optional[str] = '12.4'\nhip: Optional[str] = None", "for CUDA 12.4"),
     ("cuda: Optional[str] = None\nhip: Optional[str] = '6.2'", "for ROCm 6.2"),
     ("cuda: Optional[str] = None", "for CPU")],
)  # fmt: skip
def test_what_torch_was_built_for_is_read_from_its_file(monkeypatch, tmp_path, written, told):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '9.9'\n{written}\n")
    code = "from llarp_cli import versions; print(versions.report())"
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert f"({told})" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for the driver's program")
@pytest.mark.parametrize(
    ("script", "told"),
    [("echo 'NVIDIA Whatever, 570.1'; echo 'NVIDIA Whatever, 570.1'",
      "NVIDIA Whatever, driver 570.1; NVIDIA Whatever, driver 570.1 (CUDA_VISIBLE_DEVICES=1)"),
     ("exit 9", "nvidia-smi does not answer"),
     ("sleep 5", "nvidia-smi does not answer"),
     ("true", "CPU")],
)  # fmt: skip
def test_gpus_are_asked_of_the_driver(monkeypatch, tmp_path, script, told):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr(versions, "GPU_SECONDS", 0.5)
    assert versions.report().splitlines()[-1].split(maxsplit=1) == ["device", told]
