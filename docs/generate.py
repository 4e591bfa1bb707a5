"""Writes what pages repeat from the program: every key of a recipe, every command and option.

`python docs/generate.py` brings docs/recipes.md and docs/cli.md up to date, between their marks; `make docs` runs it,
and a test fails while they differ.
"""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from llarp_cli.cli import main
from llarp_cli.config import MOST, WIDEST, Recipe
from llarp_cli.recipes import section_of

DOCS = Path(__file__).parent

# Recipes


def recipe_keys() -> str:
    """A table for each section of a recipe: key, what it may be, default, meaning."""
    return "\n\n".join(_section(model, prefix) for prefix, model in _sections(Recipe, ""))


def _sections(model: type[BaseModel], prefix: str) -> list[tuple[str, type[BaseModel]]]:
    found = [(prefix, model)]
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is not None:
            found += _sections(section, f"{prefix}{name}.")
    return found


def _section(model: type[BaseModel], prefix: str) -> str:
    told = meanings(model)
    title = f"`{prefix.rstrip('.')}`" if prefix else "The recipe itself"
    rows = [f"### {title}", "", inspect.getdoc(model).partition("\n\nAttributes:")[0].replace("\n", " "), ""]
    rows += ["| key | may be | default | what |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if section_of(field) is None:
            kinds = ", ".join(dict.fromkeys(_kinds(field.annotation, field.metadata)))
            rows.append(f"| `{prefix}{name}` | {kinds} | {_default(field.default)} | {told[name]} |")
    return "\n".join(rows)


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key → what its section's docstring says of it.

    Raises:
        KeyError: a key of the section is not in its docstring.
    """
    _, _, listed = inspect.getdoc(model).partition("Attributes:\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", listed.rstrip()):
        names, _, text = entry.strip().partition(": ")
        for name in names.split(", "):
            told[name] = " ".join(text.split())
    missing = [name for name, field in model.model_fields.items() if name not in told and section_of(field) is None]
    if missing:
        raise KeyError(f"{model.__name__} says nothing of {', '.join(missing)}")
    return told


def _kinds(annotation: Any, bounds: Any = ()) -> list[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kinds(inner[0], inner[1:])
    if origin in (Union, types.UnionType):
        return [kind for part in inner if part is not type(None) for kind in _kinds(part, bounds)]
    if origin is Literal:
        return [f"`{value}`" for value in inner]
    if origin is tuple:
        kinds = _kinds(inner[0])
        return ["list of texts" if kinds == ["text"] else f"list of {', '.join(kinds)}"]
    if annotation is bool:
        return ["`true`", "`false`"]
    return [{str: "text", int: "whole number", float: "number"}[annotation] + _range(bounds)]


def _range(bounds: Any) -> str:
    found: dict[str, Any] = {}
    for bound in bounds:
        for one in getattr(bound, "metadata", [bound]):
            for name in ("ge", "gt", "le", "lt"):
                if hasattr(one, name):
                    found[name] = getattr(one, name)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    told = [f"{signs[name]} {value:g}" for name, value in found.items() if value not in (MOST, WIDEST)]
    return " " + " and ".join(told) if told else ""


def _default(value: Any) -> str:
    if value is None:
        return "left out"
    if isinstance(value, tuple):
        return "`[]`"
    if isinstance(value, int) and value >= 10_000:
        return f"`{value:_}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


# Commands


def commands() -> str:
    """A section for `llarp` and each of its commands."""
    return "\n\n".join(_command(main, "llarp", None))


def _command(command: click.Command, path: str, parent: click.Context | None) -> list[str]:
    context = click.Context(command, parent, info_name=path.rpartition(" ")[2], **command.context_settings)
    lines = [f"## `{path}`", "", _help(command.help or ""), ""]
    lines += ["```text", f"{path} {' '.join(command.collect_usage_pieces(context))}", "```"]
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        lines += ["", "| option | what |", "|---|---|"]
    for option in options:
        name, what = option.get_help_record(context)
        name = name.strip().replace("|", "\\|")
        lines.append(f"| `{name}` | {_cell(what)} |")
    made = ["\n".join(lines)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            made += _command(command.get_command(context, name), f"{path} {name}", context)
    return made


def _help(text: str) -> str:
    """A command's help as Markdown; what click leaves as it is (marked \\b) is code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{part[1:].strip()}\n```" if part.startswith("\b") else " ".join(part.split()) for part in paragraphs
    )


def _cell(text: str) -> str:
    return re.sub(r"([|<*])", r"\\\1", " ".join(text.split()))


# Pages

MADE = {"recipes.md": ("keys", recipe_keys), "cli.md": ("commands", commands)}


def page(name: str) -> str:
    """The page as it should be."""
    mark, make = MADE[name]
    text = (DOCS / name).read_text("utf-8")
    marks = re.compile(rf"(<!-- {mark}: made by docs/generate.py -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"docs/{name} lacks the marks of its {mark}")
    return marks.sub(lambda match: f"{match[1]}\n{make()}\n\n{match[2]}", text)


if __name__ == "__main__":
    for each in MADE:
        (DOCS / each).write_text(page(each), "utf-8")
