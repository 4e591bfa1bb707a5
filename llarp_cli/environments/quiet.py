"""Keeping what somebody else's code prints off our output."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any


class _Nowhere(io.TextIOBase):
    """Takes text and forgets it."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


class Quiet:
    """While any thread is inside, what Python code prints to stdout and stderr is swallowed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: tuple[Any, Any] = (None, None)

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = sys.stdout, sys.stderr
                sys.stdout = sys.stderr = _Nowhere()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.stdout, sys.stderr = self._before


QUIET = Quiet()
"""The one there is, since the streams are the process's."""
