"""Study files: which runs, how they are evaluated and how they are compared. Strictly typed, as recipes are.

methods:                    # the first is the one that the others are baselines of
  minilm:
    recipe: quickstart      # a shipped recipe or a file
    overrides: {ppo.lr: 3e-4}
    seeds: [0, 1]
  lstm:
    recipe: quickstart
    overrides: {policy: lstm}
  planner:
    policy: planner         # nothing to train
evaluation: {splits: [train, all], seeds: [0]}
comparison: {baseline_factor: 3}
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from llarp_cli.comparison.compare import THRESHOLD
from llarp_cli.config import Count, Positive, Rate, Recipe, Section
from llarp_cli.errors import SeveralProblems, UsageProblem, quoted, unknown
from llarp_cli.rearrangement.splits import expand
from llarp_cli.recipes import UniqueKeyLoader, check_names, load_recipe, one_line
from llarp_cli.shipped import shipped_studies

STUDIES = Path("studies")
ALL = 1_000_000
"""Checkpoints to keep. A run that is cut saves one more each time, for which none of those that are compared may go."""


class MethodOptions(Section):
    """A method of a study.

    Attributes:
        recipe: a shipped recipe's name, or a file, found from where the study file lies.
        policy: what is not learned, in place of a recipe.
        backbone, weights: of the policy zero-shot.
        overrides: recipe key → value.
        steps: environment steps, imitation's included; left out, the recipe's for the first method and for any
            other the first one's by `comparison.baseline_factor`, imitation's too.
        seeds: of training, a run each.
        num_processes: of a run. Three or more wait for the last of them (`ppo.finish_share`), unless told otherwise:
            else chance decides how far a run comes in an update, and no two have the same steps.
    """

    recipe: str | None = None
    policy: Literal["planner", "searcher", "random", "zero-shot"] | None = None
    backbone: str | None = None
    weights: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    steps: Positive | None = None
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (0,)
    num_processes: Positive = 1

    @model_validator(mode="after")
    def _one_kind(self) -> MethodOptions:
        if (self.recipe is None) == (self.policy is None):
            raise ValueError("a method has either a recipe or a policy that is not learned")
        if self.policy and (self.overrides or self.steps):
            raise ValueError(f"nothing of {self.policy} is trained: it takes no overrides and no steps")
        if (self.policy == "zero-shot") != (self.backbone is not None) or (self.weights and not self.backbone):
            raise ValueError("backbone and weights are of policy zero-shot, which needs a backbone")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice")
        return self


class EvaluationOptions(Section):
    """How every method is evaluated.

    Attributes:
        splits: names of splits and groups; empty for all.
        seeds: of sampled actions.
        deterministic: take the likeliest skill.
        all_families: not only the families that a recipe trains, and those that no training split has.
        limit: only the first episodes of each split.
    """

    splits: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (0,)
    deterministic: bool = False
    all_families: bool = False
    limit: Positive | None = None

    @field_validator("splits")
    @classmethod
    def _known(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(expand(splits))
        except UsageProblem as problem:
            raise ValueError(problem.message) from problem


class ComparisonOptions(Section):
    """How the methods are compared.

    Attributes:
        baseline_factor: how many times the first method's steps the others may take.
        threshold: success in training whose steps are told.
        target: success in training at which methods are matched; left out, the first method's.
        checkpoints: how many a run saves within the first method's steps, at equal distances: what can be matched.
    """

    baseline_factor: Rate = 3.0
    threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD
    target: Annotated[float, Field(gt=0, le=1)] | None = None
    checkpoints: Positive = 4


class StudyOptions(Section):
    """A study file.

    Attributes:
        methods: name → method.
        overrides: recipe key → value, for every method; its own come after them.
        directory: where runs and report go; left out, `studies/<name of the file>`.
    """

    methods: Annotated[dict[str, MethodOptions], Field(min_length=1)]
    overrides: dict[str, Any] = Field(default_factory=dict)
    evaluation: EvaluationOptions = EvaluationOptions()
    comparison: ComparisonOptions = ComparisonOptions()
    directory: Path | None = None

    @field_validator("methods")
    @classmethod
    def _plain_names(cls, methods: dict[str, MethodOptions]) -> dict[str, MethodOptions]:
        for name in methods:
            if not name or name.startswith(".") or not all(c.isalnum() or c in "-_.+" for c in name):
                raise ValueError(f"'{name}' will not do as a folder's name: use letters, digits and -_.+")
        if next(iter(methods.values())).recipe is None:
            raise ValueError("the first method is the one that the others are baselines of: give it a recipe")
        return methods


@dataclass(frozen=True)
class Study:
    """A study file that has been read.

    Attributes:
        name: of the file, without its suffix.
        given: how the user named it.
        summary: the first line of its opening comment.
        options: what it says.
        directory: where runs and report go.
        recipes: method → its resolved recipe with seed 0; methods that are not learned are not there.
    """

    name: str
    given: str
    summary: str
    options: StudyOptions
    directory: Path
    recipes: dict[str, Recipe]

    @property
    def environment(self) -> str:
        """Where all of it takes place."""
        return next(iter(self.recipes.values())).environment

    def command(self, only: Sequence[str] = ()) -> str:
        """What to type to go on with it, or with those of its methods."""
        words = ["llarp", "study", self.given, *(word for name in only for word in ("--only", name))]
        if self.directory != (self.options.directory or STUDIES / self.name):
            words += ["--directory", str(self.directory)]
        return " ".join(map(quoted, words))


def load_study(name_or_path: str, directory: Path | None = None) -> Study:
    """Read a study file.

    Args:
        name_or_path: a shipped study's name or a YAML file; a path has a suffix or a separator.
        directory: in place of the file's.

    Raises:
        UsageProblem: there is no such file, or a key or value of it cannot be (SeveralProblems for more than one).
    """
    path = _find(name_or_path)
    value, lines = _read(path, name_or_path)
    try:
        options = StudyOptions.model_validate(value)
    except ValidationError as error:
        raise _together([_problem(detail, name_or_path, lines) for detail in error.errors()]) from error
    text = path.read_text(encoding="utf-8")
    first = text.split("\n", 1)[0]
    return Study(
        name=path.stem,
        given=name_or_path,
        summary=first.removeprefix("#").strip() if first.startswith("#") else "",
        options=options,
        directory=directory or options.directory or STUDIES / path.stem,
        recipes=_recipes(options, path, name_or_path, lines),
    )


Location = tuple[str | int, ...]


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix or os.sep in name_or_path:
        if not path.is_file():
            raise UsageProblem(f"no study file '{name_or_path}'", f"shipped: {', '.join(shipped_studies())}")
        return path
    shipped = shipped_studies()
    if name_or_path not in shipped:
        raise unknown("study", name_or_path, shipped, listed_by="llarp study")
    return shipped[name_or_path]


def _read(path: Path, source: str) -> tuple[Any, dict[Location, int]]:
    """The file's value, and the line of every key and item in it."""
    try:
        text = path.read_text(encoding="utf-8")
        loader = UniqueKeyLoader(text)
        try:
            node = loader.get_single_node()
            value = {} if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"cannot read study '{source}': {error}") from error
    except yaml.YAMLError as error:
        raise UsageProblem(f"{source} is not a study: {one_line(error)}", "a study is YAML, `key: value`") from error
    if not isinstance(value, dict) or not value:
        raise UsageProblem(f"{source} is not a study: it holds no keys", "`llarp study` lists the shipped ones")
    return value, dict(_lines(node, ()))


def _lines(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            here = (*location, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(inner, here)
    elif isinstance(node, yaml.SequenceNode):
        for i, inner in enumerate(node.value):
            yield (*location, i), inner.start_mark.line + 1
            yield from _lines(inner, (*location, i))


def _problem(detail: Any, source: str, lines: dict[Location, int]) -> UsageProblem:
    location: Location = tuple(detail["loc"])
    key = ".".join(str(part) for part in location)
    where = _where(source, location, lines)
    if detail["type"] == "extra_forbidden":
        return UsageProblem(f"unknown key '{key}' ({where})", "`llarp study --help` names all keys")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return UsageProblem(f"{key or source} ({where}): {message[0].lower()}{message[1:]}")


def _where(source: str, location: Location, lines: dict[Location, int]) -> str:
    """The file and the line of the innermost key that is written there."""
    line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)
    return source if line is None else f"{source}, line {line}"


def _together(problems: list[UsageProblem]) -> UsageProblem:
    return problems[0] if len(problems) == 1 else SeveralProblems(problems)


def _recipes(options: StudyOptions, path: Path, source: str, lines: dict[Location, int]) -> dict[str, Recipe]:
    """Every method's recipe, resolved; the first one's steps are the measure of the others'."""
    recipes: dict[str, Recipe] = {}
    problems: list[UsageProblem] = []
    measure: Recipe | None = None
    for name, method in options.methods.items():
        if method.recipe is None:
            continue
        own = _placed(method.overrides, ("methods", name, "overrides"), source, lines)
        if method.steps is not None:
            own["steps"] = (_where(source, ("methods", name, "steps"), lines), method.steps)
        typed = _placed(options.overrides, ("overrides",), source, lines) | own
        beside = path.parent / method.recipe
        given = str(beside) if beside.is_file() else method.recipe
        try:
            recipe, _ = load_recipe(given, flags=typed)
            check_names(recipe)
        except SeveralProblems as several:
            problems += several.problems
            continue
        except UsageProblem as problem:
            problems.append(problem)
            continue
        if measure is None:
            measure = recipe
        elif "steps" not in own:
            recipe = _longer(recipe, measure, options.comparison.baseline_factor, "imitation.steps" in own)
        if method.num_processes > 2 and "ppo.finish_share" not in typed:
            recipe = recipe.model_copy(update={"ppo": recipe.ppo.model_copy(update={"finish_share": 1.0})})
        recipes[name] = _with_checkpoints(recipe, measure, options.comparison, typed)
        if recipe.environment != measure.environment:
            where = _where(source, ("methods", name), lines)
            problems.append(
                UsageProblem(
                    f"method '{name}' learns in {recipe.environment}, the first one in {measure.environment} ({where})",
                    "all methods of a study take place in one environment",
                )
            )
    if problems:
        raise _together(problems)
    return recipes


def _placed(
    overrides: dict[str, Any], section: Location, source: str, lines: dict[Location, int]
) -> dict[str, tuple[str, Any]]:
    """Dotted key → where it stands and its value."""
    return {key: (_where(source, (*section, *place), lines), value) for place, key, value in _flat(overrides)}


def _flat(value: dict[str, Any], place: Location = ()) -> Iterator[tuple[Location, str, Any]]:
    """Where each override stands, its dotted key, and its value; keys may be dotted, nested or both."""
    for key, inner in value.items():
        here = (*place, str(key))
        if isinstance(inner, dict):
            yield from _flat(inner, here)
        else:
            yield here, ".".join(str(part) for part in here), inner


def _longer(recipe: Recipe, measure: Recipe, factor: float, imitation_given: bool) -> Recipe:
    """A baseline's recipe with a multiple of the first method's steps, as many times the imitation among them; none
    where one of both does not imitate."""
    update: dict[str, Any] = {"steps": math.ceil(measure.steps * factor)}
    if recipe.imitation.steps and not imitation_given:
        steps = math.ceil(measure.imitation.steps * factor)
        update["imitation"] = recipe.imitation.model_copy(update={"steps": steps})
    return recipe.model_copy(update=update)


def _with_checkpoints(recipe: Recipe, measure: Recipe, comparison: ComparisonOptions, typed: dict) -> Recipe:
    """All checkpoints are kept, at the same steps for every method, and none falls after the first method's end."""
    every = max(1, measure.steps // comparison.checkpoints)
    chosen = {"every": every, "keep": ALL}
    chosen = {key: value for key, value in chosen.items() if f"checkpoint.{key}" not in typed}
    return recipe.model_copy(update={"checkpoint": recipe.checkpoint.model_copy(update=chosen)})
