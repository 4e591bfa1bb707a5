"""The nouns of Language Rearrangement: categories, assets, receptacles, joints.

Names and order are those of the reference release (Szot et al. 2024, appendix; Habitat 2.0 and
YCB asset names), so that an action index or an episode file means the same thing in both.
"""

from __future__ import annotations

ASSETS: dict[str, tuple[str, ...]] = {
    "ball": ("053_mini_soccer_ball", "054_softball", "055_baseball", "056_tennis_ball", "057_racquetball"),
    "clamp": ("050_medium_clamp", "051_large_clamp", "052_extra_large_clamp"),
    "hammer": ("048_hammer",),
    "screwdriver": ("043_phillips_screwdriver", "044_flat_screwdriver"),
    "padlock": ("038_padlock",),
    "scissors": ("037_scissors",),
    "block": ("036_wood_block", "070-a_colored_wood_blocks", "070-b_colored_wood_blocks"),
    "drill": ("035_power_drill",),
    "spatula": ("033_spatula",),
    "knife": ("032_knife",),
    "spoon": ("031_spoon",),
    "plate": ("029_plate",),
    "sponge": ("026_sponge",),
    "cleanser": ("021_bleach_cleanser",),
    "plum": ("018_plum",),
    "pear": ("016_pear",),
    "peach": ("015_peach",),
    "apple": ("013_apple",),
    "lemon": ("014_lemon",),
    "can": ("002_master_chef_can", "005_tomato_soup_can", "007_tuna_fish_can", "010_potted_meat_can"),
    "box": ("003_cracker_box", "004_sugar_box", "008_pudding_box", "009_gelatin_box"),
    "banana": ("011_banana",),
    "strawberry": ("012_strawberry",),
    "lego": tuple(f"073-{letter}_lego_duplo" for letter in "abcdefg"),
    "rubriks cube": ("077_rubiks_cube",),
    "book": tuple(f"frl_apartment_book_0{number}" for number in range(1, 7)),
    "bowl": (*(f"frl_apartment_bowl_0{number}" for number in (1, 2, 3, 6, 7)), "024_bowl"),
    "cup": (
        *(f"065-{letter}_cups" for letter in "abcdefghij"),
        *(f"frl_apartment_cup_0{number}" for number in (1, 2, 3, 5)),
    ),
    "mug": ("025_mug",),
    "orange": ("017_orange",),
    "lid": ("028_skillet_lid",),
    "toy airplane": tuple(f"072-{letter}_toy_airplane" for letter in "abcde"),
    "wrench": ("042_adjustable_wrench",),
}
"""Category → its assets; 33 categories, 81 assets, in skill order."""

CATEGORIES: tuple[str, ...] = tuple(ASSETS)
HELD_OUT_CATEGORIES: tuple[str, ...] = ("mug", "orange", "lid", "toy airplane", "wrench")
TRAIN_CATEGORIES: tuple[str, ...] = tuple(c for c in CATEGORIES if c not in HELD_OUT_CATEGORIES)
CATEGORY_OF: dict[str, str] = {asset: category for category, assets in ASSETS.items() for asset in assets}

RECEPTACLES: tuple[str, ...] = (
    "chair",
    "black table",
    "brown table",
    "TV stand",
    "sink",
    "right counter",
    "left counter",
    "sofa",
    "fridge",
    "left drawer",
    "right drawer",
)
"""The 11 places an object can be put on or in, in skill order."""

SURFACES: tuple[str, ...] = RECEPTACLES[1:8]
"""The 7 open-air receptacles: where objects start and where goals send them."""

JOINTS: tuple[str, ...] = ("left drawer", "middle drawer", "right drawer", "bottom drawer", "fridge")
"""What opens, in skill order: four counter drawers (metres) and the fridge door (radians)."""

OPEN_JOINT: tuple[float, ...] = (0.45, 0.45, 0.45, 0.45, 1.22)
"""Joint value after `open` (metres, metres, metres, metres, radians); 0 when closed."""

TARGETS: tuple[str, ...] = (*(f"{joint} handle" for joint in JOINTS), *RECEPTACLES)
"""The 16 things the robot can navigate to: the 5 handles, then the 11 receptacles."""
