"""Entry points by name: backbones, vision encoders and environments, imported only when chosen.

The shipped plugins are found in the same way as anybody's. Names with a colon, such as
`hf:ORG/NAME`, are the entry point before the colon with the rest as its argument; of an environment, its scenes.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from llarp_cli.errors import LlarpError, UsageProblem, unknown

GROUPS = {"backbone": "llarp.backbones", "vision encoder": "llarp.vision", "environment": "llarp.environments"}
"""What is looked up → its entry-point group."""

OWN_DISTRIBUTION = "llarp"

SLOW_IMPORT = 10.0
"""Seconds after which a plugin that is still being imported is named. How long is too long, nobody can say for all
plugins and disks; with a name, one can press Ctrl-C and uninstall it."""


@dataclass(frozen=True)
class Plugin:
    """An installed entry point, not yet imported.

    Attributes:
        name: what the user types.
        kind: a key of GROUPS.
        target: "module:object".
        distribution, version: where it comes from.
        shadowed: a shipped plugin of the same name is used in its place.
    """

    name: str
    kind: str
    target: str
    distribution: str
    version: str
    shadowed: bool = False

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{self.kind} '{self.name}' (plugin {self.distribution} {self.version})"


def _entry_points(group: str) -> Iterator[tuple[metadata.EntryPoint, str, str]]:
    """The entry points of a group, each with its distribution's name and version.

    One distribution at a time, so that one whose metadata is broken hides nobody else's plugins. Of a
    distribution found twice, the first on the path counts.
    """
    places: dict[str, Any] = {}
    for distribution in metadata.distributions():
        try:
            entries = distribution.entry_points.select(group=group)
            if not entries:
                continue
            name, version = str(distribution.metadata["Name"]), str(distribution.version)
        except Exception:  # unreadable metadata fails in many ways
            continue
        if places.setdefault(name, distribution) is distribution:
            yield from ((entry, name, version) for entry in entries)


def plugins(kind: str) -> list[Plugin]:
    """All installed plugins of a kind, by name, nothing imported.

    `LLARP_PLUGINS=off` hides everything but the shipped ones; `LLARP_PLUGINS=a,b` admits those distributions.
    """
    admitted = os.environ.get("LLARP_PLUGINS")
    found: dict[tuple[str, str, str], Plugin] = {}
    for entry, distribution, version in _entry_points(GROUPS[kind]):
        own = distribution == OWN_DISTRIBUTION
        if admitted is not None and not own and distribution not in admitted.split(","):
            continue
        found[entry.name, entry.value, distribution] = Plugin(entry.name, kind, entry.value, distribution, version)
    shipped = {plugin.name for plugin in found.values() if plugin.distribution == OWN_DISTRIBUTION}
    listed = [
        Plugin(p.name, p.kind, p.target, p.distribution, p.version, shadowed=True)
        if p.distribution != OWN_DISTRIBUTION and p.name in shipped
        else p
        for p in found.values()
    ]
    return sorted(listed, key=lambda p: (p.name, p.shadowed, p.distribution))


def find(kind: str, name: str) -> Plugin:
    """The plugin of that name.

    Raises:
        UsageProblem: there is none, or two distributions other than ours offer it.
    """
    stem = name.split(":", 1)[0]
    listed = plugins(kind)
    candidates = [p for p in listed if p.name == stem and not p.shadowed]
    if not candidates:
        raise unknown(kind, name, {p.name for p in listed}, listed_by="llarp plugins")
    if len({p.target for p in candidates}) > 1:
        rivals = " and ".join(sorted(p.distribution for p in candidates))
        raise UsageProblem(
            f"{kind} '{stem}' is offered by {rivals}",
            f"uninstall one, or name the one to admit: LLARP_PLUGINS={candidates[0].distribution}",
        )
    plugin = candidates[0]
    if ":" in name and kind != "environment" and plugin.distribution == OWN_DISTRIBUTION and plugin.name != "hf":
        raise _nothing_behind(plugin, name)
    return plugin


def _nothing_behind(plugin: Plugin, name: str) -> UsageProblem:
    return UsageProblem(f"{plugin.kind} '{plugin.name}' has nothing behind a colon: '{name}'", f"write {plugin.name}")


def load(kind: str, name: str) -> Any:
    """Import and return what the plugin's entry point names.

    Raises:
        UsageProblem: no such plugin, or a package it needs is not installed.
        LlarpError: the plugin itself fails on import.
    """
    plugin = find(kind, name)
    module, _, attribute = plugin.target.partition(":")
    try:
        with _watched(plugin, module):
            value: Any = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            value = getattr(value, part)
        _, colon, argument = name.partition(":")
        if kind != "environment" or not colon:
            return value
        if not hasattr(value, "at"):
            raise _nothing_behind(plugin, name)
        return value.at(argument)
    except LlarpError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None:
            raise UsageProblem(f"{plugin.where} lacks a package: {error}") from error
        if f"{module}.".startswith(f"{error.name}."):
            why = f"{plugin.where} lacks its own module '{error.name}'"
            raise UsageProblem(why, f"install {plugin.distribution} again") from error
        raise UsageProblem(f"{plugin.where} needs the package '{error.name}'", f"pip install '{error.name}'") from error
    except (Exception, SystemExit) as error:
        raise LlarpError(f"{plugin.where} failed on import: {error!r}", "report it to the plugin's author") from error


def build(kind: str, name: str, options: Any, device: Any) -> Any:
    """Load a plugin and call its own `load`: a backbone or a vision encoder, ready for use.

    Raises:
        LlarpError: what the plugin reports; of somebody else's plugin, whatever goes wrong in it.
    """
    plugin = find(kind, name)
    loaded = load(kind, name)
    try:
        return loaded.load(options, device)
    except LlarpError:
        raise
    except (Exception, SystemExit) as error:
        if plugin.distribution == OWN_DISTRIBUTION:
            raise
        raise LlarpError(f"{plugin.where} failed: {error!r}", "report it to the plugin's author") from error


@contextmanager
def _watched(plugin: Plugin, module: str) -> Iterator[None]:
    """Name the plugin on stderr if its import takes long."""

    def tell() -> None:
        print(
            f"still importing {module} of {plugin.where} after {SLOW_IMPORT:.0f} seconds; Ctrl-C stops, "
            "LLARP_PLUGINS=off leaves out all plugins but llarp's own",
            file=sys.stderr,
            flush=True,
        )

    timer = threading.Timer(SLOW_IMPORT, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
