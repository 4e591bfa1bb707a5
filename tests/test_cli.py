"""The command line: what it answers, what it exits with, and what it does not import."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llarp_cli.cli import COMMANDS
from llarp_cli.errors import LlarpError

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "numpy", "pydantic", "accelerate", "matplotlib", "numba")


def refused(result, message: str, hint: str | None = None) -> None:
    """Exit status 2, one line that says so, nothing on stdout, no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == f"error: {message}"
    assert lines[1:] == ([] if hint is None else [f"hint: {hint}"])


def modules_after(*arguments: str) -> set[str]:
    """The top-level modules that a command leaves imported."""
    code = (
        "import sys; from llarp_cli.cli import main\n"
        f"try: main({list(arguments)!r}, prog_name='llarp')\n"
        "except SystemExit: print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["eval", "-h"], ["bench", "home", "-h"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments):
    assert not modules_after(*arguments) & set(HEAVY)


def test_listing_plugins_imports_none():
    assert not modules_after("plugins") & {"torch", "llarp_tiny", "llarp_minilm", "llarp_llama"}


def test_help_is_quick():
    """In a processor's time, which other programs do not lengthen much."""
    code = (
        "import time; from llarp_cli.cli import main\n"
        "try: main(['--help'], prog_name='llarp')\n"
        "except SystemExit: print(f'\\n{time.process_time()}')"
    )

    def seconds() -> float:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout.splitlines()[-1])

    assert min(seconds() for _ in range(3)) < 0.5


def test_help_names_every_command(llarp):
    result = llarp("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout
        assert llarp(command, "-h").exit_code == 0


def test_an_unknown_command_gets_the_nearest_one(llarp):
    refused(llarp("trian"), "unknown command 'trian'", "did you mean 'train'? `llarp --help` lists them all")


def test_a_recipe_key_typed_as_an_option_is_answered_with_how_to_write_it(llarp):
    hints = {
        ("--ppo.lr", "1e-4"): ("--ppo.lr", "ppo.lr=1e-4"),
        ("--ppo.lr=1e-4",): ("--ppo.lr", "ppo.lr=1e-4"),
        ("--policy", "lstm"): ("--policy", "policy=lstm"),
        ("--num-envs", "8"): ("--num-envs", "num_envs=8"),
    }
    for typed, (option, written) in hints.items():
        result = llarp("train", "--recipe", "quickstart", *typed)
        refused(result, f"'{option}' is a recipe key, not an option", f"write {written}")


def test_any_other_unknown_option_is_a_usage_error(llarp):
    result = llarp("train", "--recip", "quickstart")
    assert result.exit_code == 2
    assert "No such option" in result.stderr and "--recipe" in result.stderr


def test_train_wants_a_recipe(llarp):
    refused(
        llarp("train", "--backbone", "tiny-llama"),
        "train needs a recipe",
        "llarp train --backbone tiny-llama --recipe quickstart; `llarp recipes` lists them",
    )


def test_every_problem_of_a_recipe_is_told_with_where_it_came_from(llarp, tmp_path):
    (tmp_path / "mine.yaml").write_text("ppo:\n  clip: 2\n")
    result = llarp("train", "--recipe", "mine.yaml", "--steps", "many", "ppo.lrr=1")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: unknown key 'ppo.lrr' (command line)",
        "hint: did you mean 'ppo.lr'?",
        "error: steps = many (--steps): should be a valid integer, unable to parse string as an integer",
        "error: ppo.clip = 2 (mine.yaml): should be less than 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["--backbone", "minilmm"],
            "unknown backbone 'minilmm'",
            "did you mean 'minilm'? `llarp plugins` lists them all",
        ),
        (["vision.name=hme"], "unknown vision encoder 'hme'", "did you mean 'home'? `llarp plugins` lists them all"),
        (["--env", "hoome"], "unknown environment 'hoome'", "did you mean 'home'? `llarp plugins` lists them all"),
    ],
)
def test_names_are_checked_before_anything_is_written(llarp, tmp_path, arguments, message, hint):
    refused(llarp("train", "--recipe", "quickstart", "--run-dir", "run", *arguments), message, hint)
    assert not (tmp_path / "run").exists()


def test_dry_run_prints_a_recipe_that_says_where_values_come_from(llarp, tmp_path):
    result = llarp("train", "--recipe", "quickstart", "--steps", "2e4", "ppo.lr=1e-4", "--dry-run")
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["steps"] == 20_000
    lines = {line.partition(":")[0]: line.partition("# ")[2] for line in result.stdout.splitlines()}
    assert lines["steps"] == "--steps"
    assert lines["num_envs"] == "recipes/quickstart.yaml"
    assert lines["seed"] == "default"
    assert "# updates = " in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_resume_takes_nothing_but_a_length(llarp, tmp_path):
    refused(
        llarp("train", "--resume", "run", "--seed", "1"),
        "--resume goes on with a run exactly as it was; it takes no --seed",
        "llarp train --resume run",
    )
    refused(
        llarp("train", "--resume", "run", "--steps", "1.5"),
        "steps = 1.5 (--steps): should be a whole number from 1 to 1,000,000,000,000",
    )
    assert llarp("train", "--resume", "run").stderr.startswith("error: 'run' is not a run directory")


@pytest.mark.parametrize("verb", [["eval"], ["rollout"], ["export"]])
def test_without_a_run_there_is_one_clear_line(llarp, verb):
    result = llarp(*verb)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no trained policy under ./runs yet\nhint: train one: llarp train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "nowhere"], "no policy at 'nowhere': there is no such directory"),
        (["eval", "planner", "--split", "rephrase"], "unknown split 'rephrase'"),
        (["eval", "planner", "--family", "mov"], "unknown family 'mov'"),
        (["eval", "planner", "--plot", "x" * 300 + ".png"], f"--plot '{'x' * 60}': File name too long"),
        (["eval", "planner", "--family", "move", "--all-families"], "--family and --all-families exclude each other"),
        (["eval", "planner", "--json", "out.txt"], "--json 'out.txt' does not end in .json"),
        (["eval", "planner", "--json", "no/out.json"], "--json 'no/out.json': there is no folder 'no'"),
        (["eval", "planner", "--plot", "."], "--plot '.' does not end in .png"),
        (
            ["eval", "planner", "--episodes", "none.jsonl"],
            "cannot read episodes from 'none.jsonl': No such file or directory",
        ),
        (["rollout", "planner", "--video", "no/out.mp4"], "--video 'no/out.mp4': there is no folder 'no'"),
        (
            ["rollout", "planner", "--video", f"{__file__}/out.mp4"],
            f"--video '{__file__}/out.mp4': '{__file__}' is not a folder",
        ),
        (["rollout", "planner", "--instruction", " "], "--instruction is empty"),
        (["recipes", "quickstar"], "unknown recipe 'quickstar'"),
        (["doctor", "--env", "nowhere"], "unknown environment 'nowhere'"),
        (["doctor", "--env", "habitat"], "environment 'habitat' cannot be used: "),
        (
            ["dataset", "generate", "nosplit", "--count", "1", "--seed", "0", "--out", "a.jsonl"],
            "unknown split 'nosplit'",
        ),
        (["dataset", "show", "x" * 300], f"'{'x' * 60}...' is too long for a file's name"),
        (["compare", "x" * 300], f"'{'x' * 60}...' is too long for a file's name"),
        (["train", "--recipe", "quickstart", "--run-dir", "x" * 300], f"'{'x' * 60}...' is too long for a file's name"),
    ],
)
def test_the_users_mistakes_are_one_line_and_a_hint(llarp, tmp_path, arguments, message):
    result = llarp(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert len(result.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_before_the_work(llarp, tmp_path):
    (tmp_path / "out.json").mkdir()
    result = llarp("bench", "home", "--json", "out.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --json 'out.json' is a directory")


def test_a_foreign_checkpoint_is_refused(llarp, tmp_path):
    (tmp_path / "adapter.safetensors").write_bytes(b"nonsense")
    result = llarp("eval", ".")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: '.' is no policy: it holds no config.json")


def break_recipes(monkeypatch, error: BaseException) -> None:
    def fail():
        raise error

    monkeypatch.setattr("llarp_cli.shipped.shipped_recipes", fail)


def test_failed_work_exits_1_with_one_line(llarp, monkeypatch):
    break_recipes(monkeypatch, LlarpError("the loss is not a number", "try a smaller ppo.lr"))
    result = llarp("recipes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: the loss is not a number\nhint: try a smaller ppo.lr\n"


def test_a_full_disk_is_told_with_the_name_of_the_file(llarp, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("llarp_cli.files.sync", full)
    result = llarp("recipes", "--json", "all.json")
    assert result.exit_code == 1
    assert result.stderr == "error: cannot write 'all.json': No space left on device\nhint: choose another place\n"
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_is_one_line_and_debug_shows_where(llarp, monkeypatch):
    break_recipes(monkeypatch, ZeroDivisionError("division by zero"))
    result = llarp("recipes")
    assert result.exit_code == 1
    assert result.stderr == "error: ZeroDivisionError: division by zero\nhint: `llarp --debug ...` shows where\n"
    result = llarp("--debug", "recipes")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "in fail\n" in result.stderr


def test_an_interrupt_exits_130(llarp, monkeypatch):
    break_recipes(monkeypatch, KeyboardInterrupt())
    result = llarp("recipes")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_plugins_are_listed_with_where_they_come_from(llarp, tmp_path):
    result = llarp("plugins", "--json", "plugins.json")
    assert result.exit_code == 0
    assert "tiny-llama" in result.stdout and "llarp_tiny:tiny_llama" in result.stdout
    listed = json.loads((tmp_path / "plugins.json").read_text())
    minilm = next(row for row in listed if row["name"] == "minilm")
    assert minilm["kind"] == "backbone" and minilm["distribution"] == "llarp"


def test_check_imports_every_plugin(llarp):
    result = llarp("plugins", "--check")
    assert result.exit_code == 0
    assert "broken" not in result.stdout


def test_doctor_tells_what_is_there_and_how_to_get_the_rest(llarp, tmp_path):
    result = llarp("doctor", "--json", "found.json")
    assert result.exit_code == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["packages"]["torch"] is not None
    ready = {finding["name"]: finding for finding in found["plugins"]["backbone"]}
    assert ready["tiny-llama"]["ready"]
    places = {finding["name"]: finding for finding in found["plugins"]["environment"]}
    assert places["home"]["ready"]
    assert not places["habitat"]["ready"] and "conda install" in result.stdout


def test_doctor_tells_which_weights_the_hubs_cache_holds(llarp, tmp_path, monkeypatch):
    def keep(model, file):
        snapshot = tmp_path / "hub" / f"models--{model.replace('/', '--')}" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / file).write_text("")
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("abc")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    keep("facebook/dinov2-base", "model.safetensors")
    keep("facebook/vc1-base", "pytorch_model.bin")
    keep("openai/clip-vit-base-patch16", "config.json")  # its weights were not fetched
    keep("mistralai/Mistral-7B-v0.1", "model.safetensors.index.json")
    llarp("doctor", "--json", "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert "peft" in found["packages"]
    states = {f["name"]: f["state"] for kind in ("backbone", "vision encoder") for f in found["plugins"][kind]}
    assert states["dinov2"] == "installed; takes facebook/dinov2-base from the hub's cache"
    assert states["vc1"] == "installed; takes facebook/vc1-base from the hub's cache"
    assert states["mistral-7b"] == "installed; takes mistralai/Mistral-7B-v0.1 from the hub's cache"
    elsewhere = "the hub (not in its cache), or vision.weights=PATH"
    assert states["clip"] == f"installed; takes openai/clip-vit-base-patch16 from {elsewhere}"
    assert states["siglip"].endswith(elsewhere)
    assert states["llama-7b"].endswith("from the hub (not in its cache), or --weights PATH")


def test_recipes_are_listed_and_printed(llarp):
    listed = llarp("recipes").stdout
    assert "quickstart" in listed and "lang-rearrange" in listed
    printed = llarp("recipes", "quickstart").stdout
    assert printed.startswith("# ") and yaml.safe_load(printed)["backbone"]["name"] == "minilm"


def test_somebody_elses_broken_plugin_is_a_finding(llarp, tmp_path, monkeypatch):
    site = tmp_path / "site"
    info = site / "llarp_odd-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llarp-odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[llarp.backbones]\nodd = llarp_odd:odd\nraises = llarp_odd_raises:x\n"
        "needs = llarp_odd:Needs\nasks = llarp_odd:Asks\n"
    )
    (site / "llarp_odd.py").write_text(
        "odd = object()\nclass Needs:\n    requires = None\nclass Asks:\n    requires = ('nowhere.at.all',)\n"
    )
    (site / "llarp_odd_raises.py").write_text("raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(str(site))
    result = llarp("doctor")
    assert result.exit_code == 0
    assert result.stdout.count("is not written as plugins are") == 3 and "no luck" in result.stdout
    result = llarp("plugins", "--check")
    assert result.exit_code == 1
    assert "no luck" in result.stdout and "tiny-llama" in result.stdout
    assert result.stderr.startswith("error: 1 of ")
