"""A policy on disk: what was trained, what it was trained around, and the recipe.

    adapter.safetensors   the trained parameters, nothing else
    config.json           which frozen parts, hashes and skills they belong to (`PolicyConfig`)
    recipe.yaml           the resolved recipe

Checkpoints and exports hold the same three files. Reading them never unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from llarp_cli import __version__
from llarp_cli.config import WIDEST, Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.files import write_bytes, write_text
from llarp_cli.policy.build import LearnedPolicy, build_policy
from llarp_cli.policy.contract import Place
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.recipes import read_recipe, shortened, to_yaml
from llarp_cli.repertoire import Repertoire

FORMAT = 1
ADAPTER, CONFIG, RECIPE = "adapter.safetensors", "config.json", "recipe.yaml"
POLICY_FILES = (ADAPTER, CONFIG, RECIPE)

MAX_TEXT = 1 << 20
"""Bytes; a larger file is refused unread."""


class Record(BaseModel):
    """A part of `config.json`. Keys that a later version adds are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BackboneRecord(Record):
    """The language model; see `BackboneIdentity`.

    Attributes:
        dtype: of weights and activations, e.g. "float32".
        frozen: nothing in it was trained.
        lora_rank: of the trained updates of its weights, which `adapter.safetensors` holds; 0 where it is frozen.
    """

    name: str
    weights: str
    revision: str | None
    hash: str
    dtype: Literal["float32", "bfloat16", "float16"]
    frozen: bool = True
    lora_rank: int = 0


class VisionRecord(Record):
    """The vision encoder; see `VisionEncoder`."""

    name: str
    weights: str
    hash: str
    renderer: str | None
    image_size: int
    tokens: int
    feature_size: int


class PolicyConfig(Record):
    """`config.json`.

    Attributes:
        format: of the three files together.
        llarp: the version that wrote them.
        policy: kind, as in a recipe.
        environment: where it was trained.
        adapter_sha256: of `adapter.safetensors`.
        skills: the actions, in the order of the logits.
        steps: the most that an episode has.
    """

    format: Literal[1]
    llarp: str
    policy: Literal["llarp", "lstm", "transformer"]
    environment: str
    backbone: BackboneRecord
    vision: VisionRecord
    adapter_sha256: str
    skills: Annotated[list[str], Field(min_length=1)]
    steps: Annotated[int, Field(ge=1, le=WIDEST)] = REPERTOIRE.steps

    @property
    def repertoire(self) -> Repertoire:
        return Repertoire(tuple(self.skills), self.steps)


def save_policy(policy: LearnedPolicy, recipe: Recipe, directory: Path) -> None:
    """Write the three files of a policy, each whole or not at all.

    Args:
        policy: not wrapped by a distributed wrapper.
        recipe: the resolved recipe that it was built from.
        directory: made if missing.

    Raises:
        OSError: the directory cannot be written.
    """
    backbone, encoder = policy.frozen.backbone, policy.frozen.encoder
    adapter = save({name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()})
    identity = backbone.identity
    config = PolicyConfig(
        format=FORMAT,
        llarp=__version__,
        policy=recipe.policy,
        environment=recipe.environment,
        backbone=BackboneRecord(
            name=identity.name,
            weights=identity.weights,
            revision=identity.revision,
            hash=identity.hash,
            dtype=str(backbone.dtype).removeprefix("torch."),
            frozen=backbone.trained is None,
            lora_rank=recipe.backbone.lora.rank,
        ),
        vision=VisionRecord(
            name=recipe.vision.name or encoder.name,
            weights=encoder.weights,
            hash=encoder.hash,
            renderer=encoder.renderer,
            image_size=encoder.image_size,
            tokens=encoder.tokens,
            feature_size=encoder.feature_size,
        ),
        adapter_sha256=hashlib.sha256(adapter).hexdigest(),
        skills=list(policy.repertoire.skills),
        steps=policy.repertoire.steps,
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_bytes(directory / ADAPTER, adapter)
    write_text(directory / CONFIG, config.model_dump_json(indent=2) + "\n")
    write_text(directory / RECIPE, to_yaml(recipe))


def read_policy(directory: Path) -> tuple[PolicyConfig, Recipe, dict[str, Tensor]]:
    """Read and check the three files, without loading any frozen part.

    Returns:
        The configuration, the recipe and the trained parameters.

    Raises:
        UsageProblem: a file is missing, damaged, too large, foreign or of another version.
    """
    return check_policy(directory, read_files(directory))


def read_files(directory: Path) -> dict[str, bytes]:
    """The three files of a policy, unless they are larger than such files can be.

    Raises:
        UsageProblem: one is missing, cannot be read or is too large.
    """
    files = {}
    for name in POLICY_FILES:
        path = directory / name
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > largest(name) or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UsageProblem(f"'{path}' is no policy's: it has {size:,} bytes", "use another checkpoint")
                files[name] = file.read()
        except FileNotFoundError:
            raise _missing(directory, name) from None
        except OSError as error:
            raise UsageProblem(f"cannot read '{path}': {error.strerror}", "use another checkpoint") from error
    return files


def largest(name: str) -> int:
    """Bytes that one of the three files may have here."""
    return psutil.virtual_memory().available if name == ADAPTER else MAX_TEXT


def check_policy(directory: Path, files: dict[str, bytes]) -> tuple[PolicyConfig, Recipe, dict[str, Tensor]]:
    """What the files hold.

    Args:
        directory: where they are from, for messages.
        files: from `read_files`.

    Raises:
        UsageProblem: one is damaged, foreign or of another version.
    """
    config = _read_config(directory / CONFIG, files[CONFIG])
    if hashlib.sha256(files[ADAPTER]).hexdigest() != config.adapter_sha256:
        raise UsageProblem(
            f"'{directory / ADAPTER}' is damaged or another policy's: its hash is not the one in {CONFIG}",
            "copy the whole directory again, or use another checkpoint",
        )
    try:
        parameters = load(files[ADAPTER])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise UsageProblem(f"'{directory / ADAPTER}' is not a safetensors file", "use another checkpoint") from error
    recipe = read_recipe(files[RECIPE], str(directory / RECIPE))
    _check_sizes(directory, config, recipe, parameters)
    return config, recipe, parameters


def _missing(directory: Path, name: str) -> UsageProblem:
    run = directory.parent.parent
    if directory.parent.name == "checkpoints" and (run / "run.json").is_file() and not (directory / ADAPTER).exists():
        return UsageProblem(
            f"checkpoint '{directory}' is gone: its run keeps the newest ones and the best",
            f"name the run, which has newer ones: {run}",
        )
    return UsageProblem(
        f"'{directory}' is no policy: it holds no {name}",
        f"a checkpoint and an export each hold {', '.join(POLICY_FILES)}",
    )


def _check_sizes(directory: Path, config: PolicyConfig, recipe: Recipe, parameters: dict[str, Tensor]) -> None:
    """A recipe from somebody else asks for no larger layers than come with it; before any of them is made.

    Raises:
        UsageProblem: it does.
    """
    widest = max((size for tensor in parameters.values() for size in tensor.shape), default=0)
    asked = {
        "adapter.hidden": recipe.adapter.hidden,
        "adapter.decoder_hidden": recipe.adapter.decoder_hidden,
        "skills": len(config.skills),
    }
    if recipe.policy == "transformer":
        asked |= {"transformer.width": recipe.transformer.width or 0}
    for key, size in asked.items():
        if size > widest:
            raise UsageProblem(
                f"'{directory / ADAPTER}' does not fit its recipe: it holds nothing of {key} = {size}", _FIT_HINT
            )
    if (recipe.transformer.layers or 0) > len(parameters):
        raise UsageProblem(
            f"'{directory / ADAPTER}' does not fit its recipe: it holds no {recipe.transformer.layers} layers",
            _FIT_HINT,
        )


def open_policy(directory: Path, device: Any = "cpu", weights: str | None = None) -> tuple[LearnedPolicy, Recipe]:
    """Rebuild a saved policy, on the frozen parts it was trained with.

    Args:
        directory: a checkpoint or an export.
        device: torch device.
        weights: hub id or path of the backbone's weights in place of the recipe's; they must be the same weights.

    Raises:
        UsageProblem: as `read_policy`; or a frozen part cannot be had or is not the one trained with.
    """
    config, recipe, parameters = read_policy(directory)
    policy = build_policy(_as_trained(recipe, config, weights), device, repertoire=config.repertoire)
    backbone, encoder = policy.frozen.backbone, policy.frozen.encoder
    if encoder.hash != config.vision.hash:
        raise UsageProblem(
            f"'{directory}' was trained with vision encoder '{config.vision.name}' ({config.vision.weights}) of hash "
            f"{config.vision.hash[:12]}; the one here has {encoder.hash[:12]}",
            f"name the file it was trained with as vision.weights in '{directory / RECIPE}', or train again",
        )
    if backbone.identity.hash != config.backbone.hash:
        raise UsageProblem(
            f"'{directory}' was trained around weights '{config.backbone.weights}' of hash "
            f"{config.backbone.hash[:12]}; '{backbone.identity.weights}' has {backbone.identity.hash[:12]}",
            f"name the weights it was trained around as backbone.weights in '{directory / RECIPE}'",
        )
    _check_fit(directory, parameters, policy.state_dict())
    policy.load_state_dict(parameters)
    return policy, recipe


def check_repertoire(directory: Path, policy: LearnedPolicy, place: Place, repertoire: Repertoire) -> None:
    """Refuse a policy in an environment whose actions are not its own, or whose episodes are longer.

    Args:
        directory: what the policy was opened from.
        place, repertoire: the environment, and what can be done there.

    Raises:
        UsageProblem: they differ.
    """
    own = policy.repertoire
    if own.skills != repertoire.skills:
        told = [f"{len(one)} ({', '.join(one[:3])}, ...)" for one in (own.skills, repertoire.skills)]
        raise UsageProblem(
            f"'{directory}' learned other actions, {shortened(told[0])}, than environment '{place.name}' has, "
            f"{shortened(told[1])}",
            "leave --env out, or train there",
        )
    if own.steps < repertoire.steps:
        raise UsageProblem(
            f"'{directory}' was trained in episodes of up to {own.steps} steps; those of environment '{place.name}' "
            f"have up to {repertoire.steps}",
            "train there",
        )


def check_world(directory: Path, policy: LearnedPolicy, world: Place) -> None:
    """Refuse a policy in a world that draws pictures which its vision encoder was not trained on.

    Args:
        directory: what the policy was opened from.

    Raises:
        UsageProblem: they differ.
    """
    encoder = policy.frozen.encoder
    if encoder.renderer is not None and encoder.renderer != world.version:
        raise UsageProblem(
            f"'{directory}' sees through vision encoder '{encoder.name}' ({encoder.weights}), trained on pictures of "
            f"version '{encoder.renderer}'; environment '{world.name}' draws version '{world.version}'",
            "train again, with an encoder for the new pictures",
        )


def _as_trained(recipe: Recipe, config: PolicyConfig, weights: str | None) -> Recipe:
    """The recipe with what was decided when it was first built: encoder, precision, commit of the weights."""
    backbone: dict[str, Any] = {"dtype": config.backbone.dtype}
    if weights is not None:
        backbone |= {"weights": weights, "revision": None}
    elif config.backbone.revision is not None:
        backbone["revision"] = config.backbone.revision
    return recipe.model_copy(
        update={
            "policy": config.policy,
            "backbone": recipe.backbone.model_copy(update=backbone),
            "vision": recipe.vision.model_copy(update={"name": config.vision.name}),
        }
    )


def _read_config(path: Path, data: bytes) -> PolicyConfig:
    try:
        raw = json.loads(data.decode())
        json.dumps(raw, ensure_ascii=False).encode()  # no halves of characters, which cannot be written again
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"'{path}' is damaged: it is not JSON", "use another checkpoint") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int) or "adapter_sha256" not in raw:
        raise UsageProblem(f"'{path}' is not a llarp policy's", "give a directory that llarp wrote")
    if raw["format"] != FORMAT:
        version = " ".join(str(raw.get("llarp")).split())[:40]
        raise UsageProblem(
            f"'{path}' has format {raw['format'] % 10**9}, written by llarp {version}; this is llarp {__version__} "
            f"and reads format {FORMAT}",
            "pip install -U llarp" if raw["format"] > FORMAT else f"pip install llarp=={version}",
        )
    try:
        config = PolicyConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageProblem(f"'{path}' is damaged: {where}: {first['msg'].lower()}", "use another checkpoint") from error
    return config


def _check_fit(directory: Path, parameters: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Names, shapes and types of the trained parameters are those of the policy that the recipe describes."""
    strange = sorted(parameters.keys() ^ wanted.keys())
    if strange:
        where = "lacks" if strange[0] in wanted else "also holds"
        raise UsageProblem(f"'{directory / ADAPTER}' does not fit its recipe: it {where} {strange[0]}", _FIT_HINT)
    for name, tensor in parameters.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise UsageProblem(
                f"'{directory / ADAPTER}' does not fit its recipe: {name} is {_form(tensor)}, "
                f"not {_form(wanted[name])}",
                _FIT_HINT,
            )


_FIT_HINT = f"put back the {RECIPE} and {CONFIG} it was saved with"


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
