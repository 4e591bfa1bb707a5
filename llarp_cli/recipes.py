"""Recipes: finding the file, applying what was typed, and remembering where each value came from.

Precedence: flag > override > recipe > default. Every problem is found and reported at once.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from llarp_cli import registry
from llarp_cli.config import Recipe
from llarp_cli.errors import SeveralProblems, UsageProblem, unknown
from llarp_cli.files import is_file
from llarp_cli.shipped import shipped_recipes

Provenance = dict[str, str]
"""Dotted key → where its value came from; keys left at their default are absent."""

COMMAND_LINE = "command line"

MAX_BYTES, MAX_DEPTH = 64 << 10, 16
"""Of a recipe and of a value on the command line."""
MAX_BITS = 1024
"""Of a whole number: what a floating-point one may be as large as."""
MAX_PROBLEMS = 10
"""Mistakes told at once."""


def summary(path: Path) -> str:
    """The first line of a recipe's opening comment."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip()


def find_recipe(name_or_path: str) -> Path:
    """The file a recipe's name or path stands for; a path has a suffix or a separator.

    Raises:
        UsageProblem: there is none.
    """
    path = Path(name_or_path)
    if path.suffix or os.sep in name_or_path:
        if not is_file(path):
            raise UsageProblem(
                f"no recipe file '{shortened(name_or_path)}'", "`llarp recipes NAME > my.yaml` starts one"
            )
        return path
    shipped = shipped_recipes()
    if name_or_path not in shipped:
        raise unknown("recipe", name_or_path, shipped, listed_by="llarp recipes")
    return shipped[name_or_path]


def recipe_text(name_or_path: str) -> str:
    """A recipe as it is written.

    Raises:
        UsageProblem: there is none, or it is no text.
    """
    data = _read(find_recipe(name_or_path), name_or_path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageProblem(f"cannot read recipe '{name_or_path}': byte {error.start + 1} is not UTF-8") from error


def load_recipe(
    name_or_path: str, overrides: Sequence[str] = (), flags: Mapping[str, tuple[str, Any]] | None = None
) -> tuple[Recipe, Provenance]:
    """A recipe with what was typed applied to it.

    A recipe's section `policies` says what single policies need otherwise, e.g. `policies: {lstm: {ppo: {lr: 1e-4}}}`:
    it counts where that policy is chosen, and is gone from the result.

    Args:
        name_or_path: a shipped recipe's name or a YAML file.
        overrides: `key.sub=value` each, the value read as YAML.
        flags: dotted key → (the flag as typed, its value), e.g. {"steps": ("--steps", 2000)}.

    Raises:
        UsageProblem: no such recipe, or a key or value that cannot be (SeveralProblems for more than one).
    """
    path = find_recipe(name_or_path)
    # A file is named as it was typed; a shipped recipe as in the repository.
    source = name_or_path if path == Path(name_or_path) else f"recipes/{path.name}"
    tree = _mapping(_read(path, source), source)
    special = _for_policies(tree.pop("policies", None), source)
    typed: dict[str, tuple[Any, str]] = {}
    texts: dict[str, str] = {}
    problems: list[UsageProblem] = []
    for override in overrides:
        try:
            key, value = _parse_override(override)
        except UsageProblem as problem:
            problems.append(problem)
            continue
        texts[key] = override.partition("=")[2]
        for leaf, leaf_value in _leaves(value, key):
            typed[leaf] = (leaf_value, COMMAND_LINE)
    for key, (flag, value) in (flags or {}).items():
        typed[key] = (value, flag)
    given = _given(tree, source)
    policy, _ = (given | typed).get("policy", (Recipe.model_fields["policy"].default, ""))
    given |= special.get(str(policy), {}) | typed
    return _validate(given, texts, problems), {key: source for key, (_, source) in given.items()}


def _for_policies(section: Any, source: str) -> dict[str, dict[str, tuple[Any, str]]]:
    """Policy → what a recipe's section `policies` gives for it, each with where it came from."""
    known = get_args(Recipe.model_fields["policy"].annotation)
    if section is not None and not isinstance(section, dict):
        raise UsageProblem(f"policies = {_scalar(section)} ({source}): should be policies with their keys")
    special: dict[str, dict[str, tuple[Any, str]]] = {}
    for policy, own in (section or {}).items():
        if policy not in known:
            raise UsageProblem(
                f"policies.{policy} ({source}): there is no such policy", f"there are {', '.join(known)}"
            )
        place = f"{source}, policies.{policy}"
        if own is not None and not isinstance(own, dict):
            raise UsageProblem(f"{_scalar(own)} ({place}): should be recipe keys with their values")
        special[policy] = {key: (value, place) for key, value in _leaves(own or {}, "")}
        keys = recipe_keys()
        for key in special[policy]:
            if key not in keys:
                raise _unknown_key(key, place, keys)
            if key == "policy":
                raise UsageProblem(f"policy ({place}): it is chosen already", "leave it out")
    return special


def recipe_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> dict[str, type[BaseModel] | None]:
    """Every dotted key of a recipe, with the section it names, or None for a value."""
    keys: dict[str, type[BaseModel] | None] = {}
    for name, field in model.model_fields.items():
        section = section_of(field)
        keys[prefix + name] = section
        if section is not None:
            keys.update(recipe_keys(section, f"{prefix}{name}."))
    return keys


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key names; None for a value."""
    annotation = field.annotation
    if get_origin(annotation) is not None:  # tuple[str, ...], which is a type in Python 3.10 as well, and no class
        return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def to_yaml(recipe: Recipe, provenance: Provenance | None = None) -> str:
    """A recipe with every key written out; with `provenance`, a comment says where each value came from."""
    lines: list[str] = []
    for key, section in recipe_keys().items():
        *path, name = key.split(".")
        if section is not None:
            lines.append(f"{'  ' * len(path)}{name}:")
            continue
        value: Any = recipe
        for part in (*path, name):
            value = getattr(value, part)
        line = f"{'  ' * len(path)}{name}: {_scalar(value)}"
        if provenance is not None:
            line = f"{line:<40} # {provenance.get(key, 'default')}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def arithmetic(recipe: Recipe, num_processes: int = 1) -> list[str]:
    """What follows from a recipe's numbers, a line each: update size, updates, checkpoints."""
    rows = recipe.num_envs * num_processes
    update = rows * recipe.ppo.rollout_steps
    updates = -(-recipe.steps // update)
    imitation = min(updates, -(-recipe.imitation.steps // update))
    every = -(-recipe.checkpoint.every // update)
    return [
        f"update = {recipe.num_envs} environments x {num_processes} processes x {recipe.ppo.rollout_steps} steps"
        f" = {update} environment steps",
        f"updates = {updates} ({imitation} of imitation, then {updates - imitation} of PPO)"
        f" = {updates * update} environment steps",
        f"checkpoint every {every} updates = {every * update} environment steps",
    ]


class UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML of bounded depth, without aliases, by which a few lines can stand for more than memory holds, and in
    which a key given twice is a mistake."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "write the value again in place of an alias", mark)
        if self.depth == MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, f"nested more than {MAX_DEPTH} deep", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > MAX_BITS:
                raise ValueError(f"a number of more than {MAX_BITS} bits")
            return value
        except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
            # A date with a 13th month, a number of ten thousand digits.
            reason = f"not a value: {shortened(error)}"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict, set)):
                raise yaml.constructor.ConstructorError(None, None, "a key is no plain value", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(data: bytes | str) -> Any:
    """A YAML document of a person's writing.

    Raises:
        yaml.YAMLError: it is none, or larger or deeper than a person writes.
    """
    if len(data) > MAX_BYTES:
        raise yaml.YAMLError(f"more than {MAX_BYTES >> 10} KiB")
    return yaml.load(data, UniqueKeyLoader)


def read_recipe(data: bytes, source: str) -> Recipe:
    """A recipe from the bytes of its file.

    Args:
        source: its file, for messages.

    Raises:
        UsageProblem: as `load_recipe`.
    """
    return _validate(_given(_mapping(data, source), source))


def _read(path: Path, source: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageProblem(f"cannot read recipe '{source}': {error.strerror}") from error


def _mapping(data: bytes, source: str) -> dict[Any, Any]:
    try:
        value = read_yaml(data.decode() if len(data) <= MAX_BYTES else data)
    except UnicodeDecodeError as error:
        raise UsageProblem(f"cannot read recipe '{source}': byte {error.start + 1} is not UTF-8") from error
    except yaml.YAMLError as error:
        raise UsageProblem(f"{source} is not a recipe: {one_line(error)}", "a recipe is YAML, `key: value`") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageProblem(f"{source} is not a recipe: it holds no keys", "a recipe is YAML, `key: value`")
    return value


def one_line(error: yaml.YAMLError) -> str:
    """What is wrong with YAML, and in which line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {shortened(error.problem)}"
    return shortened(error, 200)


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageProblem(
            f"'{shortened(text)}' sets nothing ({COMMAND_LINE})", "write key.sub=value, e.g. ppo.lr=1e-4"
        )
    try:
        return key.strip(), read_yaml(value)
    except yaml.YAMLError as error:
        raise UsageProblem(
            f"{shortened(key)} = {shortened(value)} ({COMMAND_LINE}): not YAML: {one_line(error)}",
            f"quote it: '{shortened(key)}=\"...\"'",
        ) from error


def _given(tree: dict[Any, Any], source: str) -> dict[str, tuple[Any, str]]:
    """Dotted key → value and source.

    Raises:
        UsageProblem: a key is given both by itself and in its section.
    """
    given: dict[str, tuple[Any, str]] = {}
    for key, value in _leaves(tree, ""):
        if key in given:
            raise UsageProblem(f"key '{shortened(key)}' is given twice ({source})", "leave one out")
        given[key] = value, source
    return given


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings; an empty section is nothing."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    elif (value is not None and value != {}) or (key and recipe_keys().get(key) is None):
        yield key, value


def _validate(
    given: Mapping[str, tuple[Any, str]], texts: Mapping[str, str] | None = None, found: Sequence[UsageProblem] = ()
) -> Recipe:
    """The recipe that values make; `texts` are those typed, `found` the problems so far."""
    keys = recipe_keys()
    problems = list(found)
    tree: dict[str, Any] = {}
    for key, (value, source) in given.items():
        if keys.get(key, False) is None:
            *path, name = key.split(".")
            section = tree
            for part in path:
                section = section.setdefault(part, {})
            section[name] = value
        elif key in keys:
            first = next(k for k in keys if k.startswith(f"{key}."))
            problems.append(
                UsageProblem(
                    f"{key} = {shortened(value)} ({source}): {key} is a section",
                    f"set a key of it, e.g. {first}={shortened(value)}",
                )
            )
        elif len(problems) < MAX_PROBLEMS:
            problems.append(_unknown_key(key, source, keys))
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        problems += [_bad_value(detail, given, texts or {}) for detail in error.errors()[:MAX_PROBLEMS]]
    if problems:
        raise problems[0] if len(problems) == 1 else SeveralProblems(problems)
    return recipe


def _unknown_key(key: str, source: str, keys: Mapping[str, Any]) -> UsageProblem:
    near = difflib.get_close_matches(key[:80], keys, n=1, cutoff=0.6)
    if not near:  # the right name in the wrong section
        near = [k for k in keys if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
    hint = f"did you mean '{near[0]}'?" if near else "`llarp train --dry-run ...` prints every key"
    return UsageProblem(f"unknown key '{shortened(key)}' ({source})", hint)


def _bad_value(
    detail: Mapping[str, Any], given: Mapping[str, tuple[Any, str]], texts: Mapping[str, str]
) -> UsageProblem:
    names = [str(part) for part in detail["loc"]]
    # The location may go on into a list; the key is its longest prefix that was given.
    key = next((k for n in range(len(names), 0, -1) if (k := ".".join(names[:n])) in given), ".".join(names))
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if key not in given:  # raised by a section as a whole
        inside = [k for k in given if k.startswith(f"{key}.")]
        sources = sorted({given[k][1] for k in inside})
        return UsageProblem(f"{key} ({', '.join(sources) or 'default'}): {message}")
    value, source = given[key]
    hint = None
    if detail["type"] == "string_type" and value is not None:
        hint = f"quote it: '{key}=\"{shortened(texts[key])}\"'" if key in texts else "put it in quotes"
    elif detail["type"] == "tuple_type" and isinstance(value, str):
        message, hint = "should be a list", f"write {key}=[{shortened(value)}]"
    return UsageProblem(f"{key} = {shortened(_scalar(value))} ({source}): {shortened(message, 200)}", hint)


def shortened(value: Any, most: int = 80) -> str:
    """What somebody wrote, as it may be quoted in one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)[: 10 * most]).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def _scalar(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip()


def check_names(recipe: Recipe) -> None:
    """Refuse names of plugins that are not installed, before anything is imported or written.

    Raises:
        UsageProblem: no such backbone, vision encoder or environment.
    """
    registry.find("environment", recipe.environment)
    registry.find("backbone", recipe.backbone.name)
    if recipe.vision.name is not None:
        registry.find("vision encoder", recipe.vision.name)
