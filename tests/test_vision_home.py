"""The home's vision encoder: its file, its tokens, how it is trained, and what its report is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from llarp_cli import registry
from llarp_cli.config import VisionOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS
from llarp_cli.vision import assess as assessing
from llarp_cli.vision.assess import HELD_OUT, NOTHING, AssessOptions, Seen, average_precision
from llarp_cli.vision.assess_report import plot_confusion, tables_of
from llarp_cli.vision.home import home
from llarp_cli.vision.home_encoder import FusedLayers, HomeEncoder, HomeNet, resampled, save_encoder, to_pixels
from llarp_cli.vision.pretrain import PretrainOptions, pretrain_vision
from llarp_cli.vision.probes import one_of, yes_or_no
from llarp_cli.vision.views import ViewSampler

TINY = ("--pictures", 128, "--homes", 3, "--probe-pictures", 64, "--test-pictures", 64)


def pictures(count: int = 5, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    net = HomeNet().eval()
    net.feature_std.fill_(2.0)
    path = tmp_path / "encoder.safetensors"
    save_encoder(net, path, renderer="test-1", training={})
    return net, path


def test_a_saved_encoder_perceives_what_its_network_computes(saved):
    net, path = saved
    encoder = HomeEncoder.load(str(path), 64, 1, "cpu")
    with torch.no_grad():
        expected = net.pooled(net(to_pixels(pictures(), "cpu")), 1)
    assert encoder.renderer == "test-1"
    torch.testing.assert_close(encoder.perceive(pictures()).float(), expected, atol=2e-3, rtol=2e-3)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
@pytest.mark.parametrize("size", [16, 64, 128])
def test_fused_layers_compute_what_the_layers_do(saved, size):
    net, _ = saved
    pixels = to_pixels(pictures(3, size), "cpu")
    with torch.no_grad():
        torch.testing.assert_close(FusedLayers(net.layers)(pixels), net(pixels), atol=1e-5, rtol=1e-5)


def test_the_hash_follows_the_weights(saved, tmp_path):
    net, path = saved
    other = tmp_path / "other.safetensors"
    net.layers[0].weight.data[0, 0, 0, 0] += 1e-3
    save_encoder(net, other, renderer="test-1", training={})
    hashes = {HomeEncoder.load(str(p), 64, 1, "cpu").hash for p in (path, other)}
    assert len(hashes) == 2


def test_batch_mates_do_not_change_a_feature():
    encoder = home.load(VisionOptions(weights="random", image_size=64), "cpu")
    together = encoder.perceive(pictures(40))
    alone = torch.cat([encoder.perceive(pictures(40)[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)


@pytest.mark.parametrize("tokens", [4, 9, 16])
def test_spatial_tokens_keep_the_pooled_maximum(tokens):
    coarse = home.load(VisionOptions(weights="random", image_size=64, tokens=1), "cpu").perceive(pictures())
    fine = home.load(VisionOptions(weights="random", image_size=64, tokens=tokens), "cpu").perceive(pictures())
    assert fine.shape == (5, tokens, 256)
    assert torch.equal(fine.max(1, keepdim=True).values, coarse)


def test_spatial_tokens_come_row_by_row():
    blank, marked = np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)
    marked[:, :4, -4:] = 255  # above, to the right
    encoder = home.load(VisionOptions(weights="random", image_size=64, tokens=4), "cpu")
    changed = (encoder.perceive(marked) - encoder.perceive(blank)).abs().amax(2)[0]
    assert changed[1] > 0
    assert not changed[[0, 2, 3]].any()


def test_fewer_tokens_are_the_finest_ones_resampled():
    finest = home.load(VisionOptions(weights="random", image_size=64, tokens=16), "cpu").perceive(pictures())
    feature_map = finest.float().transpose(1, 2).unflatten(2, (4, 4))
    for tokens in (1, 4, 9):
        given = home.load(VisionOptions(weights="random", image_size=64, tokens=tokens), "cpu").perceive(pictures())
        assert torch.equal(given.float(), resampled(feature_map, tokens))


def test_half_precision_is_enough_for_real_features():
    sampler = ViewSampler(registry.load("environment", "home"), ["home-0", "home-1"], 8, 128, 20, 0)
    encoder = home.load(VisionOptions(tokens=64), "cpu")
    rgb = sampler.sample().rgb
    with torch.no_grad():
        exact = encoder._net.pooled(encoder._net(torch.tensor(rgb).permute(0, 3, 1, 2).float()), 64)
    assert exact.abs().max() < 1000  # of 65,504
    torch.testing.assert_close(encoder.perceive(rgb).float(), exact, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        (VisionOptions(tokens=3), "vision.tokens=3: ", "write vision.tokens=1"),
        (VisionOptions(tokens=16, image_size=48), "vision.tokens=16: .* at most 9 ", "write vision.tokens=9"),
        (VisionOptions(image_size=100), "vision.image_size=100: ", "write vision.image_size=96"),
        (VisionOptions(weights="nowhere.safetensors"), "do not exist", "llarp pretrain-vision"),
    ],
)
def test_what_it_cannot_do_is_said(options, said, hint):
    with pytest.raises(UsageProblem, match=said) as caught:
        home.load(options, "cpu")
    assert hint in caught.value.hint


def test_foreign_and_damaged_files_are_refused(saved, tmp_path):
    _, path = saved
    whole = path.read_bytes()
    path.with_name("noise").write_bytes(b"not safetensors at all")
    path.with_name("empty").write_bytes(b"")
    path.with_name("cut").write_bytes(whole[: len(whole) // 2])
    save_file({"layers.0.weight": torch.zeros(3)}, path.with_name("other"))
    for name in ("noise", "empty", "cut", "other"):
        with pytest.raises(UsageProblem, match="are not a home encoder's") as caught:
            HomeEncoder.load(str(tmp_path / name), 64, 1, "cpu")
        assert "\n" not in caught.value.message


def test_an_encoder_is_written_whole_or_not_at_all(saved, tmp_path):
    net, path = saved
    with pytest.raises(LlarpError, match="cannot be written"):
        save_encoder(net, tmp_path / "none" / "encoder.safetensors", renderer="1", training={})
    first = path.read_bytes()
    save_encoder(net, path, renderer="test-1", training={})
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_average_precision_against_hand_counts():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    assert average_precision(scores, np.array([1, 1, 0, 0, 0])) == 1.0
    assert average_precision(scores, np.array([0, 1, 0, 1, 0])) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert average_precision(scores, np.array([-1, 1, -1, 1, 0])) == 1.0
    assert np.isnan(average_precision(scores, np.zeros(5)))


def test_average_precision_of_a_rarer_kind():
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 0, 1])
    assert average_precision(scores, labels, absent=0.5) == pytest.approx((1 / 1.5 + 2 / 3) / 2)


def test_labels_are_what_the_predicates_say():
    world = registry.load("environment", "home")
    sampler = ViewSampler(world, ["home-0", "home-1"], 16, 128, 25, 5)
    for _ in range(4):
        views = sampler.sample()
    simulator = sampler._simulator
    facts = Facts(simulator)
    facts.refresh(np.arange(16), np.arange(16))
    pixels, seen = simulator.visible(), 0
    for home_ in range(16):
        faced = [r for r in range(len(RECEPTACLES)) if views.stands_at[home_, len(JOINTS) + r]]
        for category in range(len(CATEGORIES)):
            items = np.flatnonzero(simulator.categories[home_] == category)
            items = items[items != simulator.held[home_]]
            reached = items[facts.at_object[home_, items]]
            on = items[facts.on[home_, items][:, faced].any(1)]
            assert (views.in_reach[home_, category] == 0) == (len(reached) == 0)
            assert views.largest[home_, category] == pixels[home_, reached].max(initial=0)
            assert (views.in_reach[home_, category] == 1) == (pixels[home_, reached].max(initial=0) >= 12)
            if faced:
                assert (views.faced[home_, category] == 1) == (pixels[home_, on].max(initial=0) >= 12)
                seen += len(on)
            else:
                assert views.faced[home_, category] == -1
    assert seen > 10


def test_some_pictures_are_taken_nearer_than_where_the_robot_stands():
    world = registry.load("environment", "home")
    scene = world.scene("home-0")
    for nearer in (0, 1):
        sampler = ViewSampler(world, ["home-0"], 32, 64, 5, 0, nearer=nearer)
        views, robot = sampler.sample(), sampler._simulator.robot
        ahead = []
        for home_ in range(32):
            for x, z, heading in scene.stands[views.stands_at[home_] > 0] * (1e-3, 1e-3, np.deg2rad(1e-3)):
                away = robot[home_, :2] - (x, z)
                ahead.append(away @ (np.cos(heading), np.sin(heading)))
                assert abs(away @ (-np.sin(heading), np.cos(heading))) < 0.1
        assert views.stands_at.any(1).all() if nearer else not views.stands_at.any(1).all()
        assert not nearer or (max(ahead) > 0.3 and min(ahead) > -0.1)
        sampler.sample()
    assert np.abs(sampler._advanced).astype(bool).sum() == 2  # one home in 16 is rearranged each round


def test_probes_read_what_is_linear_and_leave_out_what_is_unknown():
    random = np.random.default_rng(0)
    features = torch.from_numpy(random.normal(size=(400, 6)).astype(np.float32)) * 30 + 7
    truth = (features.numpy()[:, :2] > 7).astype(np.float32)
    labels = truth.copy()
    labels[200:, 1] = 1 - labels[200:, 1]  # wrong, but left out:
    labels[200:, 1] = -1
    found = yes_or_no(features, labels)(features) > 0
    assert (found == truth).mean() > 0.99
    classes = features.numpy()[:, 2:5].argmax(1)
    assert (one_of(features, classes, 3)(features).argmax(1) == classes).mean() > 0.99
    assert np.array_equal(yes_or_no(features, labels)(features), yes_or_no(features, labels)(features))


def seen(count: int = 600, seed: int = 0) -> Seen:
    """Pictures whose features are the truth itself, except for the last category, which no feature tells."""
    random = np.random.default_rng(seed)
    in_reach = (random.random((count, len(CATEGORIES))) < 0.2).astype(np.float32)
    held = random.integers(NOTHING + 1, size=count)
    stands_at = np.eye(len(TARGETS), dtype=np.float32)[random.integers(len(TARGETS), size=count)]
    opened = (random.random((count, len(JOINTS))) < 0.5).astype(np.float32)
    opened[:, 2] = -1
    told = in_reach.copy()
    told[:, -1] = random.random(count)
    things = random.integers(len(CATEGORIES), size=count)
    return Seen(
        features=torch.from_numpy(np.hstack([told, np.eye(NOTHING + 1)[held], stands_at, opened]).astype(np.float32)),
        in_reach=in_reach,
        largest=np.full(in_reach.shape, 25, np.int32),
        distance=np.where(in_reach > 0, random.choice([1.0, 1.2], in_reach.shape), np.inf).astype(np.float32),
        faced=in_reach,
        faced_largest=np.where(np.arange(len(CATEGORIES)) == 0, 15, 25) * np.ones((count, 1), np.int32),
        held=held,
        stands_at=stands_at,
        opened=opened,
        things=torch.from_numpy(np.eye(len(CATEGORIES), dtype=np.float32)[things]),
        thing_categories=things,
    )


@pytest.fixture(scope="module")
def report():
    """What `assess` makes of pictures whose features tell everything but the last category."""
    looks = iter([seen(600, 0), seen(600, 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assessing, "_look", lambda *_: next(looks))
        return assessing.assess("random", registry.load("environment", "home"), AssessOptions(), lambda *_: None)


def test_a_report_says_what_features_tell_and_what_they_do_not(report):
    accuracy, precision = report["accuracy"], report["average_precision"]
    assert accuracy["category held, or none"]["rate"] == accuracy["receptacle faced"]["rate"] == 1.0
    assert accuracy["receptacle faced"]["pictures"] < accuracy["standing pose"]["pictures"] == 600
    assert accuracy["category held, or none"]["pictures"] + accuracy["category held, held-out ones"]["pictures"] == 600
    low, high = accuracy["standing pose"]["interval"]
    assert 0.99 < low < high == pytest.approx(1)
    assert accuracy["  right drawer"] == {"pictures": 0, "right": 0, "rate": None, "interval": None}
    assert report["mean_average_precision"]["in_reach"]["training"] == pytest.approx(1.0)
    last = precision[CATEGORIES[-1]]["in_reach"]
    assert len(CATEGORIES) - 1 in HELD_OUT
    assert 0.1 < last["value"] < 0.4 and last["objects"] == int(seen(600, 1).in_reach[:, -1].sum())
    assert report["mean_average_precision"]["in_reach"]["held_out"] == pytest.approx((4 + last["value"]) / 5)
    assert precision[CATEGORIES[0]]["faced"] == {"objects": 0, "value": None}  # 15 pixels each
    bands = [precision["ball"][column] for column in ("0.0-1.1 m", "1.1-1.3 m", "1.3-1.5 m")]
    assert bands[0]["objects"] + bands[1]["objects"] == precision["ball"]["in_reach"]["objects"]
    assert bands[2] == {"objects": 0, "value": None}
    assert np.array_equal(np.diag(np.bincount(seen(600, 1).thing_categories)), report["confusion"])


def test_a_report_as_tables_and_as_a_picture(report, tmp_path):
    text = tables_of(report)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["receptacle faced", str(report["accuracy"]["receptacle faced"]["pictures"]), "100.00%"] in [
        row[:3] for row in rows
    ]
    assert {"mug *", "mean, training", "mean, held-out"} <= {row[0] for row in rows}
    assert json.loads(json.dumps(report)) == report
    plot_confusion(report, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


def test_training_is_repeated_byte_for_byte(tmp_path):
    world, threads = registry.load("environment", "home"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            options = PretrainOptions(pictures=192, homes=3, image_size=64, seed=seed)
            pretrain_vision(world, tmp_path / name, options, lambda *_: torch.rand(1))
    finally:
        torch.set_num_threads(threads)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata()["renderer"] == world.version
        assert json.loads(file.metadata()["training"])["pictures"] == 192


def test_train_and_evaluate_from_the_command_line(llarp, tmp_path):
    trained = llarp("pretrain-vision", "--out", "e.safetensors", *TINY, "--json", "e.json", "--plot", "e.png")
    assert trained.exit_code == 0, trained.output
    assert "128 / 128 pictures" in trained.stderr and "left  loss" in trained.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["e.json", "e.png", "e.safetensors"]
    again = llarp("pretrain-vision", "--evaluate", "e.safetensors", *TINY[4:], "--json", "again.json")
    assert again.stdout == trained.stdout.partition("\n")[2], "the same figures right after training as later"
    report = json.loads((tmp_path / "e.json").read_text())
    assert report == json.loads((tmp_path / "again.json").read_text())
    assert report["encoder"]["sha256"] == HomeEncoder.load(str(tmp_path / "e.safetensors"), 128, 1, "cpu").hash


def test_the_shipped_encoder_is_evaluated_at_other_sizes_and_tokens(llarp):
    result = llarp("pretrain-vision", "--evaluate", *TINY[4:], "--image-size", 64, "--tokens", 9)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("encoder shipped, 9 tokens: 64 pictures of 34 unseen homes, 64 pixels")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to do"),
        (["--out", "a.safetensors", "--evaluate"], "give either"),
        (["--out", "a.bin"], "does not end in .safetensors"),
        (["--out", "none/a.safetensors"], "there is no folder"),
        (["--out", "/proc/a.safetensors"], "'/proc/a.safetensors' cannot be written"),
        (["--out", "a.safetensors", "--image-size", "100"], "--image-size 100: "),
        (["--evaluate", "--tokens", "5"], "--tokens 5: "),
        (["--evaluate", "none.safetensors"], "do not exist"),
        (["--out", "a.safetensors", "--pictures", "0"], "--pictures"),
    ],
)
def test_bad_options_are_the_users_mistake(llarp, tmp_path, arguments, said):
    result = llarp("pretrain-vision", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_training_leaves_nothing(llarp, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    result = llarp("pretrain-vision", "--out", "e.safetensors", *TINY)
    assert result.exit_code == 130 and result.stderr.endswith("interrupted\n")
    assert list(tmp_path.iterdir()) == []
