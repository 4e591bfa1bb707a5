"""Other names for the surfaces and the fridge, none of whose words is ever trained on."""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    "black table": ("ebony desk", "onyx desk", "pitch-dark desk"),
    "brown table": ("chestnut desk", "walnut desk", "wooden desk"),
    "TV stand": ("television unit", "media console", "entertainment cabinet"),
    "sink": ("basin", "washbasin", "washbowl"),
    "right counter": ("right-hand worktop", "countertop on the right", "right-hand benchtop"),
    "left counter": ("left-hand worktop", "countertop on the left", "left-hand benchtop"),
    "sofa": ("couch", "settee", "loveseat"),
    "fridge": ("refrigerator", "icebox", "cooling cupboard"),
}
"""Receptacle → names never used in training; only "left" and "right" have no other word."""
