"""Files that come with llarp, by name. Importing this is quick."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def recipe_folder() -> Path:
    """Where the shipped recipes lie: inside the package, or beside it in a checkout."""
    installed = PACKAGE / "recipes"
    return installed if installed.is_dir() else PACKAGE.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """The recipes, by name."""
    return _named(recipe_folder(), ".yaml")


def shipped_studies() -> dict[str, Path]:
    """The study files, by name."""
    return _named(recipe_folder() / "study", ".yaml")


def shipped_splits() -> dict[str, Path]:
    """The home's fixed episodes, by split."""
    return _named(PACKAGE / "rearrangement" / "data" / "home", ".jsonl.gz")


def _named(folder: Path, suffix: str) -> dict[str, Path]:
    return {path.name.removesuffix(suffix): path for path in sorted(folder.glob(f"*{suffix}"))}
