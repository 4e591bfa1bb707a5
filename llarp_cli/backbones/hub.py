"""`hf:ORG/NAME` and `hf:PATH`: any decoder LM or BERT-like encoder of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.errors import UsageProblem

if TYPE_CHECKING:
    from llarp_cli.config import BackboneOptions


@dataclass(frozen=True)
class HubPlugin(TransformersPlugin):
    """Takes the weights from the name itself."""

    def named(self, options: BackboneOptions) -> TransformersPlugin:
        source = options.name.partition(":")[2]
        if not source:
            raise UsageProblem(
                f"backbone '{options.name}' names no model", "type hf:ORG/NAME, or hf:PATH for a local folder"
            )
        return TransformersPlugin(**{**self.__dict__, "weights": source})


hf = HubPlugin(summary="any decoder LM or BERT-like encoder: hf:ORG/NAME from the hub, hf:PATH from a folder")
