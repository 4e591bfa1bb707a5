"""What is there on Linux alone is not needed: modules and calls that other systems lack are taken away."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llarp_cli import files, runs
from llarp_cli.bench import meter
from llarp_cli.comparison import filling
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.runs import RunDirectory, resolve_policy

ROOT = Path(__file__).parent.parent
SOURCES = [*(ROOT / "llarp_cli").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]

ELSEWHERE_MISSING = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
"""Modules that Windows' Python has not."""
NOT_IN_OS = ("getuid", "geteuid", "setsid", "killpg", "sysconf", "getloadavg", "O_NOFOLLOW", "O_NONBLOCK")


def loaded_at_import(tree: ast.Module) -> list[ast.AST]:
    """What runs when a module is imported: all but the insides of functions."""
    found, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_nothing_that_other_systems_lack(path):
    for node in loaded_at_import(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not {one.name.partition(".")[0] for one in node.names} & ELSEWHERE_MISSING
        if isinstance(node, ast.ImportFrom):
            assert str(node.module).partition(".")[0] not in ELSEWHERE_MISSING


def test_text_files_name_their_encoding():
    """The default is another on each system."""
    silent = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            method = isinstance(node.func, ast.Attribute)
            if (name == "read_text" and not node.args) or (name == "write_text" and method and len(node.args) < 2):
                silent.append(f"{path.name}:{node.lineno}")
            if name == "open" and not method:
                mode = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else "r"
                silent += [f"{path.name}:{node.lineno}"] * ("b" not in mode)
    assert not silent


@pytest.mark.skipif(os.name == "nt", reason="there it is so")
def test_every_command_starts_without_what_windows_lacks():
    """Their modules cannot be imported, and `os` has not the calls."""
    code = (
        "import sys, os, torch, psutil, subprocess, socket, multiprocessing, tempfile, shutil\n"
        f"for name in {sorted(ELSEWHERE_MISSING)!r}: sys.modules[name] = None\n"
        f"for name in {NOT_IN_OS!r}: delattr(os, name)\n"
        "from llarp_cli.cli import COMMANDS, main\n"
        "for command in COMMANDS:\n"
        "    try: main([command, '--help'], prog_name='llarp')\n"
        "    except SystemExit as end: assert end.code == 0, command\n"
        "import llarp_cli.bench.meter, llarp_cli.bench.machine, llarp_cli.files, llarp_cli.runs, llarp_cli.doctor\n"
        "print(llarp_cli.bench.machine.machine(torch.device('cpu')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_checkpoints_are_named_in_files_on_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "WINDOWS", True)
    run = RunDirectory.create(tmp_path / "run", Recipe(), {})
    for steps in (100, 200):
        run.open_staging(steps)
        (run.staging(steps) / "adapter.safetensors").write_bytes(b"")
        run.publish(steps, best=100, keep=1)
    for name, steps in (("last", 200), ("best", 100)):
        named = run.checkpoints / name
        assert named.is_file() and not named.is_symlink()
        assert resolve_policy(str(named)) == run.checkpoint(steps)


def test_files_are_whole_without_locks_and_directory_handles(tmp_path, monkeypatch):
    """Windows: no fcntl, nothing that is open is renamed, folders are not forced to the disk."""
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.delattr(os, "O_NONBLOCK")
    closed, replace = [], os.replace

    def replace_what_is_closed(source, target):
        assert str(source) not in {file.path for file in psutil.Process().open_files()}
        closed.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_what_is_closed)
    files.write_text(tmp_path / "a", "one")
    files.append_text(tmp_path / "a", "two")
    with files.replacing_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("three")
    files.sweep(tmp_path)
    assert (tmp_path / "a").read_text() == "onetwo" and (tmp_path / "b" / "c").read_text() == "three"
    assert len(closed) == 2 and {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_on_windows_a_command_hears_ctrl_c_itself(monkeypatch):
    """To terminate it would be to kill it, in the middle of its checkpoint."""

    class Command:
        waited = 0

        def wait(self):
            self.waited += 1
            if self.waited == 1:
                raise KeyboardInterrupt
            return 130

        def terminate(self):
            raise AssertionError("killed")

    command = Command()
    monkeypatch.setattr(filling, "WINDOWS", True)
    monkeypatch.setattr(filling.subprocess, "Popen", lambda *_, **__: command)
    with pytest.raises(KeyboardInterrupt):
        filling.run_llarp("train")
    assert command.waited == 2


def test_the_most_memory_ever_held_is_known_everywhere(monkeypatch):
    held = meter._most_ever()
    assert held >= psutil.Process().memory_info().rss // 2

    class Windows:
        class memory_info:  # noqa: N801  (as psutil has it)
            peak_wset = 5 << 30

    monkeypatch.setattr(meter.sys, "platform", "win32")
    monkeypatch.setattr(meter.psutil, "Process", Windows)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert meter._most_ever() == 5 << 30


def test_habitat_says_that_windows_has_none(monkeypatch):
    from llarp_habitat import machine

    monkeypatch.setattr(machine.sys, "platform", "win32")
    with pytest.raises(UsageProblem, match="not for Windows"):
        machine.machine()


def test_a_macs_gpu_is_left_alone(monkeypatch):
    import torch

    from llarp_cli.backbones.transfer import usual_device

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert usual_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_characters_that_a_pipe_does_not_take_are_no_error():
    """Windows' pipes take those of one region."""
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    code = (
        "import click; from llarp_cli import cli\n"
        "cli.COMMANDS['say'] = '__main__:say'\n"
        "say = click.command()(lambda: click.echo('5 \\u2264 6'))\n"
        "cli.main(['say'], prog_name='llarp')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "5 ? 6", done.stderr


def test_names_in_the_repository_can_be_checked_out_everywhere():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not in a repository")
    names = listed.stdout.splitlines()
    assert not [name for name in names if set(name) & set('<>:"\\|?*')]
    assert len({name.casefold() for name in names}) == len(names)
