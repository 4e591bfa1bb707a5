"""A world without a simulator: seven surfaces in a row, for tests of tasks, arrangements and files."""

import numpy as np

from llarp_cli.errors import unknown
from llarp_cli.rearrangement.simulator import AssetSize, Scene
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, RECEPTACLES, SURFACES, TARGETS

SIZES = {
    asset: AssetSize(radius=30 + 5 * (number % 12), rest_height=20, height=40 + 10 * (number % 15))
    for number, asset in enumerate(sorted(CATEGORY_OF))
}


class TinyWorld:
    """Surfaces 3 m apart along x, each turned a little further, the robot standing 1 m before them."""

    name = "tiny"
    version = "1"
    sizes = SIZES
    vision = "none"

    def scene(self, name: str) -> Scene:
        if not name.startswith(("train-", "test-")):
            raise unknown("scene", name, self.test_scenes())
        surfaces = np.zeros((len(SURFACES), 7), np.int64)
        stands = np.zeros((len(TARGETS), 3), np.int64)
        for number, surface in enumerate(SURFACES):
            heading = 7_500 * number
            angle = np.deg2rad(heading / 1000)
            x, z, away = 3000 * number, 0, 1000
            half = (185, 125) if surface == "sink" else (600, 350)
            surfaces[number] = (x, 700, z, heading, *half, away)
            stands[5 + RECEPTACLES.index(surface)] = (
                round(x - np.sin(angle) * away),
                round(z + np.cos(angle) * away),
                heading - 90_000,
            )
        starts = np.array([[500 * i, 3000] for i in range(30)], np.int64)
        return Scene(name, np.zeros((len(RECEPTACLES), 7), np.int64), surfaces, stands, starts)

    def train_scene(self, index: int) -> str:
        return f"train-{index}"

    def test_scenes(self) -> tuple[str, ...]:
        return ("test-0", "test-1", "test-2")

    def simulator(self, homes: int, max_objects: int):
        raise NotImplementedError
