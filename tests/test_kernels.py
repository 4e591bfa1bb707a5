"""Compiled code is kept on disk: it must be compiled anew when any of it changes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from numba.core.registry import CPUDispatcher

from llarp_cli.backbones import kernels
from llarp_cli.rearrangement import goals

ROOT = Path(kernels.__file__).parent.parent


@pytest.mark.parametrize("module", [kernels, goals])
def test_kept_functions_call_only_those_of_their_own_file(module):
    """numba looks at a function's own file to see whether what it kept is still true."""
    kept = [value for value in vars(module).values() if isinstance(value, CPUDispatcher)]
    assert kept
    for function in kept:
        code = function.py_func.__code__
        called = [function.py_func.__globals__.get(name) for name in code.co_names]
        files = {inspect.getfile(one.py_func) for one in called if isinstance(one, CPUDispatcher)}
        assert files <= {module.__file__}, function.py_func.__name__


def test_there_are_no_others_that_are_kept():
    """The renderer, of several files, looks at all of them itself."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in ROOT.rglob("*.py")}
    keeping = {name for name, text in texts.items() if re.search(r"njit\([^)]*cache=True", text)}
    assert keeping == {"backbones/kernels.py", "home/drawing.py", "rearrangement/goals.py"}
