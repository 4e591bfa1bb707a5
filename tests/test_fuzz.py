"""Some hundreds of broken and hostile inputs; `benchmarks/fuzz.py` tries as many as one wants."""

from __future__ import annotations

import shutil

from doubles import install_doubles
from fuzzing import Fuzzer
from test_export import recipe, saved
from toy_learning import train_toy

from llarp_cli.policy.files import POLICY_FILES
from llarp_cli.runs import RunDirectory


def test_nothing_hostile_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install_doubles(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    run = made(tmp_path)
    (tmp_path / "work").mkdir()
    fuzzer = Fuzzer(tmp_path / "work", tmp_path / "policy", run)
    fuzzer.fuzz(250, seed=1)
    assert not fuzzer.failures, fuzzer.failures[:3]
    assert len(fuzzer.counts) == len(fuzzer.kinds)
    # It is not all refused at the door.
    assert sum(codes.get("0", 0) for codes in fuzzer.counts.values()) > 10


def made(folder):
    """A policy, and a run that has taken its steps."""
    changes = {"steps": 1000, "ppo": {"rollout_steps": 8}}
    saved(folder / "policy", **changes)
    toy, _ = train_toy(folder / "toy", steps=128)
    facts = {"num_processes": 1, "versions": {"llarp": "0"}, "world": {"name": "home", "version": "none"}}
    run = RunDirectory.create(folder / "run", recipe(**changes), facts)
    run.open_staging(1000)
    shutil.copytree(toy.run.last() / "trainer", run.staging(1000) / "trainer", dirs_exist_ok=True)
    for name in POLICY_FILES:
        shutil.copy(folder / "policy" / name, run.staging(1000) / name)
    run.publish(1000, best=1000, keep=1)
    return run.path
