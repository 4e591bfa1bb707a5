"""`TransformersPlugin`: a backbone plugin in a few lines. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from llarp_cli.backbones.contract import Backbone
    from llarp_cli.config import BackboneOptions


@dataclass(frozen=True)
class CarriedWeights:
    """Weights that a Python package brings along.

    Attributes:
        package: importable name; it is found, not imported.
        folder: of the model within the package.
        sha256: of its `model.safetensors`.
    """

    package: str
    folder: str
    sha256: str


@dataclass(frozen=True)
class TransformersPlugin:
    """A `BackbonePlugin` over any decoder LM or BERT-like encoder of transformers.

    Attributes:
        summary: one line for `llarp plugins`.
        weights: hub id of the default weights; None where they are random or named by the user.
        architecture: transformers' configuration, `model_type` included, for `--weights random`.
        carried: where a package brings the weights along; the hub id is used without it.
        quantization: through bitsandbytes; the recipe's `backbone.quantization` overrides it.
        seed: of random weights.
        drawn_on_device: random weights are drawn there, in seconds where a CPU takes minutes; a seed then means others.
        requires: importable modules it needs beyond the core's.
        extra: the pip extra that brings them.
    """

    summary: str
    weights: str | None = None
    architecture: Mapping[str, Any] = field(default_factory=dict)
    carried: CarriedWeights | None = None
    quantization: Literal["none", "8bit", "4bit"] = "none"
    seed: int = 0
    drawn_on_device: bool = False
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def named(self, options: BackboneOptions) -> TransformersPlugin:
        """The plugin that the options' name stands for; another one where the name itself says which weights."""
        return self

    def load(self, options: BackboneOptions, device: Any) -> Backbone:
        """Build the backbone on a device.

        Raises:
            UsageProblem: weights cannot be had, or the architecture cannot be used.
        """
        from llarp_cli.backbones.weights import load_backbone

        return load_backbone(self.named(options), options, device)
