"""The parent's side of a worker process: started in an interpreter of its own, and asked over a socket."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from llarp_cli.errors import LlarpError
from llarp_habitat import failures
from llarp_habitat.machine import Machine
from llarp_habitat.worker import wire

FOLDER = Path(__file__).parent / "worker"

# The worker's folder is loaded by its path: nothing else of this environment reaches the other interpreter.
_BEGIN = """
import importlib.util, sys
sys.path[:] = [entry for entry in sys.path if entry]
folder = sys.argv[1]
place = folder + "/__init__.py"
spec = importlib.util.spec_from_file_location("llarp_worker", place, submodule_search_locations=[folder])
sys.modules["llarp_worker"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from llarp_worker.serve import serve
serve(int(sys.argv[2]))
"""

_QUIET = {"MAGNUM_LOG": "quiet", "HABITAT_SIM_LOG": "quiet", "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}
"""What a worker's libraries are told unless the user says otherwise."""

_LOG_KEPT = 20_000
"""Bytes of a dead worker's log that are looked at."""


class Worker:
    """A process that runs one habitat-sim.

    Args:
        machine: which interpreter, which device.

    Attributes:
        answers: how many commands have been sent whose answers have not been read.
    """

    def __init__(self, machine: Machine):
        self._machine = machine
        self.answers = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._end, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            try:
                self._process = subprocess.Popen(
                    [machine.python, "-c", _BEGIN, str(FOLDER), str(descriptor)],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    pass_fds=[descriptor],
                    env={**_QUIET, **os.environ},
                    # Ctrl-C is for the parent: workers end when it does.
                    start_new_session=True,
                )
            except OSError as error:
                raise LlarpError(f"cannot start {machine.python}: {error.strerror}") from None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            LlarpError: what the worker complains of, or why it died.
        """
        self.tell(do, **arguments)
        return self.answer()

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command; its answer is to be read by `answer`."""
        try:
            wire.send(self._end, {"do": do, **arguments})
        except OSError:
            raise self._death() from None
        self.answers += 1

    def share(self, do: str, descriptor: int, arrays: wire.Arrays, **arguments: Any) -> None:
        """Give the worker a memory."""
        self.tell(do, arrays=[list(array) for array in arrays], **arguments)
        try:
            wire.send_memory(self._end, descriptor)
        except OSError:
            raise self._death() from None
        self.answer()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest command that has none yet.

        Raises:
            LlarpError: as `ask`.
        """
        found = wire.receive(self._end)
        self.answers -= 1
        if found is None:
            raise self._death()
        if "trouble" in found:
            raise failures.told(found["trouble"], found["about"], self._machine.python, self._machine.data)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            try:
                wire.send(self._end, {"do": "stop"})
                self._process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
        self._end.close()
        self._log.close()

    def _death(self) -> LlarpError:
        try:
            status: int | None = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_KEPT))
        log = self._log.read().decode("utf-8", "replace")
        return failures.died(log, status, self._machine.python, self._machine.gpu)


def begun(machine: Machine) -> Worker:
    """A worker that has habitat-sim loaded and its device chosen.

    Raises:
        LlarpError: it does not come up.
    """
    worker = Worker(machine)
    try:
        worker.ask("start", gpu=machine.gpu)
    except BaseException:
        worker.close()
        raise
    return worker
