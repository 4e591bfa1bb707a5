"""The named vision encoders: VC-1 from its released layout, and each family's way of preparing pictures."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from llarp_cli import registry
from llarp_cli.config import VisionOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.vision.hub_encoder import HubEncoder

HIDDEN, LAYERS, PATCH, GRID = 128, 2, 16, 14
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def photograph(size: int, count: int = 1) -> np.ndarray:
    """Smooth pictures with sharp edges [count, size, size, 3]."""
    draw = np.random.default_rng(3)
    small = draw.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    pictures = [np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in small]
    pictures = np.stack(pictures).copy()
    pictures[:, size // 4 : size // 2, size // 3 : size // 2] = (250, 20, 40)
    return pictures


def load(name: str, **options):
    return registry.load("vision encoder", name).load(VisionOptions(name=name, **options), "cpu")


# VC-1


@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    """A small ViT as timm and VC-1's release name its tensors, with what its training left behind."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / math.sqrt(shape[-1])

    def linear(name: str, out: int, into: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": drawn(out, into), f"{name}.bias": drawn(out)}

    def norm(name: str) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + 0.3 * drawn(HIDDEN) * HIDDEN**0.5, f"{name}.bias": drawn(HIDDEN)}

    tensors = {
        "cls_token": drawn(1, 1, HIDDEN),
        "pos_embed": drawn(1, GRID * GRID + 1, HIDDEN) * 3,
        "patch_embed.proj.weight": drawn(HIDDEN, 3, PATCH, PATCH),
        "patch_embed.proj.bias": drawn(HIDDEN),
    }
    for index in range(LAYERS):
        block = f"blocks.{index}"
        tensors |= norm(f"{block}.norm1") | norm(f"{block}.norm2")
        tensors |= linear(f"{block}.attn.qkv", 3 * HIDDEN, HIDDEN) | linear(f"{block}.attn.proj", HIDDEN, HIDDEN)
        tensors |= linear(f"{block}.mlp.fc1", 4 * HIDDEN, HIDDEN) | linear(f"{block}.mlp.fc2", HIDDEN, 4 * HIDDEN)
    tensors |= norm("norm")
    return tensors | {"mask_token": drawn(1, 1, 8), "decoder_embed.weight": drawn(8, HIDDEN)}


def plain_vit(tensors: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """Normed tokens [B, 1 + patches, HIDDEN] of pixels, from the tensors as they are released."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (HIDDEN,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps=1e-6)

    patches = functional.conv2d(
        pixels, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=PATCH
    )
    x = torch.cat([tensors["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    x = x + tensors["pos_embed"]
    for index in range(LAYERS):
        block = f"blocks.{index}"
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x))
        query, key, value = qkv.unflatten(-1, (3, HIDDEN // 64, 64)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + linear(f"{block}.attn.proj", attended)
        x = x + linear(f"{block}.mlp.fc2", functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))))
    return norm("norm", x)


def prepared_by_pillow(rgb: np.ndarray, resized: int, side: int, resampling: int, mean, std) -> torch.Tensor:
    border = (resized - side) // 2
    box = (border, border, border + side, border + side)
    images = [Image.fromarray(one).resize((resized, resized), resampling).crop(box) for one in rgb]
    pixels = torch.tensor(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def save_released(released, folder, form: str):
    if form == "safetensors":
        save_file(released, folder / "model.safetensors")
        return folder
    checkpoint = {"model": released, "epoch": 182, "args": argparse.Namespace(lr=1e-4)}
    torch.save(checkpoint, folder / ("pytorch_model.bin" if form == "folder" else "vc1_vitb.pth"))
    return folder if form == "folder" else folder / "vc1_vitb.pth"


@pytest.mark.parametrize("form", ["file", "folder", "safetensors"])
def test_vc1_reads_its_released_file(released, tmp_path, form):
    rgb = photograph(224, count=3)
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = prepared_by_pillow(rgb, 256, 224, Image.Resampling.BICUBIC, *imagenet)
    expected = plain_vit(released, pixels)
    place = str(save_released(released, tmp_path, form))
    encoder = load("vc1", weights=place, image_size=224)
    assert (encoder.weights, encoder.feature_size, encoder.image_size) == (place, HIDDEN, 224)
    features = encoder.perceive(rgb)
    assert features.dtype == torch.float16 and features.shape == (3, 1, HIDDEN)
    assert (features[:, 0] - expected[:, 0]).abs().max() / expected.abs().max() < 0.02
    # Apart from how Pillow rounds, to the last digit.
    exact = plain_vit(released, encoder._prepared(torch.tensor(rgb)))[:, 0]
    torch.testing.assert_close(features[:, 0].float(), exact, atol=2e-3, rtol=2e-3)


def test_vc1_gives_its_patches_resampled(released, tmp_path):
    encoder = load("vc1", weights=str(save_released(released, tmp_path, "file")), image_size=64, tokens=4)
    rgb = photograph(64, count=2)
    patches = plain_vit(released, encoder._prepared(torch.tensor(rgb)))[:, 1:].unflatten(1, (GRID, GRID))
    quarters = patches.unflatten(1, (2, 7)).unflatten(3, (2, 7)).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(encoder.perceive(rgb).float(), quarters, atol=2e-3, rtol=2e-3)


def test_vc1_depends_on_every_tensor_of_the_encoder(released, tmp_path):
    used = {key: value for key, value in released.items() if "decoder" not in key and key != "mask_token"}
    hashes = {load("vc1", weights=str(save_released(released, tmp_path, "file"))).hash}
    for key in used:
        save_released(released | {key: released[key] + 1}, tmp_path, "file")
        hashes.add(load("vc1", weights=str(tmp_path / "vc1_vitb.pth")).hash)
    assert len(hashes) == 1 + len(used)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda tensors: None, "holds none of pytorch_model.bin"),
        (lambda tensors: b"nonsense", "is no VC-1"),
        (lambda tensors: {"model": {}}, "is no VC-1"),
        (lambda tensors: [1], "is no VC-1"),
        (lambda tensors: {k: v for k, v in tensors.items() if "blocks.0.norm2" not in k}, "is no VC-1"),
        (lambda tensors: tensors | {"fc_norm.weight": torch.ones(3)}, "is no VC-1"),
        (lambda tensors: tensors | {"norm.weight": torch.ones(3)}, "is no VC-1"),
    ],
)
def test_what_is_no_vc1_is_refused_in_one_line(released, tmp_path, damage, says):
    held = damage(released)
    file = tmp_path / "pytorch_model.bin"
    if isinstance(held, bytes):
        file.write_bytes(held)
    elif held is not None:
        torch.save(held, file)
    with pytest.raises(UsageProblem, match=says) as caught:
        load("vc1", weights=str(tmp_path))
    assert "\n" not in caught.value.message and "vc1_vitb.pth" in caught.value.hint


@pytest.mark.parametrize("place", ["/nowhere/vc1.pth", "nowhere.pth"])
def test_a_file_that_is_not_there_is_not_looked_up_on_the_hub(place):
    with pytest.raises(UsageProblem, match="there is no file"):
        load("vc1", weights=place)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"model": Trap()}, tmp_path / "vc1_vitb.pth")
    with pytest.raises(UsageProblem, match="is no VC-1"):
        load("vc1", weights=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


# Families


FAMILIES = {
    "clip": ("openai/clip-vit-base-patch16", 85.8, 224, 3, 0.48145466, 0.26862954),
    "dinov2": ("facebook/dinov2-base", 86.6, 256, 3, 0.485, 0.229),
    "siglip": ("google/siglip-base-patch16-224", 92.9, 224, 3, 0.5, 0.5),
    "vit-b": ("google/vit-base-patch16-224-in21k", 86.4, 224, 2, 0.5, 0.5),
}
"""Hub id, millions of parameters, size of resizing, Pillow's interpolation, mean and deviation of red."""


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_its_published_size_and_prepares_pictures_as_its_files_say(name):
    import transformers

    hub_id, millions, resized, resampling, mean, std = FAMILIES[name]
    plugin = registry.load("vision encoder", name)
    assert plugin.weights == hub_id
    with torch.device("meta"):
        whole = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**plugin.architecture))
    assert whole.num_parameters() / 1e6 == pytest.approx(millions, abs=0.05)

    tiny = {key: value for key, value in TINY.items() if key in plugin.architecture}
    encoder = replace(plugin, architecture={**plugin.architecture, **tiny}).load(
        VisionOptions(name=name, weights="random", image_size=128), "cpu"
    )
    preparation = encoder._preparation
    assert (preparation.side, preparation.mean[0], preparation.std[0]) == (224, mean, std)
    rgb = photograph(128)
    prepared = encoder._prepared(torch.tensor(rgb))
    numbers = (preparation.mean, preparation.std)

    def levels(interpolation: int) -> float:
        """Mean difference from Pillow's picture, of 256; Pillow's rounding alone makes 0.3."""
        expected = prepared_by_pillow(rgb, resized, 224, interpolation, *numbers)
        return 255 * preparation.std[0] * (prepared - expected).abs().mean().item()

    other = {Image.Resampling.BILINEAR, Image.Resampling.BICUBIC} - {resampling}
    assert levels(resampling) < 0.35
    assert levels(*other) > 0.4
    for tokens in (1, 4, 16):
        options = VisionOptions(name=name, weights="random", image_size=128, tokens=tokens)
        again = replace(plugin, architecture={**plugin.architecture, **tiny}).load(options, "cpu")
        assert again.hash == encoder.hash
        features = again.perceive(photograph(128, count=2))
        assert features.shape == (2, tokens, 32) and not features.requires_grad


def test_vit_b_with_random_weights_works_offline_at_full_size():
    encoder = load("vit-b", weights="random", image_size=64)
    assert encoder.feature_size == 768
    assert encoder.perceive(photograph(64, count=2)).shape == (2, 1, 768)


def write_model(folder, settings: dict) -> None:
    import transformers

    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=42, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("settings", "resized", "side", "interpolation"),
    [
        ({"size": 28, "resample": 2}, 28, 28, "bilinear"),
        ({"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}, "resample": 3}, 64, 56, "bicubic"),
        ({"size": {"height": 56, "width": 56}, "do_center_crop": False, "crop_size": 28}, 56, 56, "bilinear"),
        ({"size": 28, "crop_size": 56}, 56, 56, "bilinear"),
        ({"resample": 0}, 42, 42, "nearest-exact"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}}, 64, 56, "bilinear"),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 42, "crop_pct": 0.75}, 56, 42, "bilinear"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 384}, 384, 384, "bilinear"),
    ],
)
def test_the_preprocessor_file_is_followed(tmp_path, settings, resized, side, interpolation):
    write_model(tmp_path, settings)
    preparation = load(f"hf:{tmp_path}")._preparation
    assert (preparation.resized, preparation.side, preparation.interpolation) == (resized, side, interpolation)
    write_model(tmp_path, settings | {"do_normalize": False, "image_mean": [0.3] * 3})
    assert load(f"hf:{tmp_path}")._preparation.mean == (0.0, 0.0, 0.0)


def test_an_encoder_without_a_pooled_output_gives_the_mean_of_its_patches(tmp_path):
    import transformers

    sizes = {"hidden_sizes": [8, 8, 8, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 1, 2], "image_size": 64}
    transformers.SegformerModel(transformers.SegformerConfig(**sizes)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 64}))
    encoder = load(f"hf:{tmp_path}")
    assert encoder.perceive(photograph(64, count=2)).shape == (2, 1, 16)


def test_an_encoder_that_leaves_out_patches_by_chance_is_refused(tmp_path):
    import transformers

    sizes = {**TINY, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    transformers.ViTMAEModel(transformers.ViTMAEConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    with pytest.raises(UsageProblem, match="leaves parts of each picture out by chance"):
        load(f"hf:{tmp_path}", tokens=4)


def test_pictures_that_the_model_cannot_take_are_refused_in_one_line(tmp_path):
    import transformers

    write_model(tmp_path, {"size": 40})
    transformers.ViTModel(transformers.ViTConfig(**TINY, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    with pytest.raises(UsageProblem, match=r"takes no pictures of 40 x 40 pixels") as caught:
        load(f"hf:{tmp_path}")
    assert "\n" not in caught.value.message


def test_many_pictures_are_seen_in_batches_and_alike(monkeypatch, released, tmp_path):
    encoder = load("vc1", weights=str(save_released(released, tmp_path, "file")), image_size=64)
    rgb = photograph(64, count=7)
    together = encoder.perceive(rgb)
    monkeypatch.setattr("llarp_cli.vision.hub_encoder.PICTURES_AT_ONCE_ON_CPU", 3)
    seen = []
    features = HubEncoder._features
    monkeypatch.setattr(HubEncoder, "_features", lambda self, x: seen.append(len(x)) or features(self, x))
    torch.testing.assert_close(encoder.perceive(rgb), together, atol=2e-3, rtol=2e-3)
    assert seen == [3, 3, 1]


@pytest.mark.gpu
def test_on_a_gpu_the_encoder_computes_in_half_precision_with_the_hash_of_its_files(released, tmp_path):
    options = VisionOptions(name="vc1", weights=str(save_released(released, tmp_path, "file")), image_size=64)
    plugin = registry.load("vision encoder", "vc1")
    here, there = plugin.load(options, "cpu"), plugin.load(options, "cuda")
    assert there._model.dtype in (torch.bfloat16, torch.float16) and there.hash == here.hash
    rgb = photograph(64, count=3)
    difference = there.perceive(rgb).cpu().float() - here.perceive(rgb).float()
    assert difference.abs().max() < 0.1
