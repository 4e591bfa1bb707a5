"""Policies on disk: round trips, what is refused, the model card, and the Python API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from doubles import install_doubles
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import llarp_cli
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.export import export_policy
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.files import POLICY_FILES, open_policy, save_policy
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.runs import RunDirectory
from llarp_cli.train import train

BOTH = pytest.mark.parametrize("kind", ["llarp", "lstm", "transformer"])


@pytest.fixture(autouse=True)
def _doubles(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    install_doubles(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def recipe(kind: str = "llarp", **changes) -> Recipe:
    settings = {
        "policy": kind,
        "backbone": {"name": "fake"},
        "vision": {"name": "fake", "image_size": 16, "tokens": 2},
        "adapter": {"hidden": 16, "decoder_hidden": 16, "action_tokens": 1},
        "seed": 3,
    }
    for key, value in changes.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return Recipe.model_validate(settings)


def saved(folder: Path, kind: str = "llarp", **changes):
    """A policy with some training behind it, and where it was saved."""
    made = recipe(kind, **changes)
    policy = build_policy(made, "cpu")
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    save_policy(policy, made, folder)
    return policy


def pictures(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def logits_of(agent) -> np.ndarray:
    return np.stack([agent.act_logits(picture, "put the apple away") for picture in pictures()])


@BOTH
def test_a_fresh_process_acts_identically(kind, tmp_path):
    saved(tmp_path / "policy", kind)
    agent = llarp_cli.load_policy(tmp_path / "policy", "cpu")
    actions = [agent.act(picture, "put the apple away") for picture in pictures()]
    code = (
        "import sys, numpy as np, torch, llarp_cli; torch.set_num_threads(1)\n"
        "agent = llarp_cli.load_policy(sys.argv[1], 'cpu')\n"
        "rgb = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)\n"
        "actions = [agent.act(picture, 'put the apple away') for picture in rgb]\n"
        "agent.reset()\n"
        "np.save(sys.argv[2], np.stack([agent.act_logits(picture, 'put the apple away') for picture in rgb]))\n"
        "print(actions)"
    )
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent)])
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "policy"), str(tmp_path / "logits.npy")],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(out.stdout) == actions
    assert len(set(actions)) > 1
    agent.reset()
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), logits_of(agent))


@BOTH
def test_only_trained_parameters_are_saved(kind, tmp_path):
    policy = saved(tmp_path, kind, vision={"weights": "trained"})
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(POLICY_FILES)
    with safe_open(tmp_path / "adapter.safetensors", framework="pt") as file:
        assert set(file.keys()) == {name for name, _ in policy.named_parameters()}
    assert "adapter.vision.linear.weight" in policy.state_dict()
    opened, _ = open_policy(tmp_path)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, opened.state_dict()[name])


def test_the_configuration_says_what_it_was_trained_around(tmp_path):
    policy = saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == 1 and config["llarp"] == llarp_cli.__version__ and config["policy"] == "llarp"
    assert config["backbone"] == {
        "name": "fake",
        "weights": "random",
        "revision": None,
        "hash": policy.frozen.backbone.weights_hash(),
        "dtype": "float32",
        "frozen": True,
        "lora_rank": 0,
    }
    assert config["vision"] == {
        "name": "fake",
        "weights": "fixed",
        "hash": "abc",
        "renderer": None,
        "image_size": 16,
        "tokens": 2,
        "feature_size": 12,
    }
    assert config["skills"] == [str(skill) for skill in SKILLS]
    assert open_policy(tmp_path)[1] == recipe()


def test_a_backbone_that_is_no_more_than_the_contract_asks_is_trained_around(tmp_path):
    tasks = {"families": ["move"], "categories": ["apple"], "homes": 2, "objects": 8}
    settings = recipe(steps=32, num_envs=4, tasks=tasks, ppo={"rollout_steps": 8})
    run = RunDirectory.open(train(settings, run_dir=tmp_path / "run"))
    assert run.numbered() == [32]


@BOTH
def test_what_is_trained_never_drops_anything(kind):
    modules = list(build_policy(recipe(kind), "cpu").modules())
    recurrent = [module for module in modules if isinstance(module, nn.RNNBase)]
    assert len(recurrent) == (2 if kind == "lstm" else 0)
    # cuDNN gives those gradients in training mode alone.
    assert [module for module in modules if module.training] == recurrent
    assert not any(module.dropout for module in recurrent)


def test_building_is_seeded_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (build_policy(recipe(seed=seed, vision={"weights": "trained"}), "cpu") for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    weights = [p.state_dict() for p in (first, second, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    for name in ("adapter.vision.linear.weight", "adapter.observation.mlp.0.weight"):
        assert not torch.equal(weights[0][name], weights[2][name])


def shorten(folder: Path) -> None:
    file = folder / "adapter.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def edit(name: str, **changes):
    def change(folder: Path) -> None:
        path = folder / name
        data = json.loads(path.read_text()) if name.endswith("json") else yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *outer, last = key.split("__")
            inner = data
            for part in outer:
                inner = inner[part]
            inner[last] = value
        path.write_text(json.dumps(data) if name.endswith("json") else yaml.safe_dump(data))

    return change


def replace_adapter(folder: Path) -> None:
    """Another adapter, its hash recorded as if it belonged here."""
    import hashlib

    file = folder / "adapter.safetensors"
    parameters = load_file(file)
    parameters["adapter.decoder.mlp.3.bias"] = torch.zeros(71)
    save_file(parameters, file)
    edit("config.json", adapter_sha256=hashlib.sha256(file.read_bytes()).hexdigest())(folder)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda f: (f / "adapter.safetensors").unlink(), "holds no adapter.safetensors"),
        (lambda f: (f / "config.json").unlink(), "holds no config.json"),
        (lambda f: (f / "recipe.yaml").unlink(), "holds no recipe.yaml"),
        (shorten, "damaged or another policy's"),
        (lambda f: (f / "adapter.safetensors").write_bytes(b"PK\x03\x04"), "damaged or another policy's"),
        (replace_adapter, r"adapter.decoder.mlp.3.bias is float32 \[71\], not float32 \[70\]"),
        (lambda f: (f / "config.json").write_text('{"format": 1, '), "not JSON"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "not JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "not a llarp policy's"),
        (lambda f: (f / "config.json").write_text("[1]"), "not a llarp policy's"),
        (edit("config.json", backbone__name="\ud800"), "not JSON"),
        (edit("config.json", format=2, llarp="9.0"), "has format 2, written by llarp 9.0"),
        (edit("config.json", vision__tokens="many"), "damaged: vision.tokens"),
        (edit("config.json", skills=["fly"]), r"does not fit its recipe: adapter.* is float32"),
        (edit("config.json", backbone__hash="0" * 64), "was trained around weights 'random' of hash 000000000000"),
        (edit("config.json", vision__hash="0" * 64), "was trained with vision encoder 'fake'"),
        (edit("recipe.yaml", adapter__hidden=17), "does not fit its recipe"),
        (edit("recipe.yaml", adapter__action_tokens=0), "also holds adapter.action_tokens"),
        (edit("recipe.yaml", banana=1), "unknown key 'banana'"),
        (lambda f: (f / "recipe.yaml").write_text("a: [1"), "is not a recipe"),
        (edit("recipe.yaml", backbone__name="nonesuch"), "unknown backbone 'nonesuch'"),
    ],
)
def test_what_is_not_as_saved_is_refused_in_one_line(harm, says, tmp_path):
    saved(tmp_path / "policy")
    harm(tmp_path / "policy")
    with pytest.raises(UsageProblem, match=says) as caught:
        llarp_cli.load_policy(tmp_path / "policy", "cpu")
    assert "\n" not in caught.value.message and caught.value.hint


def test_other_weights_are_accepted_only_if_they_are_the_same(tmp_path):
    saved(tmp_path / "policy")
    llarp_cli.load_policy(tmp_path / "policy", "cpu", weights="0")
    with pytest.raises(UsageProblem, match="'1' has"):
        llarp_cli.load_policy(tmp_path / "policy", "cpu", weights="1")


def test_no_directory_and_no_policy_are_told_apart(tmp_path):
    for path, says in [(tmp_path / "none", "no such directory"), (tmp_path, "adapter.safetensors")]:
        with pytest.raises(UsageProblem, match=says):
            llarp_cli.load_policy(path)
    with pytest.raises(UsageProblem, match="not a trained policy"):
        llarp_cli.load_policy("planner")


def test_a_directory_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        saved(tmp_path / "file" / "policy")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vision": {"tokens": 8}}, "holds 300"),
        ({"backbone": {"name": "fak"}}, "unknown backbone 'fak'"),
        ({"vision": {"name": "fak"}}, "unknown vision encoder 'fak'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(UsageProblem, match=says):
        build_policy(recipe(**changes), "cpu")


class World:
    name, version, vision = "toy", "toy-2", "fake"


def test_pictures_the_encoder_was_not_trained_on_are_refused(monkeypatch):
    import doubles

    assert build_policy(recipe(vision={"name": None}), "cpu", world=World()).frozen.encoder.name == "fake"
    load = doubles.FakeVisionPlugin.load

    def with_renderer(self, options, device):
        encoder = load(self, options, device)
        encoder.renderer = "toy-1"
        return encoder

    monkeypatch.setattr(doubles.FakeVisionPlugin, "load", with_renderer)
    with pytest.raises(UsageProblem, match=r"'toy-1'.*'toy-2'") as caught:
        build_policy(recipe(), "cpu", world=World())
    assert "llarp pretrain-vision" in caught.value.hint


@BOTH
def test_an_agent_keeps_track_of_its_episode(kind, tmp_path):
    saved(tmp_path, kind)
    agent = llarp_cli.load_policy(tmp_path, "cpu")
    assert agent.skills[33] == "pick up the apple" and agent.image_size == 16
    first = logits_of(agent)
    agent.reset()
    np.testing.assert_array_equal(logits_of(agent), first)
    assert not np.array_equal(agent.act_logits(pictures()[0], "put the apple away"), first[0])  # the episode goes on
    agent.act(pictures()[0], "something else")
    np.testing.assert_array_equal(logits_of(agent), first)  # a new instruction starts anew
    draws = [
        [agent.act(picture, f"{i}", deterministic=False, generator=generator) for picture in pictures()]
        for i in range(2)
        for generator in [torch.Generator().manual_seed(0)]
    ]
    assert len(set(draws[0] + draws[1])) > 1


def test_an_agent_refuses_other_pictures_and_longer_episodes(tmp_path):
    saved(tmp_path)
    agent = llarp_cli.load_policy(tmp_path, "cpu")
    for picture in (np.zeros((32, 32, 3), np.uint8), np.zeros((16, 16, 3), np.float32)):
        with pytest.raises(UsageProblem, match=r"wants uint8 \[16, 16, 3\]"):
            agent.act(picture, "go")
    for _ in range(32):
        agent.act(pictures()[0], "go")
    with pytest.raises(UsageProblem, match="episode is over"):
        agent.act(pictures()[0], "go")
    agent.reset()
    agent.act(pictures()[0], "go")


@pytest.fixture
def run(tmp_path):
    """A run directory with two checkpoints, the first of them the best."""
    path = tmp_path / "runs" / "one"
    for steps in ("100", "200"):
        saved(path / "checkpoints" / steps, seed=int(steps))
    (path / "run.json").write_text("{}")
    (path / "checkpoints" / "best").symlink_to("100")
    (path / "checkpoints" / "last").symlink_to("200")
    return path


def test_a_run_stands_for_the_checkpoint_that_eval_evaluates(run):
    assert llarp_cli.load_policy(run).recipe.seed == 200
    assert llarp_cli.load_policy(run / "checkpoints" / "best").recipe.seed == 100


def results(success: float, checkpoint: Path) -> dict:
    """What `eval --json` tells of a checkpoint, from another directory, by a link that has moved since."""
    sha = json.loads((checkpoint / "config.json").read_text())["adapter_sha256"]
    about = {
        "policy": "llarp",
        "steps": 1,
        "world": "home",
        "version": "2",
        "split": "rephrasing",
        "source": "benchmark",
    }
    about |= {"adapter_sha256": sha, "episodes_sha256": "0" * 64, "seed": 5, "deterministic": False, "outcomes": []}
    split = {"episodes": 200, "successes": int(200 * success), "success": success, "interval": [0.8, 0.9]}
    return {
        "policy": "elsewhere/one/checkpoints/last",
        "records": [about],
        "backbone": "fake",
        "seed": 5,
        "splits": {"rephrasing": split},
        "total": split,
    }


def test_an_export_is_small_complete_and_acts_as_its_checkpoint(run, tmp_path):
    first, last = run / "checkpoints" / "100", run / "checkpoints" / "200"
    (run / "eval-1.json").write_text(json.dumps(results(0.25, last)))
    os.utime(run / "eval-1.json", (1, 1))
    (run / "eval-2.json").write_text(json.dumps(results(0.855, last)))
    os.utime(run / "eval-2.json", (2, 2))
    (run / "eval-3.json").write_text(json.dumps(results(0.5, first)))  # of another checkpoint
    out = export_policy(run, tmp_path / "apple-fetcher")
    assert sorted(p.name for p in out.iterdir()) == sorted([*POLICY_FILES, "README.md"])
    np.testing.assert_array_equal(
        logits_of(llarp_cli.load_policy(out, "cpu")), logits_of(llarp_cli.load_policy(run, "cpu"))
    )
    _, front, card = (out / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["library_name"] == "llarp" and front["pipeline_tag"] == "reinforcement-learning"
    assert front["license"] == "apache-2.0" and "base_model" not in front  # random weights have no page
    assert "| rephrasing | 200 | 85.5% | 80.0% to 90.0% |" in card
    assert 'load_policy("apple-fetcher")' in card and "llarp eval apple-fetcher" in card
    assert "$" not in card
    assert not list(tmp_path.glob(".*"))
    again = export_policy(out, tmp_path / "again")  # an export of an export
    assert (again / "adapter.safetensors").read_bytes() == (out / "adapter.safetensors").read_bytes()


def test_left_out_arguments_mean_the_newest_run_and_a_folder_in_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export_policy(None) == Path("runs/one/export")
    with pytest.raises(UsageProblem, match="not an empty directory"):
        export_policy(run)
    with pytest.raises(UsageProblem, match="belongs to no run"):
        export_policy(run / "export")


def test_the_card_names_the_language_model_it_was_trained_around(run, tmp_path):
    edit("config.json", backbone__weights="sentence-transformers/all-MiniLM-L6-v2")(run / "checkpoints" / "200")
    card = (export_policy(run, tmp_path / "out") / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "comes under Apache-2.0" in card and "Not evaluated yet" in card


def test_nothing_is_overwritten_and_nothing_is_left_behind(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_policy(run, out)  # an empty directory will do
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(UsageProblem, match="not an empty directory"):
        export_policy(run, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem, match="cannot write"):
        export_policy(run, tmp_path / "file" / "out")
    (tmp_path / "other.json").write_text('{"splits": 3}')
    with pytest.raises(UsageProblem, match="holds no results"):
        export_policy(run, tmp_path / "third", tmp_path / "other.json")
    shorten(run / "checkpoints" / "200")
    with pytest.raises(UsageProblem, match="damaged"):
        export_policy(run, tmp_path / "fourth")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "other.json", "out", "runs", "site"]
