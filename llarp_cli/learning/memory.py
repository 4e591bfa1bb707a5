"""Memory that nobody uses any more goes back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def release_free_memory() -> None:
    """Give the system what the C library's allocator keeps of freed memory; nothing where it has no such call (only
    glibc does).

    Rollouts and minibatches differ in size, so freed blocks seldom fit what is asked for next: in a long training the
    allocator's share grows by megabytes a minute, half a gigabyte after 41,000 steps of the quickstart
    (`benchmarks/faults.md`).
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # no such function; no library of that kind; Windows
        return None
