"""Training homes: a plan drawn from a number.

The kitchen goes against a wall first, then walls between rooms, then furniture one piece after the other
wherever it collides with nothing and leaves free the floor that the robot needs before each piece.
"""

from __future__ import annotations

from llarp_cli.home.layouts import (
    FLOOR_COLOURS,
    FOOTPRINTS,
    FRIDGE_LEFT,
    FRIDGE_RIGHT,
    WALL_COLOURS,
    Layout,
    Piece,
    Point,
    Polygon,
    Room,
    Wall,
    clear,
    footprint,
    front_zone,
    inside,
    kitchen,
    kitchen_zone,
    outer_walls,
    rectangle,
    wall_rectangles,
    world,
)
from llarp_cli.home.styles import drawn
from llarp_cli.rearrangement.draws import Draws

GAP = 70
"""Free floor around every piece, millimetres."""

TRIES = 80


def procedural(number: int, attempt: int) -> Layout | None:
    """The plan of training home `number`, or None where this attempt finds no room for everything."""
    draws = Draws("home", number, attempt)
    width, depth = draws.between(6000, 9000), draws.between(7000, 11000)
    if _chance(draws, 50):
        width, depth = depth, width
    room = (-(width // 2), -(depth // 2), width - width // 2, depth - depth // 2)
    plan = Plan(room, draws)
    if not (plan.kitchen() and plan.inner_walls()):
        return None
    for kind in (*draws.shuffled(("black table", "brown table", "TV stand", "sofa")), "chair"):
        if not plan.furniture(kind):
            return None
    return plan.finished(f"home-{number}")


class Plan:
    """A plan in the making: what is placed, the floor it takes and the floor to keep free."""

    def __init__(self, room: Room, draws: Draws):
        self.room, self.draws = room, draws
        self.walls = list(outer_walls(room))
        self.pieces: list[Piece] = []
        self.taken: list[Polygon] = []
        self.zones: list[Polygon] = []
        self.hung: dict[int, list[tuple[int, int]]] = {side: [] for side in range(4)}

    def finished(self, name: str) -> Layout:
        """Decorated and painted."""
        self.decoration()
        draws = self.draws
        colours = (draws.choice(WALL_COLOURS), draws.choice(WALL_COLOURS), draws.choice(FLOOR_COLOURS))
        style = drawn(draws)
        self.furnishings()
        return Layout(name, self.room, tuple(self.walls), 4, tuple(self.pieces), colours, style)

    def along(self, side: int) -> int:
        """The length of an outer wall: 0 at low z, 1 at high x, 2 at high z, 3 at low x."""
        return self.room[2] - self.room[0] if side % 2 == 0 else self.room[3] - self.room[1]

    def against(self, side: int, along: int, off: int) -> tuple[int, int, int]:
        """x, z and heading of a thing whose back is to a wall: `along` from its left end as seen by who faces it,
        `off` from its surface."""
        x0, z0, x1, z1 = self.room
        corner = ((x0, z0), (x1, z0), (x1, z1), (x0, z1))[side]
        dx, dz = ((1, 0), (0, 1), (-1, 0), (0, -1))[side]
        return corner[0] + dx * along - dz * off, corner[1] + dz * along + dx * off, side * 90_000

    def beside(self, side: int, piece: Piece) -> int:
        """How far along a wall a piece is: the `along` of `against`."""
        x0, z0, x1, z1 = self.room
        return (piece.x - x0, piece.z - z0, x1 - piece.x, z1 - piece.z)[side]

    def fits(self, body: Polygon, zone: Polygon | None) -> bool:
        """Whether a piece and the floor before it lie in the room and disturb nothing."""
        areas = [body] if zone is None else [body, zone]
        return (
            all(inside(area, self.room) for area in areas)
            and clear(body, self.taken)
            and clear(body, self.zones)
            and (zone is None or clear(zone, self.taken))
        )

    def keep(self, piece: Piece, zone: Polygon | None = None) -> None:
        """Add a piece."""
        self.pieces.append(piece)
        self.taken.append(footprint(piece, GAP))
        if zone is not None:
            self.zones.append(zone)

    def kitchen(self) -> bool:
        """Counter and fridge against a wall, the fridge at either end."""
        draws = self.draws
        self.side = draws.below(4)
        fridge: Point = draws.choice((FRIDGE_LEFT, FRIDGE_RIGHT))
        before, behind = (2100, 1820) if fridge == FRIDGE_LEFT else (1250, 2670)
        length = self.along(self.side)
        margin = draws.choice((60, 450)) if _chance(draws, 40) else 450
        along = draws.between(margin + before, length - margin - behind)
        counter, cold = kitchen(*self.against(self.side, along, 345), fridge)
        zone = kitchen_zone(counter, cold)
        self.keep(counter, zone)
        self.keep(cold)
        self.hung[self.side].append((cold_at := along + fridge[0] - 450, cold_at + 900))
        return inside(zone, self.room)

    def inner_walls(self) -> bool:
        """Nothing, a wall that juts out, or a wall right across with a doorway."""
        draws = self.draws
        form = draws.below(100)
        if form < 40:
            return True
        side = draws.below(4)
        length, across = self.along(side), self.along((side + 1) % 4)
        at = draws.between(2600, length - 2600)
        if form < 65:
            ends, gaps = (0, draws.between(1000, across * 2 // 5)), ()
        else:
            door = draws.between(1100, 1600)
            start = draws.between(400, across - 400 - door)
            ends, gaps = (0, across), ((start, start + door),)
        x0, z0, _ = self.against(side, at, ends[0])
        x1, z1, _ = self.against(side, at, ends[1])
        if (x1, z1) < (x0, z0):
            # A wall is measured from its low end.
            x0, z0, x1, z1 = x1, z1, x0, z0
            gaps = tuple((across - end, across - start) for start, end in gaps)
        wall = Wall(x0, z0, x1, z1, gaps)
        parts = wall_rectangles(wall)
        if not all(clear(part, self.taken) and clear(part, self.zones) for part in parts):
            return False
        self.walls.append(wall)
        self.taken.extend(parts)
        self.hung[side].append((at - 100, at + 100))
        self.hung[(side + 2) % 4].append((length - at - 100, length - at + 100))
        self.zones.extend(_doorways(wall))
        return True

    def furniture(self, kind: str) -> bool:
        """One piece: mostly with its back to a wall, sometimes free in the room, sometimes turned."""
        draws = self.draws
        x0, x1, z0, _ = FOOTPRINTS[kind]
        by_wall = _chance(draws, 35 if kind == "chair" else 70)
        turned = _chance(draws, 25)
        for attempt in range(TRIES):
            if by_wall and attempt < TRIES // 2:
                side = draws.below(4)
                off = 15 - z0 + draws.choice((0, 0, 20, 80, 250))
                along = draws.between(x1 + 20, self.along(side) + x0 - 20)
                x, z, heading = self.against(side, along, off)
                if turned:
                    tilt = draws.between(-12_000, 12_000)
                    x, z, heading = *self.against(side, along, off + abs(tilt) * x1 // 50_000)[:2], heading + tilt
            else:
                x = draws.between(self.room[0] + 300, self.room[2] - 300)
                z = draws.between(self.room[1] + 300, self.room[3] - 300)
                heading = draws.below(360) * 1000 if turned else draws.below(4) * 90_000
            piece = Piece(kind, x, z, heading % 360_000)
            zone = front_zone(piece)
            if self.fits(footprint(piece), zone):
                self.keep(piece, zone)
                if kind == "TV stand" and by_wall and attempt < TRIES // 2 and not turned and _chance(draws, 70):
                    self.hang("TV panel", side, along, 600)
                return True
        return False

    def hang(self, kind: str, side: int, along: int, half: int) -> bool:
        """Something flat on an outer wall, where nothing hangs yet; whether it was."""
        start, end = along - half - 60, along + half + 60
        free = all(end <= low or high <= start for low, high in self.hung[side])
        if not free or start < 0 or end > self.along(side):
            return False
        self.hung[side].append((start, end))
        self.pieces.append(Piece(kind, *self.against(side, along, 0)))
        return True

    def decoration(self) -> None:
        """Windows and pictures on the walls, lamps and plants in free places, a rug."""
        draws = self.draws
        for kind, half, count in (("window", 640, draws.between(1, 4)), ("picture", 350, draws.between(0, 3))):
            for _ in range(count):
                side = draws.below(4)
                self.hang(kind, side, draws.between(half, self.along(side) - half), half)
        for kind in ("lamp", "plant", "lamp", "plant"):
            if _chance(draws, 45):
                self.ornament(kind)
        if _chance(draws, 60):
            x = draws.between(self.room[0] + 1200, self.room[2] - 1200)
            z = draws.between(self.room[1] + 1200, self.room[3] - 1200)
            rug = Piece("rug", x, z, draws.below(4) * 90_000)
            if clear(rectangle(rug, -900, 900, -600, 600), self.taken[:2]) and self.clear_of_walls(rug):
                self.pieces.append(rug)

    def furnishings(self) -> None:
        """What nobody can run into, drawn last so that it moves nothing: a door, more on the walls, mat and rug."""
        draws = self.draws
        counter, sofa = (next(one for one in self.pieces if one.kind == kind) for kind in ("kitchen counter", "sofa"))
        kitchen = [rectangle(counter, -1300, 1900, -450, 100)]
        for kind, half, count in (
            ("door", 500, 4),
            ("picture", 350, 2),
            ("print", 200, 3),
            ("clock", 160, 1),
            ("shelf", 400, 2),
        ):
            for _ in range(count):
                side = draws.below(4)
                along = draws.between(half, self.along(side) - half)
                area = rectangle(Piece(kind, *self.against(side, along, 0)), -half, half, 0, 900)
                doors = sum(piece.kind == "door" for piece in self.pieces)
                if clear(area, kitchen) if kind != "door" else doors == 0 and clear(area, [*self.taken, *kitchen]):
                    self.hang(kind, side, along, half)
        for kind in ("sofa", "black table", "brown table", "chair"):
            # On the wall that one looks at when one stands before the piece.
            piece = next(one for one in self.pieces if one.kind == kind)
            side = (piece.heading + 45_000) // 90_000 % 4
            for _ in range(3 if _chance(draws, 80) else 0):
                form, half = draws.choice((("picture", 350), ("print", 200), ("shelf", 400)))
                along = self.beside(side, piece) + draws.between(-350, 350)
                area = rectangle(Piece(form, *self.against(side, along, 0)), -half, half, 0, 900)
                if clear(area, kitchen) and self.hang(form, side, along, half):
                    break
        if _chance(draws, 60):
            self.pieces.append(Piece("mat", *world(counter, 0, 720), counter.heading))
        rug = Piece("sofa rug", *world(sofa, 0, 880), sofa.heading)
        area = rectangle(rug, -1150, 1150, -750, 750)
        others = [rectangle(one, -900, 900, -600, 600) for one in self.pieces if one.kind == "rug"]
        if _chance(draws, 75) and inside(area, self.room) and clear(area, [*others, *self.taken[:2], *self.inner()]):
            self.pieces.append(rug)

    def inner(self) -> list[Polygon]:
        """The floor that inner walls cover."""
        return [polygon for wall in self.walls[4:] for polygon in wall_rectangles(wall)]

    def clear_of_walls(self, rug: Piece) -> bool:
        """Whether a rug lies on one side of every inner wall."""
        area = rectangle(rug, -900, 900, -600, 600)
        return clear(area, self.inner())

    def ornament(self, kind: str) -> None:
        """A lamp or a plant, beside a wall."""
        draws = self.draws
        half = FOOTPRINTS[kind][1]
        for _ in range(TRIES // 4):
            side = draws.below(4)
            along = draws.between(half + 20, self.along(side) - half - 20)
            piece = Piece(kind, *self.against(side, along, half + 20))
            if self.fits(footprint(piece), None):
                self.keep(piece)
                return


def _doorways(wall: Wall) -> list[Polygon]:
    """The floor in and around a wall's doorways, to keep free."""
    heading = 0 if wall.z0 == wall.z1 else 90_000
    line = Piece("wall", wall.x0, wall.z0, heading)
    return [rectangle(line, start, end, -700, 700) for start, end in wall.gaps]


def _chance(draws: Draws, percent: int) -> bool:
    return draws.below(100) < percent
