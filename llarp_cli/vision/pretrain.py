"""Training of the home's vision encoder on renders of training homes.

Linear heads name, from the pooled feature: the categories within reach, the category held, the
standing pose, and whether what is at hand is open; and, from each cell of the feature map, the
categories in it, without which rare small things take very long to be told apart. Held-out
categories are left out of every loss, neither shown as present nor as absent. The heads are thrown
away; what the encoder is worth is read off by probes of its own (`assess`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, HELD_OUT_CATEGORIES, JOINTS, TARGETS
from llarp_cli.vision.home import check_shape
from llarp_cli.vision.home_encoder import FEATURES, HomeNet, check_writable, save_encoder, to_pixels
from llarp_cli.vision.views import Views, ViewSampler

HELD_OUT = [CATEGORIES.index(name) for name in HELD_OUT_CATEGORIES]
TRAINED = [i for i in range(len(CATEGORIES)) if i not in HELD_OUT]
NOTHING = len(CATEGORIES)


@dataclass(frozen=True)
class PretrainOptions:
    """What `llarp pretrain-vision` may be told.

    Attributes:
        pictures: to train on in all.
        image_size: side, pixels.
        homes: training homes.
        objects: in each home.
        batch: pictures per update.
        lr: peak of the one-cycle schedule.
        seed: of the weights and of the pictures.
    """

    pictures: int = 230_000
    image_size: int = 128
    homes: int = 1000
    objects: int = 35
    batch: int = 64
    lr: float = 3e-3
    seed: int = 0


class Heads(nn.Module):
    """Linear readouts of the pooled feature, thrown away after training."""

    def __init__(self):
        super().__init__()
        self.cells = nn.Conv2d(FEATURES, len(CATEGORIES), 1)
        self.normalise = nn.BatchNorm1d(FEATURES, affine=False)
        self.in_reach = nn.Linear(FEATURES, len(CATEGORIES))
        self.held = nn.Linear(FEATURES, len(CATEGORIES) + 1)
        self.stands_at = nn.Linear(FEATURES, len(TARGETS))
        self.opened = nn.Linear(FEATURES, len(JOINTS))

    def loss(self, feature_map: Tensor, views: Views) -> Tensor:
        """Sum of the masked losses for feature maps [B, 256, G, G]."""
        feature = self.normalise(whole(feature_map))
        cells = torch.from_numpy(views.cells).to(feature.device)
        cells[..., HELD_OUT] = -1
        in_reach = torch.from_numpy(views.in_reach).to(feature.device).clone()
        in_reach[:, HELD_OUT] = -1
        held = torch.from_numpy(views.held).to(feature.device)
        stands_at = torch.from_numpy(views.stands_at).to(feature.device)
        opened = torch.from_numpy(views.opened).to(feature.device)
        named = torch.isin(held, torch.tensor(HELD_OUT, device=held.device), invert=True)
        logits = self.held(feature)
        known = torch.full_like(logits, float("-inf"))
        known[:, [*TRAINED, NOTHING]] = logits[:, [*TRAINED, NOTHING]]
        # A held-out category in the hand still teaches that the hand is not empty.
        something = known[:, TRAINED].logsumexp(1) - known[:, NOTHING]
        return (
            100 * _masked_bce(self.cells(feature_map).permute(0, 2, 3, 1), cells)
            + 10 * _masked_bce(self.in_reach(feature), in_reach)
            + functional.cross_entropy(known[named], held[named])
            + functional.binary_cross_entropy_with_logits(something, (held != NOTHING).float())
            + 2 * functional.binary_cross_entropy_with_logits(self.stands_at(feature), stands_at)
            + _masked_bce(self.opened(feature), opened)
        )


def whole(feature_map: Tensor) -> Tensor:
    """The maximum of each feature over the picture, [B, 256]."""
    return feature_map.amax((2, 3))


def _normalised(net: HomeNet) -> HomeNet:
    """The network with batch normalisation after every convolution but the last, for training only."""
    layers: list[nn.Module] = []
    for layer in net.layers:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d) and layer.out_channels != FEATURES:
            layers.append(nn.BatchNorm2d(layer.out_channels))
    net.layers = nn.Sequential(*layers)
    return net


@torch.no_grad()
def _fold_normalisation(net: HomeNet) -> None:
    """Put each batch normalisation into the convolution before it."""
    layers: list[nn.Module] = []
    for layer in net.layers:
        layers.append(fuse_conv_bn_eval(layers.pop(), layer) if isinstance(layer, nn.BatchNorm2d) else layer)
    net.layers = nn.Sequential(*layers)


def _masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    known = labels >= 0
    total = functional.binary_cross_entropy_with_logits(logits[known], labels[known], reduction="sum")
    return total / known.sum().clamp(min=1)


def pretrain_vision(
    world: World, out: Path, options: PretrainOptions, progress: Callable[[int, int, float], None]
) -> None:
    """Train an encoder and write it to `out`.

    On one thread the same options give the same file, byte for byte.

    Args:
        progress: called with pictures so far, pictures in all and the running loss.

    Raises:
        UsageProblem: the file cannot be written (said before training), or `check_shape` refuses.
    """
    check_shape(options.image_size)
    check_writable(out)
    torch.manual_seed(options.seed)
    net = _normalised(HomeNet()).to(memory_format=torch.channels_last)
    heads = Heads()
    updates = max(options.pictures // options.batch, 2)
    optimizer = torch.optim.AdamW([*net.parameters(), *heads.parameters()], lr=options.lr, weight_decay=1e-4)
    rising = max(0.1, 1.5 / updates)  # the schedule divides by zero where an update alone would rise
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, updates, pct_start=rising)
    scenes = [world.train_scene(index) for index in range(options.homes)]
    sampler = ViewSampler(world, scenes, options.batch, options.image_size, options.objects, options.seed)
    running = 0.0
    for update in range(updates):
        views = sampler.sample()
        loss = heads.loss(net(to_pixels(views.rgb, "cpu")), views)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if update == 0 else 0.98 * running + 0.02 * loss.item()
        progress((update + 1) * options.batch, updates * options.batch, running)
    net.eval()
    heads.eval()
    _fold_normalisation(net)
    net.feature_mean.copy_(heads.normalise.running_mean)
    net.feature_std.copy_((heads.normalise.running_var + 1e-5).sqrt())
    save_encoder(net, out, renderer=world.version, training=asdict(options) | {"pictures": updates * options.batch})
