"""`--env gym:...`: a gymnasium environment without a plugin, by its registered name or from a module."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.quiet import QUIET
from llarp_cli.errors import LlarpError, UsageProblem

REGISTERED = re.compile(r"(?:[\w.]+:)?(?:[\w.-]+/)?[\w.-]+-v\d+")
"""A name as `gymnasium.make` takes it."""


@dataclass(frozen=True)
class Scheme:
    """Environments of which each has a name behind a colon; what an entry point of `llarp.environments` may name too.

    Attributes:
        summary: how such names look.
        find: what is behind the colon → the environment.
        requires: importable modules that it needs beyond the core's.
        extra: the pip extra that brings them.
    """

    summary: str
    find: Callable[[str], GymEnvironment]
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def at(self, name: str) -> GymEnvironment:
        """The environment of that name."""
        return self.find(name)


def find_environment(name: str) -> GymEnvironment:
    """What `--env gym:NAME` means.

    Args:
        name: `ID-v0` or `MODULE:ID-v0`, as for `gymnasium.make`; or `MODULE:OBJECT`, a `GymEnvironment` or a class of
            gymnasium environments. A module is looked for in the working directory too.

    Raises:
        UsageProblem: there is none, or it cannot be used.
        LlarpError: the module is broken.
    """
    typed = f"gym:{name}"
    if REGISTERED.fullmatch(name):
        module, _, identity = name.rpartition(":")
        if module:
            _import(module, typed)
        if identity not in gymnasium.registry:
            raise UsageProblem(
                f"gymnasium knows no environment '{identity}'",
                "name the module that registers it: gym:MODULE:ID-v0; or the object: gym:MODULE:OBJECT",
            )
        return derived(typed, lambda: _made(identity))
    module, colon, attribute = name.partition(":")
    if not colon or not module or module.startswith(".") or not attribute:
        raise UsageProblem(f"'{typed}' names no environment", SCHEME)
    found: Any = _import(module, typed)
    for part in attribute.split("."):
        if part not in dir(found):
            raise UsageProblem(f"module '{module}' has no '{attribute}'", SCHEME)
        found = getattr(found, part)
    if isinstance(found, GymEnvironment):
        return found
    if isinstance(found, type) and issubclass(found, gymnasium.Env):
        return derived(typed, found)
    raise UsageProblem(
        f"'{typed}' is {type(found).__name__}", "name a GymEnvironment, or a class of gymnasium environments"
    )


def derived(name: str, make: Callable[[], gymnasium.Env[Any, Any]]) -> GymEnvironment:
    """A description read off an environment: its one picture, its one text, its discrete actions, and the steps that
    `gymnasium.register` was told or its attribute `max_steps`.

    Raises:
        UsageProblem: it does not tell these.
    """
    try:
        with QUIET:
            env = make()
            env.close()
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise LlarpError(f"environment '{name}' cannot be made: {told}", "llarp --debug ... shows where") from error
    seen, done = env.observation_space, env.action_space
    parts = seen.spaces if isinstance(seen, spaces.Dict) else {}
    pictures = [key for key, space in parts.items() if _shows_pictures(space)]
    texts = [key for key, space in parts.items() if isinstance(space, spaces.Text)]
    steps = env.spec.max_episode_steps if env.spec is not None else None
    if steps is None and "max_steps" in dir(env.unwrapped):
        steps = int(env.unwrapped.max_steps)  # type: ignore[attr-defined]
    lacking = (
        (len(pictures) != 1, "one picture (Box of uint8, [H, W, 3])"),
        (len(texts) != 1, "one Text"),
        (not isinstance(done, spaces.Discrete) or done.start != 0, "Discrete actions from 0"),
        (steps is None, "max_episode_steps"),
    )
    wanting = [what for lacks, what in lacking if lacks]
    if wanting:
        raise UsageProblem(
            f"environment '{name}' does not tell its {' and '.join(wanting)}",
            "describe it with a GymEnvironment: docs/environments.md",
        )
    assert isinstance(done, spaces.Discrete) and steps is not None
    return GymEnvironment(
        name=name,
        make=make,
        actions=tuple(f"action {number}" for number in range(int(done.n))),
        max_steps=steps,
        rgb=pictures[0],
        instruction=texts[0],
    )


def _shows_pictures(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)


def _made(identity: str) -> gymnasium.Env[Any, Any]:
    """A registered environment, with the render mode that films want if it takes one."""
    mode = _mode(gymnasium.spec(identity))
    try:
        return gymnasium.make(identity, render_mode=mode)
    except TypeError:
        if mode is None:
            raise
        return gymnasium.make(identity)


def _mode(spec: Any) -> str | None:
    """The render mode that films want, where an environment class tells that it has it."""
    try:
        creator = gymnasium.envs.registration.load_env_creator(spec.entry_point)
    except Exception:  # whatever is wrong with it, making it says better
        return None
    metadata = vars(creator).get("metadata") or {}
    return "rgb_array" if "rgb_array" in metadata.get("render_modes", ()) else None


def _import(module: str, typed: str) -> Any:
    """A module of the user's, from the working directory or from what is installed.

    Raises:
        UsageProblem: there is none.
        LlarpError: it is broken.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise UsageProblem(f"'{typed}': there is no module '{module}' here", SCHEME) from error
        raise UsageProblem(f"'{typed}' needs the package '{error.name}'", f"pip install '{error.name}'") from error
    except LlarpError:
        raise
    except (Exception, SystemExit) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise LlarpError(f"'{typed}' failed on import: {told}", "llarp --debug ... shows where") from error


SCHEME = "type gym:ID-v0, gym:MODULE:ID-v0 or gym:MODULE:OBJECT"

gym = Scheme(SCHEME, find_environment)
