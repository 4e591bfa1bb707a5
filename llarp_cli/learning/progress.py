"""What a training run says while it runs: a bar on a terminal, else a plain line now and then; all of it logged."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from llarp_cli.files import append_text

LINE_SECONDS = 5.0


class Progress:
    """The console of a run.

    Args:
        log: file that gets every line too; None says nothing anywhere (all processes but the first).
        total: environment steps in all.
        done: steps already taken.
    """

    def __init__(self, log: Path | None, *, total: int, done: int = 0):
        self._log = log
        self._total = total
        self._begun, self._begun_at = done, monotonic()
        self._last_line = 0.0
        terminal = log is not None and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=done, unit=" steps", unit_scale=True, smoothing=0.1) if terminal else None

    def say(self, text: str) -> None:
        """Print lines and log them."""
        if self._log is None:
            return
        if self._bar is not None:
            self._bar.clear()
        _print(text)
        self._write(text)

    def update(self, steps: int, stage: str, success: float | None) -> None:
        """Show how far the run is.

        Args:
            success: moving average, None where no episode has ended yet.
        """
        if self._log is None:
            return
        shown = "-" if success is None else f"{success:.1%}"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{stage}, success {shown}", refresh=False)
            self._bar.update(steps - self._bar.n)
        now = monotonic()
        if now - self._last_line < LINE_SECONDS and steps < self._total:
            return
        self._last_line = now
        speed = (steps - self._begun) / max(now - self._begun_at, 1e-9)
        left = tqdm.format_interval(max(self._total - steps, 0) / speed)
        line = f"{steps:>12,} / {self._total:,} steps  {speed:7.0f} steps/s  {left} left  {stage:<9}  success {shown}"
        if self._bar is None:
            _print(line)
        self._write(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _write(self, text: str) -> None:
        append_text(self._log, text + "\n")


def _print(text: str) -> None:
    """Training does not end because nobody listens any more: Ctrl-C stops `| tee` first."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
