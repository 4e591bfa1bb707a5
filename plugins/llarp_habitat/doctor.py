"""What keeps Habitat from being used on this machine, and what to type: the part of `llarp doctor` about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llarp_cli.errors import LlarpError
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF
from llarp_habitat import failures, homes
from llarp_habitat.connection import Worker
from llarp_habitat.machine import cache

if TYPE_CHECKING:
    from llarp_habitat.world import HabitatWorld

Problem = tuple[str, str]
"""What is wrong, and what to type."""


def problems(world: HabitatWorld, thorough: bool) -> list[Problem]:
    """What is wrong, the first thing of each kind; empty where everything is there.

    Args:
        world: with its scenes.
        thorough: also draw a picture, and look at a scene: that takes seconds.
    """
    try:
        machine = world.machine
    except LlarpError as error:
        return [_told(error)]
    found: list[Problem] = []
    worker = None
    try:
        worker = Worker(machine)
        worker.ask("hello")
        if thorough:
            # A scene that needs no download: whether anything can be drawn at all.
            worker.ask("start", gpu=machine.gpu)
            worker.ask("sizes", spec=homes.scene_spec(homes.made(cache()), "home-0"), assets=[])
    except LlarpError as error:
        found.append(_told(error))
    finally:
        if worker is not None:
            worker.close()
    found += _assets(world)
    if thorough and not found:
        try:
            world.known(world.train_scene(0))
            world.sizes  # noqa: B018 (measured here, or it says what is missing)
        except LlarpError as error:
            found.append(_told(error))
        finally:
            world.close()
    return found


def _assets(world: HabitatWorld) -> list[Problem]:
    """Files that are not there."""
    if world.is_homes:
        return []
    try:
        description = world.description
    except LlarpError as error:
        return [_told(error)]
    written, data = description.written, world.machine.data
    files = [*written.objects, *(thing.urdf for thing in written.add if thing.urdf)]
    files += [written.dataset] if written.dataset != "default" else list(description.scenes())
    missing = [str(description.path(file)) for file in files if not description.path(file).exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return [(f"'{missing[0]}'{more} is not there", failures.KINDS["no assets"][1].replace("{data}", str(data)))]
    if written.home_objects or not written.objects:
        return []
    folders = [description.path(folder) for folder in written.objects]
    if written.dataset != "default":
        folders.append(description.path(written.dataset).parent)
    there = {path.name.split(".")[0] for folder in folders for path in folder.rglob("*.object_config.json")}
    lacking = [asset for asset in CATEGORY_OF if written.assets.get(asset, asset) not in there]
    if not lacking:
        return []
    return [
        (
            f"{len(lacking)} of {len(CATEGORY_OF)} objects have no template, {lacking[0]} among them",
            failures.DOWNLOAD.replace("{data}", str(data)) + ", or home_objects: true in the description",
        )
    ]


def _told(error: LlarpError) -> Problem:
    return error.message, error.hint or ""
