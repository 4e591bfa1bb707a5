"""Nothing is lost: crashes at every file operation, full disks, two at once, what cannot go on, odd plugins."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from doubles import FakeBackbone, FakeEncoder
from test_trainer import ARGUMENTS, begun, finish, resumed, toy_plugin  # noqa: F401
from toy_learning import train_toy

from llarp_cli import files, registry
from llarp_cli.config import Recipe, VisionOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.learning.checkpoint import load_tensors, save_tensors
from llarp_cli.policy.files import POLICY_FILES, read_files, read_policy
from llarp_cli.policy.promises import check_backbone, check_encoder
from llarp_cli.runs import RunDirectory, resolve_policy
from llarp_cli.train import train

FILE_OPERATIONS = {
    "open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate", "os.scandir", "os.listdir",
    "shutil.rmtree",
}  # fmt: skip


class FaultAt:
    """Does something at the n-th file operation below a folder; counts them all."""

    def __init__(self):
        self.below, self.left, self.fault = None, 0, None
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        if self.below is None or event not in FILE_OPERATIONS or self.below not in f"{arguments[:2]}":
            return
        self.left -= 1
        if self.left == 0:
            self.fault()

    def arm(self, below, number, fault):
        self.below, self.left, self.fault = str(below), number, fault

    def disarm(self):
        self.below = None


FAULT = FaultAt()


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_child(work) -> int:
    """Do something in a copy of this process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(below, number, work) -> bool:
    """Do something in a copy of this process that is killed at its n-th file operation; whether there was one."""

    def armed():
        FAULT.arm(below, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        work()

    status = in_child(armed)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def names(folder):
    return sorted(os.listdir(folder))


def strays(folder):
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".")]


def save(run, steps, *, keep=10, best=None):
    run.open_staging(steps)
    for name in ("adapter.safetensors", "trainer/optimizer.pt"):
        (run.staging(steps) / name).write_text(f"{steps}")
    run.publish(steps, best=best or steps, keep=keep)


def whole(run) -> bool:
    return all(
        (run.checkpoint(steps) / name).read_text() == str(steps)
        for steps in run.numbered()
        for name in ("adapter.safetensors", "trainer/optimizer.pt")
    )


def test_a_run_killed_at_any_file_operation_has_only_whole_checkpoints(tmp_path):
    number, last = 0, []
    while True:
        number += 1
        run = RunDirectory.create(tmp_path / str(number), Recipe(), {})
        for steps in (100, 200):
            save(run, steps, best=100)

        def go_on(run=run):
            with run.held():
                run.append_metrics({"steps": 300})
                save(run, 300, keep=1)

        killed = killed_at(tmp_path, number, go_on)
        assert whole(run) and run.last() is not None
        assert run.last().name in ("200", "300")
        last.append(run.last().name)
        with run.held():
            assert not strays(run.path)
            assert (run.checkpoints / "last").resolve() == run.last()
            assert (run.checkpoints / "best").exists()
        if not killed:
            break
    assert number > 20 and set(last) == {"200", "300"}
    assert run.numbered() == [300]


def test_a_file_killed_at_any_operation_is_the_old_or_the_new_one(tmp_path):
    number, found = 0, set()
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "run.json"
        path.write_text("old")
        killed = killed_at(tmp_path, number, lambda path=path: files.write_text(path, "new"))
        found.add(path.read_text())
        files.write_text(path, "newest")
        assert names(folder) == ["run.json"]
        if not killed:
            break
    assert number > 4 and found == {"old", "new"}


def test_an_export_killed_at_any_operation_is_whole_or_absent(tmp_path):
    def write(out):
        with files.replacing_folder(out) as staging:
            for name in "abc":
                (staging / name).write_text(name)

    number, found = 0, set()
    while True:
        number += 1
        out = tmp_path / str(number) / "export"
        out.parent.mkdir()
        killed = killed_at(tmp_path, number, lambda out=out: write(out))
        found.add("".join(names(out)) if out.exists() else None)
        files.sweep(out.parent)
        assert names(out.parent) in ([], ["export"])
        if not killed:
            break
    assert number > 6 and found == {None, "abc"}


def test_what_somebody_is_writing_is_not_swept_away(tmp_path):
    with files.replacing(tmp_path / "a.mp4") as temporary, files.replacing_folder(tmp_path / "b") as folder:
        (tmp_path / ".a.mp4.0123abcd.tmp").write_text("a dead one's")
        (tmp_path / ".a.mp4.mine.tmp").write_text("a person's")
        (tmp_path / ".b.89abcdef.tmp").mkdir()
        assert in_child(lambda: files.sweep(tmp_path)) == 0
        assert names(tmp_path) == sorted([temporary.name, folder.name, ".a.mp4.mine.tmp"])
        temporary.write_text("film")
    assert names(tmp_path) == [".a.mp4.mine.tmp", "a.mp4", "b"]


def test_links_in_a_folder_from_elsewhere_lead_nowhere(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = RunDirectory.create(tmp_path / "run", Recipe(), {})
    for name in ("metrics.jsonl", "lock", "train.log"):
        (run.path / name).symlink_to(precious)
    (run.path / ".run.json.01234567.tmp").symlink_to(precious)
    (run.checkpoints / ".100.tmp").symlink_to(tmp_path)
    run.note(status="x")
    with pytest.raises(OSError):
        run.append_metrics({"steps": 1})
    with pytest.raises(UsageProblem, match="cannot write"), run.held():
        pass
    (run.path / "lock").unlink()
    with run.held():
        run.open_staging(100)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "adapter.safetensors").write_text("")
    (run.checkpoints / "500").symlink_to(outside)
    assert run.numbered() == []
    assert precious.read_text() == "mine" and outside.exists()


def test_a_second_process_is_refused_while_the_first_lives(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path / "run", Recipe(), {"num_processes": 1})
    save(run, 100)
    child = os.fork()
    if child == 0:
        with run.held():
            time.sleep(60)
            os._exit(0)
    while run.holder() is None:
        time.sleep(0.01)
    os.kill(child, signal.SIGSTOP)  # stopped is not dead
    for refused in (lambda: train(resume=run.path), lambda: train(Recipe(), run_dir=run.path), run.held().__enter__):
        with pytest.raises(UsageProblem, match=rf"^process {child} on {os.uname().nodename}.* trains in") as problem:
            refused()
        assert "\n" not in problem.value.message and problem.value.exit_code == 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert run.holder() is None
    with run.held():
        assert str(os.getpid()) in (run.path / "lock").read_text()


def test_a_lock_that_says_nonsense_is_one_line(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Recipe(), {})
    with run.held():
        (run.path / "lock").write_bytes(b"\x1b[31m\nx\xff" * 1000)
        told = run.holder()
    assert told.isprintable() and len(told) <= 200


@pytest.mark.parametrize("number", [1, 5, 14, 25])
def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(tmp_path, number):
    trainer = begun(tmp_path / "run", steps=1024, checkpoint={"every": 256, "keep": 1})
    save_checkpoint = trainer._write_checkpoint

    def on_a_full_disk():
        if trainer.steps == 512:
            FAULT.arm(tmp_path, number, no_space)
        save_checkpoint()

    trainer._write_checkpoint = on_a_full_disk
    try:
        with pytest.raises(LlarpError, match=r"cannot be written: No space left on device; the last good") as problem:
            finish(trainer)
    finally:
        FAULT.disarm()
    run = trainer.run
    assert problem.value.exit_code == 1 and "\n" not in problem.value.message
    assert str(run.last()) in problem.value.message
    assert f"llarp train --resume {run.path}" in problem.value.hint
    assert not run.staging(512).exists()
    with run.held():
        assert finish(resumed(run, steps=1024)) and not strays(run.path)


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path):
    import resource

    trainer = begun(tmp_path / "run", steps=1024, checkpoint={"every": 256})
    read, write = os.pipe()

    def limited():
        os.close(read)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            finish(trainer)
        except LlarpError as error:
            os.write(write, error.message.encode())

    torch.set_num_threads(1)
    assert in_child(limited) == 0
    os.close(write)
    with os.fdopen(read) as told:
        assert "cannot be written: File too large; there is no checkpoint yet" in told.read()
    assert trainer.run.numbered() == [] and not strays(trainer.run.path)


def test_a_vanished_run_directory_is_said_so(tmp_path):
    trainer = begun(tmp_path / "run", steps=1024)
    trainer.run.path.rename(tmp_path / "elsewhere")
    with pytest.raises(LlarpError, match="No such file or directory; there is no checkpoint"):
        finish(trainer)


def test_a_torn_line_of_metrics_is_not_read_and_a_damaged_one_is_named(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Recipe(), {})
    run.append_metrics({"steps": 100})
    with run.metrics.open("a") as file:
        file.write('{"steps": 2')
    assert run.read_metrics() == [{"steps": 100}]
    run.metrics.write_text('{"steps": 1}\nnonsense\n{"steps": 3}\n')
    with pytest.raises(UsageProblem, match="line 2 is no update's"):
        run.cut_metrics(5)


@pytest.fixture
def toy_run(tmp_path, toy_plugin, monkeypatch):  # noqa: F811
    monkeypatch.syspath_prepend(toy_plugin)
    recipe = Recipe.model_validate({**ARGUMENTS, "steps": 32, "checkpoint": {"every": 16}})
    return RunDirectory(train(recipe, run_dir=tmp_path / "run"))


def test_what_cannot_go_on_is_refused_with_the_reason(toy_run, tmp_path, monkeypatch):
    recipe = toy_run.path / "recipe.yaml"
    before = recipe.read_text()
    recipe.write_text(before.replace("gamma: 0.99", "gamma: 0.5"))
    with pytest.raises(UsageProblem, match=r"says gamma: 0.5; the run was trained with gamma: 0.99"):
        train(resume=toy_run.path, steps=64)
    recipe.write_text(before)

    facts = toy_run.facts()
    for part, value, says in (
        ("world", {"name": "toy", "version": "toy-0"}, r"another version of the environment \(toy, toy-0\)"),
        ("benchmark", {**facts["benchmark"], "tasks": "0" * 64}, r"on another benchmark \(train, 0000"),
    ):
        toy_run.note(**{part: value})
        with pytest.raises(UsageProblem, match=says):
            train(resume=toy_run.path, steps=64)
        toy_run.note(**{part: facts[part]})

    config = toy_run.last() / "config.json"
    written = json.loads(config.read_text())
    for part in ("backbone", "vision"):
        other = {**written, part: {**written[part], "hash": "0" * 64}}
        config.write_text(json.dumps(other))
        with pytest.raises(UsageProblem, match="of hash"):
            train(resume=toy_run.path, steps=64)
    config.write_text(json.dumps(written))

    # Its length, and when it saves, may change. What was refused has changed nothing.
    recipe.write_text(before.replace("every: 16", "every: 32"))
    train(resume=toy_run.path, steps=64)
    assert [line["steps"] for line in toy_run.read_metrics()] == [16, 32, 48, 64]


def test_a_run_stopped_before_its_first_checkpoint_begins_again(toy_run, tmp_path):
    metrics = [{**line, "seconds": 0, "steps_per_second": 0} for line in toy_run.read_metrics()]
    for steps in toy_run.numbered():
        files.remove(toy_run.checkpoint(steps))
    train(resume=toy_run.path)
    assert [{**line, "seconds": 0, "steps_per_second": 0} for line in toy_run.read_metrics()] == metrics


def test_a_checkpoint_that_the_run_removed_is_named(toy_run):
    gone = toy_run.checkpoint(16)
    toy_run._discard(gone)
    with pytest.raises(UsageProblem, match="is gone: its run keeps the newest") as problem:
        read_policy(gone)
    assert str(toy_run.path) in problem.value.hint


def test_reading_while_a_run_saves_gives_whole_policies_or_one_line(tmp_path):
    run = RunDirectory.create(tmp_path / "run", Recipe(), {})

    def publish(steps):
        run.open_staging(steps)
        for name in POLICY_FILES:
            (run.staging(steps) / name).write_text(f"{steps}")
        run.publish(steps, best=steps, keep=1)

    publish(1)
    child = os.fork()
    if child == 0:
        for steps in range(2, 100_000):
            publish(steps)
        os._exit(0)
    whole, gone = set(), 0
    try:
        until = time.monotonic() + 60
        while (len(whole) < 20 or gone < 3) and time.monotonic() < until:
            checkpoint = resolve_policy(str(run.path))
            time.sleep(0.001 * (len(whole) % 4))
            try:
                (steps,) = set(read_files(checkpoint).values())
                assert steps.decode() == checkpoint.name
                whole.add(steps)
            except UsageProblem as problem:
                assert "is gone: its run keeps the newest" in problem.message
                gone += 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(whole) >= 5 and gone


def packed(path):
    """A file of tensors whose parts are compressed, as a bomb's are."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        for part in file.infolist():
            out.writestr(part.filename, file.read(part))
    path.write_bytes(bomb.getvalue())


def doubling(depth):
    value = [0]
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"x": torch.zeros(1).expand(1 << 40)},
        {"x": {"__array__": torch.zeros(1, dtype=torch.uint8).expand(1 << 40), "dtype": "|u1", "shape": [1 << 40]}},
        {"x": {"__array__": torch.zeros(8, dtype=torch.uint8), "dtype": "|O", "shape": [1]}},
        {"x": {"__array__": torch.zeros(8, dtype=torch.uint8), "dtype": "<f8", "shape": [1 << 50]}},
        doubling(40),
    ],
    ids=["tensor", "array", "objects", "shape", "lists"],
)
def test_a_file_of_tensors_takes_no_more_memory_than_it_has_bytes(tmp_path, value):
    path = tmp_path / "100" / "trainer" / "process-0.pt"
    path.parent.mkdir(parents=True)
    torch.save(value, path)
    begun_at = time.process_time()
    with pytest.raises(UsageProblem, match="damaged"):
        load_tensors(path)
    assert time.process_time() - begun_at < 2


def test_a_packed_file_of_tensors_is_refused(tmp_path):
    path = tmp_path / "100" / "trainer" / "process-0.pt"
    path.parent.mkdir(parents=True)
    save_tensors({"x": torch.zeros(1 << 20)}, path)
    packed(path)
    with pytest.raises(UsageProblem, match="damaged"):
        load_tensors(path)


def test_counters_from_elsewhere_are_damaged(tmp_path):
    trainer, _ = train_toy(tmp_path / "run", steps=128)
    path = trainer.run.last() / "trainer" / "counters.json"
    written = json.loads(path.read_text())
    for wrong in ([], {}, {**written, "best": 3}, {**written, "minibatch_order": {}}, {**written, "success": [[1]]}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(UsageProblem, match=r"damaged: trainer/counters.json"):
            resumed(trainer.run, steps=256)


@pytest.fixture
def stranger(monkeypatch):
    """Whatever is looked up is somebody else's plugin."""
    plugin = registry.Plugin("odd", "backbone", "odd:odd", "llarp-odd", "1.0")
    monkeypatch.setattr(registry, "find", lambda kind, name: plugin)


def test_a_backbone_that_lies_about_its_size_is_named(stranger):
    backbone = FakeBackbone()
    check_backbone("odd", backbone)
    backbone.hidden_size = 48
    with pytest.raises(LlarpError, match=r"llarp-odd 1.0\) says that its hidden size is 48, and fails") as problem:
        check_backbone("odd", backbone)
    assert "\n" not in problem.value.message
    backbone.hidden_size = 24
    backbone.forward = lambda tokens, lengths, prefixes: tokens[:, :7]
    with pytest.raises(LlarpError, match=r"hidden size is 24, and gives \[1, 7\]"):
        check_backbone("odd", backbone)


def test_an_encoder_that_lies_about_its_features_is_named(stranger):
    encoder = FakeEncoder(VisionOptions(image_size=16, tokens=2))
    check_encoder("odd", encoder)
    encoder.feature_size = 13
    with pytest.raises(LlarpError, match=r"says that its features are \[1, 2, 13\], and gives \[1, 2, 12\]"):
        check_encoder("odd", encoder)
    encoder.image_size = 17
    with pytest.raises(LlarpError, match="fails on a picture of its size"):
        check_encoder("odd", encoder)


def test_a_plugin_that_hangs_on_import_is_named(tmp_path, monkeypatch, capfd):
    (tmp_path / "llarp_slow.py").write_text("import time\ntime.sleep(0.5)\nplugin = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "SLOW_IMPORT", 0.1)
    plugin = registry.Plugin("slow", "backbone", "llarp_slow:plugin", "llarp-slow", "1.0")
    monkeypatch.setattr(registry, "find", lambda kind, name: plugin)
    assert registry.load("backbone", "slow") == 1
    told = capfd.readouterr().err
    assert "still importing llarp_slow of backbone 'slow' (plugin llarp-slow 1.0)" in told and told.count("\n") == 1
    assert registry.load("backbone", "slow") == 1
    assert capfd.readouterr().err == ""


@pytest.fixture
def soak():
    path = Path(__file__).parent.parent / "benchmarks" / "soak.py"
    if not path.exists():
        pytest.skip("benchmarks are not in the package")
    spec = importlib.util.spec_from_file_location("soak", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def looks(part, growth, *, files=(10,), minutes=20):
    return [
        {
            "part": part,
            "minutes": t / 4,
            "rss_mb": 500 + min(t, 20) * 20 + growth * t / 4,
            "files": files[t % len(files)],
            "steps": 1000 * part + 500 * t,
        }
        for t in range(4 * minutes)
    ]


def test_a_soak_sees_growth_within_parts_and_not_between_them(soak):
    told = soak.summary([*looks(0, 0.1), *looks(1, 0.1)])
    assert told["mb_per_minute"] == pytest.approx(0.1) and told["minutes"] == 39.5
    assert told["mb_per_100k_steps"] == pytest.approx(5) and told["steps_after_warm_up"] == 2 * 500 * 59
    assert soak.flat(told)
    assert not soak.flat(soak.summary([*looks(0, 0.1), *looks(1, 5.0)]))
    assert not soak.flat(soak.summary(looks(0, 0.0, files=(10, 10, 30))))
    assert not soak.flat(soak.summary(looks(0, 0.0, minutes=3))), "all of it is warm-up"


def test_a_soak_watches_a_process_and_its_files(soak, tmp_path):
    leaking = (
        "import time, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\nheld = []\n"
        "while True:\n    held.append((bytearray(200_000), open('/dev/null')))\n    time.sleep(0.01)\n"
    )
    record, metrics = tmp_path / "record", tmp_path / "metrics.jsonl"
    metrics.write_text('{"steps": 64, "update": 1}\n{"steps": 128, "upd')
    with (tmp_path / "said").open("w") as said:
        assert soak.watch([sys.executable, "-c", leaking], record, 0, 1.5, 0.1, metrics, said) == 130
    told = soak.summary(soak.read(record), warm_up=0.005)
    assert told["mb_per_minute"] > 10 and told["files_more"] > 3
    assert {(line["part"], line["steps"]) for line in soak.read(record)} == {(0, 64)}
    assert soak.steps_taken(tmp_path / "none") == 0
