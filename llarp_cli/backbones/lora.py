"""Low-rank updates of a backbone's weights, through peft: the language model is then no longer frozen.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. The stored weights stay as they are; each
chosen linear layer adds the product of two thin matrices, which the policy owns, trains and saves.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from llarp_cli.backbones.sizing import first_line
from llarp_cli.config import LoraOptions
from llarp_cli.errors import UsageProblem


class LoraWeights(nn.Module):
    """The trained matrices of all layers, in float32, under the names of their layers.

    They are the parameters that the model computes with, registered a second time, so that a policy can own them
    without owning the model.

    Args:
        model: into which they were put.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self._gradients = 0
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.float()
                parameter.register_post_accumulate_grad_hook(self._count)
                self.register_parameter(name.removesuffix(".weight").replace(".", "-"), parameter)
        self._dropouts = [module for name, module in model.named_modules() if name.endswith("lora_dropout.default")]

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each backward pass, which an optimizer's step follows, and after new matrices were loaded.

        Torch counts changes too, but not those of optimizers that do a step in one kernel.
        """
        return self._gradients, sum(parameter._version for parameter in self.parameters())

    def _count(self, parameter: nn.Parameter) -> None:
        self._gradients += 1

    def drop(self, training: bool) -> None:
        """Switch dropout on or off."""
        for module in self._dropouts:
            module.train(training)


def add_lora(model: nn.Module, options: LoraOptions, name: str) -> LoraWeights:
    """Put updates, at first of no effect, into a frozen model's linear layers.

    Args:
        model: of transformers; the layers are replaced in place.
        options: of the recipe.
        name: the backbone's, for messages.

    Raises:
        UsageProblem: peft is not installed, or the model has no such layers.
    """
    if importlib.util.find_spec("peft") is None:
        raise UsageProblem(f"backbone.lora.rank = {options.rank} needs the package 'peft'", "pip install 'llarp[lora]'")
    from peft import LoraConfig, inject_adapter_in_model

    wanted = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets) or None,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    try:
        inject_adapter_in_model(wanted, model)
    except ValueError as error:
        linears = {path.rpartition(".")[2] for path, module in model.named_modules() if is_linear(module)}
        raise UsageProblem(
            f"backbone.lora.targets = {list(options.targets)}: cannot be put into backbone '{name}': "
            f"{first_line(error)}",
            f"write some of [{', '.join(sorted(linears))}]",
        ) from error
    return LoraWeights(model)


def is_linear(module: nn.Module) -> bool:
    return isinstance(module, (nn.Linear, Conv1D))


def frozen_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A model's state without the updates, under the names it has without them."""
    state = model.state_dict()
    return {name.replace(".base_layer.", "."): held for name, held in state.items() if "lora_" not in name}
