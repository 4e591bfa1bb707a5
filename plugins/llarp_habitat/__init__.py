"""The real Habitat behind the benchmark: `--env habitat`, or `--env habitat:<scene description>`.

`world` is the entry point. habitat-sim is not imported here but in worker processes, which may run in an interpreter
of their own.
"""

from __future__ import annotations

from llarp_habitat.world import HabitatWorld

world = HabitatWorld()
