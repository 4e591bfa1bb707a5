"""What every test gets: one thread, no hub, a way to run the command line in this process, and a study to write."""

from __future__ import annotations

import os
import signal

# Before torch, numba and the hub's client are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings
from study_files import FILE

# A shell starts what runs in its background deaf to Ctrl-C, and every program started from there inherits that:
# tests that interrupt one would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, and no complaint about a busy machine.
settings.register_profile("llarp", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("llarp")


@pytest.fixture
def llarp(tmp_path, monkeypatch):
    """`llarp("eval", "planner")` runs the command in an empty directory and returns click's result."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        from llarp_cli.cli import main

        return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="llarp")

    return run


@pytest.fixture
def written(tmp_path, monkeypatch):
    """`written(text)` writes study.yaml in an empty directory and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = FILE) -> str:
        (tmp_path / "study.yaml").write_text(text)
        return "study.yaml"

    return write
