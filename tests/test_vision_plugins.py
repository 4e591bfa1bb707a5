"""Vision encoders from transformers and the trainable one: shapes, frozenness, exact preparation, refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llarp_cli import registry
from llarp_cli.config import VisionOptions
from llarp_cli.errors import UsageProblem

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TEXT = {**SMALL, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2}


def pictures(count: int = 3, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny checkpoints as the hub would hold them, one folder per kind."""
    import transformers as tf

    torch.manual_seed(0)
    made = {
        "clip": tf.CLIPModel(tf.CLIPConfig(vision_config=VISION, text_config=TEXT)),
        "siglip": tf.SiglipModel(tf.SiglipConfig(vision_config=VISION, text_config=TEXT)),
        "dinov2": tf.Dinov2Model(tf.Dinov2Config(**{**VISION, "image_size": 48})),
        "registers": tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(**{**VISION, "num_register_tokens": 4})),
        "vit": tf.ViTForImageClassification(tf.ViTConfig(**VISION)),  # no pooling weights, as on the hub
        "resnet": tf.ResNetModel(
            tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", image_size=32)
        ),
        "bert": tf.BertModel(tf.BertConfig(**SMALL, vocab_size=100)),
    }
    root = tmp_path_factory.mktemp("models")
    for name, model in made.items():
        model.save_pretrained(root / name)
        settings = {"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
        (root / name / "preprocessor_config.json").write_text(json.dumps(settings))
    for name in ("damaged", "headless", "bare"):
        shutil.copytree(root / "clip", root / name)
    (root / "damaged" / "model.safetensors").write_bytes(b"cut short")
    weights = load_file(root / "headless" / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "layers.1" not in k},
        root / "headless" / "model.safetensors",
        metadata={"format": "pt"},
    )
    (root / "bare" / "preprocessor_config.json").unlink()
    return root


def load(name: str, **options):
    return registry.load("vision encoder", name).load(VisionOptions(name=name, image_size=32, **options), "cpu")


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "registers", "vit", "resnet"])
@pytest.mark.parametrize("tokens", [1, 4])
def test_any_vision_model_gives_features(models, kind, tokens):
    encoder = load(f"hf:{models / kind}", tokens=tokens)
    features = encoder.perceive(pictures())
    assert features.shape == (3, tokens, encoder.feature_size)
    assert features.dtype == torch.float16 and not features.requires_grad
    assert encoder.trained is None and encoder.renderer is None
    assert features.float().std(0).max() > 1e-3
    alone = torch.cat([encoder.perceive(pictures()[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, features, atol=2e-3, rtol=2e-3)


def test_pictures_are_prepared_as_the_checkpoint_says(models):
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(models / "clip").vision_model.eval()
    rgb = pictures()
    pixels = (torch.tensor(rgb).permute(0, 3, 1, 2) / 255 - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / (
        torch.tensor([0.5, 0.6, 0.7])[:, None, None]
    )
    with torch.no_grad():
        expected = model(pixel_values=pixels)
    pooled = load(f"hf:{models / 'clip'}").perceive(rgb)
    torch.testing.assert_close(pooled[:, 0].float(), expected.pooler_output, atol=2e-3, rtol=2e-3)
    corner = expected.last_hidden_state[:, 1:].unflatten(1, (4, 4))[:, :2, 2:].mean((1, 2))
    patches = load(f"hf:{models / 'clip'}", tokens=4).perceive(rgb)
    torch.testing.assert_close(patches[:, 1].float(), corner, atol=2e-3, rtol=2e-3)


def test_a_checkpoint_without_pooling_weights_gives_its_class_token(models):
    from transformers import ViTModel

    model = ViTModel.from_pretrained(models / "vit", add_pooling_layer=False).eval()
    encoder = load(f"hf:{models / 'vit'}")
    with torch.no_grad():
        expected = model(pixel_values=encoder._prepared(torch.tensor(pictures()))).last_hidden_state[:, :1]
    torch.testing.assert_close(encoder.perceive(pictures()).float(), expected, atol=2e-3, rtol=2e-3)
    assert not encoder._model.pooler.dense.weight.any()  # drawn by transformers; the hash must not depend on it


def test_pictures_of_another_size_are_resized(models):
    plugin = registry.load("vision encoder", "hf:x")
    encoder = plugin.load(VisionOptions(name=f"hf:{models / 'clip'}", image_size=64), "cpu")
    large = pictures().repeat(2, axis=1).repeat(2, axis=2)
    assert encoder.image_size == 64
    difference = encoder.perceive(large) - load(f"hf:{models / 'clip'}").perceive(pictures())
    assert difference.abs().max() < 0.3


def test_random_weights_are_the_same_every_time_and_frozen(models):
    first, second = (load(f"hf:{models / 'siglip'}", weights="random") for _ in range(2))
    assert first.hash == second.hash != load(f"hf:{models / 'siglip'}").hash
    assert torch.equal(first.perceive(pictures()), second.perceive(pictures()))
    assert first.weights == "random"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("hf:", {}, "names no model"),
        ("hf:/nowhere/at/all", {}, "there is no folder '/nowhere/at/all'"),
        ("hf:{models}/damaged", {}, "cannot be loaded"),
        ("hf:{models}/headless", {}, "lacks weights, such as"),
        ("hf:{models}/bare", {}, "cannot be loaded"),
        ("hf:{models}/bert", {}, "sees no pictures"),
        ("hf:{models}/clip", {"tokens": 3}, "square"),
        ("hf:{models}/clip", {"tokens": 25}, "only 16 patches"),
        ("cnn", {"tokens": 3}, "square"),
        ("cnn", {"tokens": 9}, "at most 4"),
        ("cnn", {"weights": "x.safetensors"}, "takes none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(models, name, options, says):
    with pytest.raises(UsageProblem, match=says) as caught:
        load(name.format(models=models), **options)
    assert "\n" not in caught.value.message and caught.value.hint


def test_the_cnn_keeps_pictures_and_trains():
    encoder = load("cnn", tokens=4)
    rgb = pictures()
    stored = encoder.perceive(rgb)
    assert torch.equal(stored, torch.tensor(pictures()))
    rgb[:] = 0
    assert torch.equal(stored, torch.tensor(pictures())), "the simulator reuses its buffer"
    features = encoder.trained(stored)
    assert features.shape == (3, 4, encoder.feature_size) and features.dtype == torch.float32
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.trained.parameters())


def test_plugins_import_no_torch():
    code = "import sys, llarp_cli.vision.hub, llarp_cli.vision.cnn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
