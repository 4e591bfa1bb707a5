"""The recipe: everything a run is made of, typed and bounded.

A recipe is a YAML file; unknown keys are refused. `recipes.py` finds files and applies overrides.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from llarp_cli.rearrangement.vocabulary import CATEGORIES


def _count(value: Any) -> Any:
    """Accept `2e6` and `200_000` where a whole number is meant."""
    if isinstance(value, str):
        try:
            value = float(value.replace("_", ""))
        except ValueError:
            return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


UNSEEN_HOMES = 1_000_000_000
"""Procedural homes are trained in below this number, and evaluated in from it on."""
MOST = 10**12
"""More of anything is a mistake, or meant ill."""
WIDEST = 1 << 16
"""Numbers in a layer, environments, steps between updates: what memory is taken for."""

Count = Annotated[int, BeforeValidator(_count), Field(ge=0, le=MOST)]
Positive = Annotated[int, BeforeValidator(_count), Field(ge=1, le=MOST)]
Size = Annotated[int, BeforeValidator(_count), Field(ge=1, le=WIDEST)]
Rate = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's yes and no, which would be taken for 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("should be a number")
        return value


class LoraOptions(Section):
    """Low-rank updates of the language model's weights, trained with the adapter. It is then no longer frozen.

    Attributes:
        rank: of each update; 0 leaves the language model frozen.
        alpha: updates count alpha / rank.
        dropout: share of what they read that is dropped in updates, not in acting: PPO's ratio is then not 1 at first.
        targets: linear layers by name, e.g. q_proj; empty takes peft's choice for the family.
    """

    rank: Annotated[int, Field(ge=0, le=1024)] = 0
    alpha: Rate = 16.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = ()


class BackboneOptions(Section):
    """The language model, frozen unless `lora.rank` says otherwise.

    Attributes:
        name: a backbone plugin, or `hf:ORG/NAME`, or `hf:PATH`.
        weights: hub id or local path in place of the plugin's own, or "random" for the architecture alone, with the
            tokenizer and the weights that the model's training would have begun with.
        seed: of random weights; the plugin's own where left out.
        revision: commit or tag on the hub.
        dtype: of weights and activations; "auto" is float32 on CPU and bfloat16 on GPU.
        quantization: through bitsandbytes; some plugins set it themselves.
        prefix_cache_mb: bound of the memory for instruction prefixes.
        device_map: "auto" spreads a model that one GPU cannot hold over all of them, the main memory and the disk; each
            of several processes over its own share of the GPUs.
        gradient_checkpointing: keep only the layers' inputs for the pass backward and compute the rest again, which
            takes a third more time and far less memory (bitsandbytes' 8-bit layers keep theirs all the same); "auto"
            where memory is short. Gradients are the same.
        cuda_graphs: on a GPU, record a step of acting once and replay it: for unquantised models on one GPU, without
            low-rank updates.
        lora: low-rank updates.
    """

    name: str = "minilm"
    weights: str | None = None
    seed: Count | None = None
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["none", "8bit", "4bit"] | None = None
    prefix_cache_mb: Positive = 512
    device_map: Literal["auto"] | None = None
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    cuda_graphs: bool = False
    lora: LoraOptions = LoraOptions()


class VisionOptions(Section):
    """The vision encoder.

    Attributes:
        name: a vision plugin ("home", "vc1", "cnn", `hf:ORG/NAME`); left out, the environment's own.
        weights: hub id or local path in place of the plugin's own, or "random".
        image_size: side of the square picture, pixels.
        tokens: K, observation tokens per step.
    """

    name: str | None = None
    weights: str | None = None
    image_size: Annotated[int, Field(ge=16, le=1024)] = 128
    tokens: Annotated[int, Field(ge=1, le=64)] = 1


class AdapterOptions(Section):
    """What is trained around the backbone.

    Attributes:
        hidden: width of the observation adapter's MLP.
        decoder_hidden: width of the action decoder's and value head's MLPs.
        action_tokens: A, 1 to show the previous action as a token before each observation.
    """

    hidden: Size = 512
    decoder_hidden: Size = 512
    action_tokens: Annotated[int, Field(ge=0, le=1)] = 0


class LSTMOptions(Section):
    """The baseline `policy: lstm`.

    Attributes:
        instruction: how it reads. "words": word embeddings and a recurrent network learned from scratch; "backbone":
            a small learned module sums up the hidden states that the frozen language model gives (Szot et al. 2024).
    """

    instruction: Literal["words", "backbone"] = "words"


class TransformerOptions(Section):
    """The baseline `policy: transformer`, learned from scratch; what is left out is as the backbone has it.

    Attributes:
        layers, heads: of it.
        width: numbers in a token.
    """

    layers: Annotated[int, Field(ge=1, le=1024)] | None = None
    width: Size | None = None
    heads: Size | None = None


class TaskOptions(Section):
    """What is trained on.

    Attributes:
        split: a training split.
        families: instruction families; empty means all the split has.
        categories: which categories may be asked for; empty means all. Others lie about all the same.
        count: how many tasks, each met again in other homes and arrangements; 0 without end. A backbone reads
            each instruction once and remembers it, so that fewer tasks train faster.
        objects: objects in a home.
        homes: how many training homes, all of them before those that are never trained in. The split `train` evaluates
            in the first 100, trained in or not.
    """

    split: str = "train"
    families: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    count: Count = 0
    objects: Annotated[int, Field(ge=1, le=64)] = 35
    homes: Annotated[int, BeforeValidator(_count), Field(ge=1, le=UNSEEN_HOMES)] = 1000

    @model_validator(mode="after")
    def _known(self) -> TaskOptions:
        strange = [c for c in self.categories if c not in CATEGORIES]
        if strange:
            raise ValueError(f"unknown category '{strange[0]}'")
        return self


class RewardOptions(Section):
    """Reward per step, as the benchmark states it.

    Attributes:
        success: paid once, when the goal is reached.
        subgoals: pay holding, placement and joint subgoals, 5 in all; false for success only.
        navigation: count arriving at a subgoal's receptacle as a subgoal too.
        invalid_skill: taken for a skill whose precondition does not hold; nothing where subgoals is false.
    """

    success: Annotated[float, Field(ge=0)] = 10.0
    subgoals: bool = True
    navigation: bool = False
    invalid_skill: Annotated[float, Field(ge=0)] = 0.05


class ImitationOptions(Section):
    """DAgger on the searching planner, before PPO.

    Attributes:
        steps: environment steps; 0 leaves the stage out.
        lr: learning rate (AdamW's).
        warmup: environment steps over which the learning rate rises in a line from almost nothing; a large rate at once
            leaves some seeds behind for long.
        epochs: how often an update learns from each step.
        minibatches: parts of an update, whole episodes shared out so that each has about as many steps.
        value_coefficient: weight of the value's squared error beside the cross-entropy on the expert's choices.
        max_grad_norm: longer gradients are scaled down to it.
        expert_acts_until: share of the stage over which the expert's share of acted episodes falls from 1 to 0.
    """

    steps: Count = 0
    lr: Rate = 1e-3
    warmup: Count = 0
    epochs: Positive = 2
    minibatches: Positive = 8
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    max_grad_norm: Rate = 5.0
    expert_acts_until: Annotated[float, Field(ge=0, le=1)] = 0.0


class PPOOptions(Section):
    """Proximal policy optimisation (Schulman et al. 2017), names as in the paper.

    Attributes:
        gamma: discount of rewards to come.
        limit_ends: nothing is expected after an episode's step limit, as in the reference release: being in time is
            part of the task. false is for tasks that would go on: the value of what is last seen is expected.
        gae_lambda: generalised advantage estimation's; 1 gives discounted returns, 0 one-step errors.
        lr: learning rate (AdamW's).
        epochs: how often an update learns from each step.
        minibatches: parts of an update, whole episodes shared out so that each has about as many steps.
        rollout_steps: steps per environment between updates, imitation's too.
        clip: how far the probability ratio may profit from moving away from 1.
        value_coefficient: weight of the value loss.
        entropy_coefficient: weight of the entropy bonus.
        max_grad_norm: longer gradients are scaled down to it.
        normalize_advantages: to zero mean and unit variance, over all steps of the rollout.
        weight_decay: AdamW's, imitation's too.
        finish_share: of several processes; once so many have collected all their steps, the others stop after those
            that they have, at least a quarter (Wijmans et al. 2020). 1 waits for all.
        reward_scale: factor on the reward before returns are computed.
        clip_value: clip the value loss as the reference does.
        lr_schedule: "linear" lets each stage's learning rate fall to 0 at the stage's end.
    """

    gamma: Annotated[float, Field(ge=0, le=1)] = 0.99
    limit_ends: bool = True
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    lr: Rate = 3e-4
    lr_schedule: Literal["constant", "linear"] = "constant"
    epochs: Positive = 2
    minibatches: Positive = 8
    rollout_steps: Size = 32
    finish_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    clip_value: bool = True
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    entropy_coefficient: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: Rate = 0.2
    normalize_advantages: bool = False
    reward_scale: Rate = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01


class CheckpointOptions(Section):
    """When a run saves.

    Attributes:
        every: environment steps, rounded up to an update.
        keep: how many numbered checkpoints stay.
    """

    every: Positive = 100_000
    keep: Positive = 3


class Recipe(Section):
    """A whole run.

    Attributes:
        steps: environment steps in all, imitation's included.
        environment: an environment plugin.
        policy: "llarp" (frozen LLM), or a baseline: "lstm" or "transformer".
        num_envs: environments per process.
        seed: of everything.
        trackers: that get training's figures too, beside `metrics.jsonl`; each is an extra of the same name.
    """

    steps: Positive = 1_000_000
    seed: Count = 0
    environment: str = "home"
    policy: Literal["llarp", "lstm", "transformer"] = "llarp"
    num_envs: Size = 128
    backbone: BackboneOptions = BackboneOptions()
    vision: VisionOptions = VisionOptions()
    adapter: AdapterOptions = AdapterOptions()
    lstm: LSTMOptions = LSTMOptions()
    transformer: TransformerOptions = TransformerOptions()
    tasks: TaskOptions = TaskOptions()
    reward: RewardOptions = RewardOptions()
    imitation: ImitationOptions = ImitationOptions()
    ppo: PPOOptions = PPOOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ()

    @property
    def reads_with_backbone(self) -> bool:
        """Whether the policy runs the language model; else it takes its tokenizer, and perhaps its size."""
        return self.policy == "llarp" or (self.policy == "lstm" and self.lstm.instruction == "backbone")

    @property
    def label(self) -> str:
        """A short name of what is trained, for run directories, films and tables."""
        backbone = self.backbone.name + ("-random" if self.backbone.weights == "random" else "")
        if self.policy == "llarp":
            return backbone
        return f"{self.policy}-{backbone}" if self.reads_with_backbone else self.policy
