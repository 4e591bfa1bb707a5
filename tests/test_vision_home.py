"""The home's vision encoder: file format, features, and what its report is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llarp_cli.config import VisionOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.vision.home import home
from llarp_cli.vision.home_encoder import HomeEncoder, HomeNet, save_encoder, to_pixels
from llarp_cli.vision.pretrain import average_precision


def pictures(count: int = 5, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    net = HomeNet().eval()
    net.feature_std.fill_(2.0)
    path = tmp_path / "encoder.safetensors"
    save_encoder(net, path, renderer="test-1", report={})
    return net, path


def test_a_saved_encoder_perceives_what_its_network_computes(saved):
    net, path = saved
    encoder = HomeEncoder.load(str(path), 64, 1, "cpu")
    with torch.no_grad():
        expected = net.pooled(net(to_pixels(pictures(), "cpu")), 1)
    assert encoder.renderer == "test-1"
    torch.testing.assert_close(encoder.perceive(pictures()).float(), expected, atol=2e-3, rtol=2e-3)


def test_the_hash_follows_the_weights(saved, tmp_path):
    net, path = saved
    other = tmp_path / "other.safetensors"
    net.layers[0].weight.data[0, 0, 0, 0] += 1e-3
    save_encoder(net, other, renderer="test-1", report={})
    hashes = {HomeEncoder.load(str(p), 64, 1, "cpu").hash for p in (path, other)}
    assert len(hashes) == 2


def test_batch_mates_do_not_change_a_feature():
    encoder = home.load(VisionOptions(weights="random", image_size=64), "cpu")
    together = encoder.perceive(pictures(40))
    alone = torch.cat([encoder.perceive(pictures(40)[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)


def test_spatial_tokens_keep_the_pooled_maximum():
    coarse = home.load(VisionOptions(weights="random", image_size=64, tokens=1), "cpu").perceive(pictures())
    fine = home.load(VisionOptions(weights="random", image_size=64, tokens=4), "cpu").perceive(pictures())
    assert fine.shape == (5, 4, 256)
    torch.testing.assert_close(fine.max(1, keepdim=True).values, coarse, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (VisionOptions(tokens=3), "vision.tokens = 3"),
        (VisionOptions(image_size=100), "vision.image_size = 100"),
        (VisionOptions(weights="nowhere.safetensors"), "do not exist"),
    ],
)
def test_what_it_cannot_do_is_said(options, said):
    with pytest.raises(UsageProblem, match=said):
        home.load(options, "cpu")


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(UsageProblem, match="are not a home encoder's"):
        HomeEncoder.load(str(path), 64, 1, "cpu")


def test_average_precision_against_hand_counts():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    assert average_precision(scores, np.array([1, 1, 0, 0, 0])) == 1.0
    assert average_precision(scores, np.array([0, 1, 0, 1, 0])) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision(scores, np.array([-1, 1, -1, 1, 0])) == 1.0
    assert np.isnan(average_precision(scores, np.zeros(5)))
