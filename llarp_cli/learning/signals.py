"""Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once."""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""Exit status of a run that was asked to stop."""


class StopSignals:
    """While entered, remembers that a stop was asked for instead of stopping in the middle of an update.

    Attributes:
        requested: a stop was asked for.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopSignals:
        # Where SIGINT is ignored, somebody else listens and passes SIGTERM on.
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            # Checkpoints are renamed into place when complete, so there is nothing to clean up.
            os._exit(INTERRUPTED)
        self.requested = True
