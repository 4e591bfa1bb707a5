"""What CONTRIBUTING.md promises is so: the map is whole, floors are those that are tested, versions agree."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from llarp_cli import __version__
from llarp_cli.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "llarp_cli"


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text("utf-8").splitlines()


def on_the_map(table: int) -> list[Path]:
    """The paths that a table of CONTRIBUTING.md names, those without a folder in the folder of the one before."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A map of the house")[2].partition("\n## ")[0]
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    rows = [row.split("|")[1] for row in tables[table - 1][2:]]
    found, inside = [], PACKAGE / "learning" if table > 1 else ROOT
    for row in rows:
        folder = inside
        for name in re.findall(r"`([^`]+)`", row):
            found.append(folder / name)
            folder = found[-1].parent if "/" in name.rstrip("/") else folder
    return found


def test_every_package_and_module_is_on_the_map():
    named = {path.resolve() for path in on_the_map(1)}
    assert not {str(path) for path in named if not path.exists()}
    there = {path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "recipes")}
    there |= {ROOT / name for name in ("plugins", "recipes", "tests", "benchmarks", "docs")}
    assert there <= named, {path.name for path in there - named}


def test_every_file_of_learning_is_on_the_map():
    named = {path.name for path in on_the_map(2)}
    assert named == {path.name for path in (PACKAGE / "learning").glob("*.py")} - {"__init__.py"}


def test_what_is_named_can_be_made():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {target for line in re.findall(r"(?<![\w-])make ((?:[a-z-]+ ?)+)", text) for target in line.split()}
    for target in targets & {"lint", "test", "test-slow", "test-oldest", "docs", "coverage", "dist", "format"}:
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert {"test-oldest", "coverage", "dist"} <= targets


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs tomllib")
def test_floors_are_the_versions_that_are_tested():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [
        *project["dependencies"],
        *(one for name in ("minilm", "babyai", "quantized", "lora", "web") for one in extras[name]),
    ]
    floors = dict(re.match(r"([\w.-]+)>=([\w.]+),<", one).groups() for one in needed if ";" not in one)
    del floors["torch"]
    tested = dict(line.split("==") for line in lines("constraints-oldest.txt") if not line.startswith("#"))
    assert set(floors) == set(tested)
    for name, floor in floors.items():
        assert f"{tested[name]}.0.0".startswith(f"{floor}."), name
        assert not tested[name].removeprefix(floor).strip(".0"), name


def test_the_changelog_is_in_order_and_ends_with_this_version():
    titles = [line for line in lines("CHANGELOG.md") if line.startswith("## ")]
    assert titles[0] == "## [Unreleased]" or not titles[0].startswith("## [U")
    released = [re.fullmatch(r"## \[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", title) for title in titles[1:]]
    assert all(released), titles
    numbers = [tuple(map(int, one.groups())) for one in released]
    assert numbers == sorted(numbers, reverse=True)
    if numbers:
        assert ".".join(map(str, numbers[0])) == __version__


def test_the_citation_is_of_this_version():
    assert f"version: {__version__}" in lines("CITATION.cff")


def test_the_changelog_names_every_command():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert not {command for command in COMMANDS if f"`llarp {command}" not in text}
