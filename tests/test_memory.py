"""Freed memory goes back to the system."""

import platform

import numpy as np
import psutil
import pytest

from llarp_cli.learning.memory import release_free_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory and can be told not to")
def test_what_was_freed_between_what_is_kept_goes_back():
    process = psutil.Process()
    blocks = [np.ones(100_000, np.uint8) for _ in range(3000)]
    kept = blocks[::20]  # so that the allocator cannot simply shrink
    del blocks
    before = process.memory_info().rss
    release_free_memory()
    assert before - process.memory_info().rss > 200e6
    assert all(block.all() for block in kept)


def test_a_system_without_such_a_call_is_left_alone(monkeypatch):
    monkeypatch.setattr("llarp_cli.learning.memory._malloc_trim", lambda: None)
    release_free_memory()
