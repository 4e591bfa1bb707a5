"""Policies on the hub, against a stand-in of its interface on this machine: pushed, found again, refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from doubles import install_doubles
from hub_stand_in import READER, WRITER, Hub

import llarp_cli
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.files import POLICY_FILES, save_policy
from llarp_cli.runs import RunDirectory
from llarp_cli.sharing import fetch_policy


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub, its cache in `tmp_path`, and a token that may write to `me`."""
    from huggingface_hub import constants

    started = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", started.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", started.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", WRITER)
    yield started
    started.stop()


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run with one checkpoint."""
    from test_export import recipe

    torch.set_num_threads(1)
    install_doubles(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    made = recipe()
    directory = RunDirectory.create(tmp_path / "run", made, {"num_processes": 1})
    directory.open_staging(100)
    save_policy(build_policy(made, "cpu"), made, directory.staging(100))
    directory.publish(100, best=100, keep=1)
    return directory.path


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("lfs", [False, True])
def test_what_is_pushed_is_what_is_loaded(llarp, run, hub, lfs, tmp_path):
    (run / "curves.png").write_bytes(b"\x89PNG curves")
    hub.lfs = {"adapter.safetensors"} if lfs else set()
    result = llarp("export", run, "--out", "apples", "--push-to-hub", "me/Apple-Fetcher")
    assert (result.exit_code, result.stdout) == (0, f"apples\n{hub.url}/me/Apple-Fetcher\n"), result.stderr
    files = hub.files("me/Apple-Fetcher")
    assert sorted(files) == sorted([*POLICY_FILES, "README.md", "curves.png"])
    assert not hub.models["me/Apple-Fetcher"]["private"]
    for name in (*POLICY_FILES, "curves.png"):
        assert files[name] == (tmp_path / "apples" / name).read_bytes()
    here, there = (tmp_path / "apples" / "README.md").read_text(), files["README.md"].decode()
    assert "# apples\n" in here and 'load_policy("apples")' in here
    assert "\n# Apple-Fetcher\n" in there and 'load_policy("hf:me/Apple-Fetcher")' in there
    assert "llarp eval hf:me/Apple-Fetcher --split" in there and "apples" not in there

    hub.asked.clear()
    agent = llarp_cli.load_policy("hf:me/Apple-Fetcher", "cpu")
    own = llarp_cli.load_policy(tmp_path / "apples", "cpu")
    np.testing.assert_array_equal(agent.act_logits(picture(), "go"), own.act_logits(picture(), "go"))
    fetched = {path.rpartition("/")[2] for method, path in hub.asked if method == "GET" and "/resolve/" in path}
    assert fetched == set(POLICY_FILES)


def test_an_export_made_earlier_is_pushed_as_it_is(llarp, run, hub, tmp_path):
    assert llarp("export", run).stdout == f"{run / 'export'}\n"
    again = llarp("export", run, "--push-to-hub", "me/x")
    assert again.exit_code == 2 and f"llarp export {run / 'export'} --push-to-hub" in again.stderr and not hub.models
    (run / "export" / "secret.txt").write_text("not for others")
    (run / "export" / "curves.png").symlink_to(run / "export" / "secret.txt")
    assert llarp("export", run / "export", "--push-to-hub", "me/x", "--private").exit_code == 0
    assert sorted(hub.files("me/x")) == sorted([*POLICY_FILES, "README.md"]) and hub.models["me/x"]["private"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "site"]


def test_what_is_public_is_not_pushed_to_as_if_it_were_private(llarp, run, hub):
    hub.put("me/open", {"README.md": b""})
    result = llarp("export", run, "--push-to-hub", "me/open", "--private")
    assert result.exit_code == 2, result.stderr
    assert "'me/open' is there already, and everybody can see it" in result.stderr
    assert list(hub.files("me/open")) == ["README.md"]
    assert llarp("export", run / "export", "--push-to-hub", "me/open").exit_code == 0
    assert set(POLICY_FILES) <= set(hub.files("me/open"))


@pytest.mark.parametrize(
    ("harm", "name", "status", "message", "hint"),
    [
        (None, "open the door", 2, "'open the door' is no model's name on the hub", "write ORG/NAME"),
        (None, "justname", 2, "'justname' is no model's name on the hub", "write ORG/NAME"),
        (None, "a/b/c", 2, "'a/b/c' is no model's name on the hub", "write ORG/NAME"),
        ("no token", "me/x", 2, "pushing needs a token of the hub's", "`hf auth login`, or HF_TOKEN=...; make one"),
        ("hf_wrong", "me/x", 2, "the hub does not accept the token; the export is complete", "`hf auth login`, then"),
        (
            READER,
            "me/x",
            2,
            "the token may not write to 'me/x' on the hub; the export is complete",
            "one that may write",
        ),
        (WRITER, "you/x", 2, "the token may not write to 'you/x' on the hub", "one that may write to you"),
        ("gone", "me/x", 1, "the hub cannot be reached: ", "when it can: llarp export "),
        ("offline", "me/x", 1, "the hub cannot be reached: ", "when it can: llarp export "),
        ("broken", "me/x", 1, "the hub refused 'me/x': ", "try again: llarp export "),
    ],
)
def test_what_keeps_a_push_from_happening_is_told_in_a_line(
    llarp, run, hub, monkeypatch, harm, name, status, message, hint
):
    from huggingface_hub import constants

    if harm == "no token":
        monkeypatch.delenv("HF_TOKEN")
    elif harm == "gone":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    elif harm == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif harm == "broken":
        hub.broken = 418
    elif harm:
        monkeypatch.setenv("HF_TOKEN", harm)
    result = llarp("export", run, "--out", "out", "--push-to-hub", name, "--private")
    assert result.exit_code == status, result.stderr
    error, told, *rest = result.stderr.splitlines()
    assert "llarp export" not in told or told.endswith(f"llarp export out --push-to-hub {name} --private")
    assert error.startswith(f"error: {message}") and told.startswith(f"hint: {hint}") and not rest
    assert WRITER not in result.stderr and not hub.models
    before_anything = "name" in message or harm == "no token"
    assert (result.stdout == "out\n") != before_anything
    assert Path("out").exists() != before_anything
    if not before_anything:
        assert "the export is complete in 'out'" in error
        assert llarp_cli.load_policy("out").image_size == 16


def test_private_says_nothing_without_a_push(llarp, run):
    result = llarp("export", run, "--private")
    assert result.exit_code == 2 and "--private goes with --push-to-hub" in result.stderr


def files_of(run: Path) -> dict[str, bytes]:
    return {name: (run / "checkpoints" / "100" / name).read_bytes() for name in POLICY_FILES}


def test_a_revision_and_the_cache_without_a_connection(run, hub, monkeypatch):
    from huggingface_hub import constants

    old = hub.put("me/p", files_of(run))
    changed = files_of(run)
    changed["recipe.yaml"] = changed["recipe.yaml"].replace(b"seed: 3", b"seed: 4")
    new = hub.put("me/p", changed)
    assert llarp_cli.load_policy(f"hf:me/p@{old}", "cpu").recipe.seed == 3
    assert llarp_cli.load_policy("hf:me/p", "cpu").recipe.seed == 4
    assert fetch_policy("hf:me/p").name == new
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_policy("hf:me/p").name == new and fetch_policy(f"hf:me/p@{old}").name == old
    with pytest.raises(LlarpError, match="cannot get 'me/q' from the hub: the hub cannot be reached"):
        fetch_policy("hf:me/q")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("hf:me/nothing", UsageProblem, "the hub has no model 'me/nothing' that you may read"),
        ("hf:me/p@v9", UsageProblem, "'me/p' on the hub has no revision 'v9'"),
        ("hf:me/p@a b", UsageProblem, "'a b' is no revision"),
        ("hf:p", UsageProblem, "'p' is no model's name on the hub"),
        ("hf:", UsageProblem, "'' is no model's name on the hub"),
        ("hf:../../etc", UsageProblem, "is no model's name on the hub"),
        ("hf:me/bert", UsageProblem, "'me/bert' on the hub is no policy of llarp's: it holds no adapter.safetensors"),
        ("hf:me/large", UsageProblem, r"'me/large' on the hub is no policy: recipe.yaml has 1,048,577 bytes"),
        ("hf:me/hidden", UsageProblem, "the hub has no model 'me/hidden' that you may read"),
        ("hf:me/damaged", UsageProblem, "is damaged or another policy's"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_a_line(run, hub, monkeypatch, name, kind, says):
    monkeypatch.setenv("HF_TOKEN", READER)
    files = files_of(run)
    hub.put("me/p", files)
    hub.put("me/bert", {"config.json": b"{}", "model.safetensors": b"0"})
    hub.put("me/large", {**files, "recipe.yaml": b"#" * ((1 << 20) + 1)})
    hub.put("me/hidden", files, private=True)
    hub.put("me/damaged", {**files, "adapter.safetensors": files["adapter.safetensors"][:-3]})
    with pytest.raises(kind, match=says) as caught:
        llarp_cli.load_policy(name, "cpu")
    assert caught.value.hint and "\n" not in caught.value.message
    if "damaged" not in name:
        assert not any("/resolve/" in path for _, path in hub.asked)


def test_a_hub_that_fails_is_no_mistake_of_the_users(hub):
    hub.broken = 418
    with pytest.raises(LlarpError, match="the hub refused 'me/p': ") as caught:
        fetch_policy("hf:me/p")
    assert caught.value.exit_code == 1


def test_a_policy_on_the_hub_goes_wherever_one_is_asked_for(llarp, run, hub):
    hub.put("me/p", files_of(run))
    result = llarp("export", "hf:me/p", "--out", "mine")
    assert result.exit_code == 0 and llarp_cli.load_policy("mine").image_size == 16
    copied = llarp("export", "hf:me/p", "--out", "copy", "--push-to-hub", "me/copy")
    assert copied.exit_code == 0
    assert hub.files("me/copy")["adapter.safetensors"] == hub.files("me/p")["adapter.safetensors"]
    for command in ("eval", "rollout", "play --policy"):
        result = llarp(*command.split(), "hf:me/none")
        assert result.exit_code == 2 and "the hub has no model 'me/none'" in result.stderr


@pytest.mark.slow
def test_the_address_and_the_token_come_from_the_environment(run, hub, tmp_path):
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": WRITER}
    env |= {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{Path(__file__).parent}"}
    code = "from llarp_cli.cli import main; main(prog_name='llarp')"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", str(run), "--push-to-hub", "me/p"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{run / 'export'}\n{hub.url}/me/p\n"), done.stderr
    assert "Traceback" not in done.stderr and sorted(hub.files("me/p")) == sorted([*POLICY_FILES, "README.md"])


def test_the_front_matter_can_be_read_by_the_hub(run, hub, llarp):
    from huggingface_hub import ModelCard

    llarp("export", run, "--out", "out", "--push-to-hub", "me/p")
    text = hub.files("me/p")["README.md"].decode()
    data = ModelCard(text).data
    assert data.library_name == "llarp" and data.pipeline_tag == "reinforcement-learning"
    assert yaml.safe_load(text.split("---\n")[1])["tags"] == ["llarp", "embodied", "language-rearrangement"]
