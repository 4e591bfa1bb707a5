"""Several processes through torch's elastic launcher: ours, and what one of ours finds out about whoever started it."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from llarp_cli.errors import LlarpError, UsageProblem, quoted
from llarp_cli.files import write_text
from llarp_cli.learning.signals import INTERRUPTED
from llarp_cli.runs import RunDirectory

SAVING_SECONDS = 3600
"""A process that was asked to stop and has not after this long is killed."""

Work = Callable[[], tuple[Path, bool]]
"""One process's share of a run, from start to end; gives the run directory, and whether the run is complete."""


def launch(work: Work, run_dir: Path, num_processes: int, max_restarts: int) -> bool:
    """Do a run in processes of this machine through torch's elastic launcher.

    Args:
        work: each process's share; can be pickled.
        run_dir: where the run is or goes.
        num_processes: how many.
        max_restarts: how often they are started again when one is killed or fails.

    Returns:
        whether the run is complete; it is not where a signal stopped it.

    Raises:
        UsageProblem, LlarpError: what the first process that failed said.
    """
    # How long processes that were asked to stop may take for their update and its checkpoint; else 30 seconds.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SAVING_SECONDS))
    # Else processes that are started again find the addresses of those before, in the store that the launcher keeps.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(prefix="llarp-") as folder:
        report = Path(folder) / "report.json"
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",  # any free port
            local_addr="127.0.0.1",
            max_restarts=max_restarts,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        for part in (
            "distributed.elastic.multiprocessing.api",
            "distributed.elastic.agent.server.api",
            "multiprocessing",
        ):
            logger = logging.getLogger(f"torch.{part}")
            logger.setLevel(logging.ERROR)
            logger.addFilter(partial(_told_briefly, report))
        try:
            elastic_launch(config, _process)(work, num_processes, report)
        except SignalException:
            pass
        except ChildFailedError as error:
            if not report.exists():
                why = error.get_first_failure()[1].message
                raise LlarpError(f"a process of the run failed: {why}", _how_to_go_on(run_dir)) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if report.exists():
            told = json.loads(report.read_text("utf-8"))
            if told["exit_code"] == INTERRUPTED:
                return False
            kind = UsageProblem if told["exit_code"] == UsageProblem.exit_code else LlarpError
            raise kind(told["error"], told["hint"])
    return (run_dir / "run.json").is_file() and RunDirectory(run_dir).facts().get("status") == "finished"


def _process(work: Work, num_processes: int, report: Path) -> None:
    """One process that the launcher started."""
    if os.name == "posix":
        # Ctrl-C on a terminal reaches all that was started there. Only the launcher listens, and passes it on.
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if report.exists():
        return  # starting again does not mend it
    threads = max(1, torch.get_num_threads() // num_processes)
    torch.set_num_threads(threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # or accelerate sets its own
    try:
        _, finished = work()
    except LlarpError as error:
        told = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        write_text(report, json.dumps(told))
        raise SystemExit(error.exit_code) from error
    if not finished:
        # A function that returns waits for the launcher to ask what; one that is stopping does not.
        write_text(report, json.dumps({"exit_code": INTERRUPTED}))
        raise SystemExit(INTERRUPTED)


def _told_briefly(report: Path, record: logging.LogRecord) -> bool:
    """Leaves the launcher's words on a failed process out where we have our own, and its tracebacks everywhere."""
    record.exc_info = None
    return not report.exists()


def _how_to_go_on(path: Path) -> str | None:
    return f"go on from its last checkpoint: llarp train --resume {quoted(path)}" if RunDirectory(path).last() else None


def restarts() -> int:
    """How often a launcher has started this process's run again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def may_restart() -> bool:
    """Whether a launcher would."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def same_launch(run: RunDirectory) -> bool:
    """Whether a launcher that is still at work began the run: it starts it again when machines come or go."""
    identity = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return identity != "none" and run.facts().get("launch") == identity
