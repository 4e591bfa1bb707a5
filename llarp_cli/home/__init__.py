"""The embedded home: procedural and released scenes, drawn on the processor, nothing to download.

`world` is the entry point; importing this module compiles nothing.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from llarp_cli.rearrangement.simulator import AssetSize, Scene

if TYPE_CHECKING:
    from llarp_cli.home.simulator import HomeSimulator


class HomeWorld:
    """The `World` of the embedded home."""

    name = "home"
    version = "2"
    vision = "home"

    @cached_property
    def sizes(self) -> dict[str, AssetSize]:
        """Asset → AssetSize."""
        from llarp_cli.home.shapes import ASSET_SIZES

        return ASSET_SIZES

    def scene(self, name: str) -> Scene:
        """The geometry of "home-<number>", of a released scene, or of one whose name tells its plan (`recovered`).

        Raises:
            UsageProblem: there is no such scene.
        """
        from llarp_cli.home.scenes import furnished

        return furnished(name).scene

    def train_scene(self, index: int) -> str:
        """The name of a procedural scene: "home-<index>"."""
        return f"home-{index}"

    def test_scenes(self) -> tuple[str, ...]:
        """The 34 released scenes."""
        from llarp_cli.home.released import released_names

        return released_names()

    def simulator(self, homes: int, max_objects: int) -> HomeSimulator:
        """N homes, none reset yet."""
        from llarp_cli.home.simulator import HomeSimulator

        return HomeSimulator(homes, max_objects)


world = HomeWorld()
