"""From what a worker complains of, or last said before it died, to one line and what to type."""

from __future__ import annotations

import re

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_habitat.machine import GPU, PYTHON

INSTALL = (
    "in a Python 3.9: conda install -c conda-forge -c aihabitat habitat-sim headless withbullet; see docs/habitat.md"
)
"""What gets habitat-sim. 0.3.4 exists as source only, and calls itself 0.3.3."""
DOWNLOAD = "python -m habitat_sim.utils.datasets_download --uids replica_cad_dataset ycb --data-path {data}"
"""What gets ReplicaCAD and the YCB objects."""

KINDS: dict[str, tuple[str, str]] = {
    "no habitat-sim": (
        "the interpreter {python} has no habitat-sim",
        f"{INSTALL}; where it is in another environment: export {PYTHON}=/path/to/its/python",
    ),
    "broken habitat-sim": ("habitat-sim in {python} cannot be imported: {about}", INSTALL),
    "numpy": (
        "habitat-sim in {python} was built for another numpy: {about}",
        "in its environment: pip install 'numpy==1.26.4' (habitat-lab's), or build habitat-sim against the numpy there",
    ),
    "version": ("habitat-sim in {python} is {about}, not 0.3.3 or 0.3.4", INSTALL),
    "no bullet": (
        "habitat-sim in {python} was built without Bullet, which moves drawers and doors",
        "conda: the package with withbullet; source: python setup.py install --headless --bullet",
    ),
    "no assets": ("'{about}' is not there", f"{DOWNLOAD}, or name the folder: export LLARP_HABITAT_DATA=/path/to/data"),
    "no template": (
        "no object template is called '{about}'",
        f"name its folder in the description's objects, or its template in assets; for YCB: {DOWNLOAD}",
    ),
    "bad file": ("habitat-sim cannot load '{about}'", "look at the file, or at the template that names it"),
    "no receptacles": (
        "no object of scene '{about}' has annotated receptacles",
        "give boxes in the description, as docs/habitat.md tells, or use another scene",
    ),
    "no receptacle": ("the scene has no receptacle {about}", "correct the description: parent handle|name"),
    "no object": ("the scene has no object '{about}'", "correct the description: an instance's handle, * for any text"),
    "no link": ("there is no link {about}", "correct the description"),
    "no joint": ("nothing slides or turns link {about}", "correct the description: the link that the joint moves"),
    "no ground": ("nothing in scene '{about}' can be stood on", "use a scene with a floor, in metres, y up"),
}
"""Kind of trouble → what is said, and what to type."""

DEATHS: tuple[tuple[str, str, str], ...] = (
    (
        r"unable to find (?:CUDA|EGL) device",
        "habitat-sim cannot draw on device {gpu}: {line}",
        f"export {GPU}=-1 to draw without a device, or the index of one that EGL lists",
    ),
    (
        r"GLX context does not|DISPLAY not detected",
        "habitat-sim in {python} was built to draw on a display: {line}",
        "conda: the package with headless; source: python setup.py install --headless --bullet",
    ),
    (
        r"WindowlessContext|Windowless\w*Application|eglGetDisplay|EGL|cannot open display|GLX",
        "habitat-sim cannot draw here, EGL does not work: {line}",
        "apt install libegl1 libgl1-mesa-dri (software) or the NVIDIA driver's libnvidia-gl;"
        f" export {GPU}=-1 where there is no device",
    ),
    (r"out of memory|bad_alloc|Cannot allocate", "habitat-sim ran out of memory: {line}", "use fewer environments"),
    (
        r"ModuleNotFoundError|ImportError|No such file or directory",
        "the worker in {python} does not start: {line}",
        f"export {PYTHON}=/path/to/python of an environment with numpy and habitat-sim",
    ),
)
"""What the log of a dead worker holds → what is said, and what to type."""


def told(kind: str, about: str, python: str, data: object) -> LlarpError:
    """The problem that a worker reported."""
    if kind not in KINDS:
        return LlarpError(f"habitat-sim failed: {about}", "`llarp doctor --env habitat` tells what is missing")
    message, hint = KINDS[kind]
    return UsageProblem(message.format(python=python, about=about), hint.replace("{data}", str(data)))


def died(log: str, status: int | None, python: str, gpu: int) -> LlarpError:
    """The problem of a worker that is gone."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern, message, hint in DEATHS:
        line = next((line for line in reversed(lines) if re.search(pattern, line)), None)
        if line is not None:
            return UsageProblem(message.format(line=_short(line), python=python, gpu=gpu), hint)
    last = f": {_short(lines[-1])}" if lines else ""
    return LlarpError(
        f"habitat-sim in {python} ended with status {status}{last}",
        "`llarp doctor --env habitat` tells what is missing",
    )


def _short(line: str) -> str:
    return line if len(line) <= 200 else line[:197] + "..."
