"""The worker's loop: one command, one answer, until the parent is gone."""

from __future__ import annotations

import os
import platform
import select
import socket
import threading
import time
import traceback

import numpy as np

from . import wire
from .engine import Engine, import_habitat
from .home import Home
from .survey import sizes, survey
from .trouble import Trouble

GRACE = 3.0
"""Seconds in which a worker whose parent is gone may end by itself."""


def serve(descriptor: int) -> None:
    """Answer a parent over a socket that was inherited."""
    end = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_parent, args=(end.fileno(),), daemon=True).start()
    worker = Worker(end)
    while True:
        message = wire.receive(end)
        if message is None or message["do"] == "stop":
            worker.stop()
            return
        try:
            answer = worker.obey(message)
        except Trouble as trouble:
            answer = {"trouble": trouble.kind, "about": trouble.about}
        except Exception as error:
            # Anything else is a mistake of ours or of the simulator's: said whole in the log, in short to the parent.
            traceback.print_exc()
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = str(error).strip().splitlines()
            about = (
                f"{type(error).__name__}: {text[0] if text else ''} ({os.path.basename(place.filename)}:{place.lineno})"
            )
            answer = {"trouble": "failed", "about": about}
        wire.send(end, answer)


def _end_with_parent(descriptor: int) -> None:
    """Once the other side is gone, however it went, end: a command that is under way would go on for nobody."""
    gone = select.poll()
    gone.register(descriptor, 0)  # a closed peer is told even where nothing is asked for
    gone.poll()
    time.sleep(GRACE)
    os._exit(0)


class Worker:
    """What commands do."""

    def __init__(self, end: socket.socket):
        self._end = end
        self._engine: Engine | None = None
        self._home: Home | None = None
        self._row = 0
        self._state: dict[str, np.ndarray] = {}
        self._pictures: dict[int, dict[str, np.ndarray]] = {}

    def obey(self, message: dict) -> dict:
        """Carry out one command.

        Raises:
            Trouble: in a way that the user can mend.
        """
        do = message.pop("do")
        return getattr(self, f"_do_{do}")(**message) or {}

    def stop(self) -> None:
        """Give everything back."""
        if self._engine is not None:
            self._engine.close()

    def _do_hello(self) -> dict:
        habitat_sim, _ = import_habitat()
        return {
            "habitat_sim": habitat_sim.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "cuda": bool(habitat_sim.bindings.cuda_enabled),
        }

    def _do_start(self, gpu: int) -> None:
        self._engine = Engine(gpu)

    def _do_survey(self, spec: dict) -> dict:
        self._engine.load(spec)
        return survey(self._engine)

    def _do_sizes(self, spec: dict, assets: list) -> dict:
        self._engine.load(spec)
        return {"sizes": sizes(self._engine, assets)}

    def _do_memory(self, arrays: list, row: int) -> None:
        self._state = self._received(arrays, row)
        self._home = Home(self._engine, self._state)
        self._row = row

    def _do_pictures(self, arrays: list, size: int) -> None:
        self._pictures[size] = self._received(arrays, self._row)

    def _received(self, arrays: list, row: int) -> dict[str, np.ndarray]:
        descriptor = wire.receive_memory(self._end)
        try:
            return {name: array[row] for name, array in wire.views(descriptor, arrays).items()}
        finally:
            os.close(descriptor)

    def _do_reset(self, spec: dict, geometry: dict, assets: list, rotations: list) -> None:
        self._home.reset(spec, geometry, assets, rotations)

    def _do_go_to(self, target: int) -> None:
        self._home.go_to(target)

    def _do_grasp(self, number: int) -> None:
        self._home.grasp(number)

    def _do_release(self, receptacle: int, spot: list) -> None:
        self._home.release(receptacle, spot)

    def _do_set_joint(self, joint: int, value: float) -> None:
        self._home.set_joint(joint, value)

    def _do_render(self, size: int) -> None:
        self._home.render(size, self._pictures[size]["rgb"])

    def _do_ids(self, size: int) -> None:
        self._home.ids(size, self._pictures[size]["ids"], self._state["visible"])

    def _do_depth(self, size: int) -> None:
        self._home.depth(size, self._pictures[size]["depth"])

    def _do_picture(self, size: int, camera: str) -> None:
        self._home.picture(size, camera, self._pictures[size]["picture"])
