"""What is built and installed: the wheel's contents, and that it works away from the checkout."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = "from importlib import metadata; print(*metadata.files('llarp'))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The project's wheel, built."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_only_packages_of_ours_are_installed(names):
    top = {name.partition("/")[0] for name in names}
    shipped = ("babyai", "decoders", "habitat", "llama", "minilm", "mistral", "quantized", "tiny")
    plugins = {f"llarp_{name}" for name in shipped}
    assert {name for name in top if not name.endswith(".dist-info")} == {"llarp_cli", *plugins}


def test_everything_needed_at_run_time_is_inside(names):
    folder = ROOT / "recipes"
    recipes = {f"llarp_cli/recipes/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.yaml")}
    assert "llarp_cli/recipes/study/laptop.yaml" in recipes
    data = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "llarp_cli").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert recipes and recipes | data <= set(names)


def test_every_entry_point_is_inside(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    points = configparser.ConfigParser(delimiters=("=",))
    points.optionxform = str
    points.read_string(text)
    for group in ("llarp.backbones", "llarp.vision", "llarp.environments"):
        for target in points[group].values():
            module = target.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & set(names), target


def test_the_extras_that_scripts_rely_on_exist():
    from importlib import metadata

    extras = set(metadata.metadata("llarp").get_all("Provides-Extra"))
    assert {"minilm", "quantized", "habitat", "dev", "all"} <= extras
    assert not [line for line in metadata.requires("llarp") if line.startswith("habitat-sim")]


class Elsewhere:
    """A virtual environment of its own that borrows only the dependencies, and an empty folder to work in.

    Args:
        folder: for both.
        built: a wheel or an sdist.
    """

    def __init__(self, folder: Path, built: Path):
        self.place, self.work = folder / "env", folder / "work"
        self.work.mkdir()
        venv.create(self.place, with_pip=False)
        self._programs = self.place / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(self._programs / "python")
        site = Path(self("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # A folder named in a .pth file lends its packages, but its own .pth files, and so our checkout, stay unread.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-deps", "--no-index"]
        self._run([*pip, "--no-build-isolation", "--ignore-installed", str(built)])

    def __call__(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        """What one of its programs prints on stdout."""
        return self._run([str(self._programs / program), *arguments], cwd)

    def _run(self, command: list[str], cwd: Path | None = None) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=cwd or self.work, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The project's source archive, built."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tar.gz"))


def test_the_sdist_holds_what_git_does(sdist):
    """All but what concerns the repository alone."""
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not in a repository")
    missing = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()} - held
    assert {name.partition("/")[0] for name in missing} <= {".ci", ".github", ".gitignore"}, missing


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_installed_elsewhere_works(kind, request, tmp_path):
    """As somebody else would install it, and then from listing to exporting."""
    there = Elsewhere(tmp_path, request.getfixturevalue(kind))
    where = there("python", "-c", "import llarp_cli, llarp_tiny; print(llarp_cli.__file__, llarp_tiny.__file__)")
    assert all(path.startswith(str(there.place)) for path in where.split())
    assert "llarp_cli/py.typed" in there("python", "-c", FILES).replace(os.sep, "/")

    assert "train" in there("llarp", "--help") and "numba" in there("llarp", "--version")
    assert "quickstart" in there("llarp", "recipes")
    assert "tiny-llama" in there("llarp", "plugins", "--check")
    assert "minilm" in there("llarp", "study", "laptop", "--dry-run")
    assert "minilm" in there("llarp", "train", "--backbone", "minilm", "--recipe", "quickstart", "--dry-run")
    assert "llarp" in there("llarp", "completion", "bash")

    small = ["--backbone", "tiny-llama", "--recipe", "lang-rearrange", "--steps", "64", "--run-dir", "run"]
    there("llarp", "train", *small, "num_envs=2", "vision.image_size=64")
    assert (there.work / "run" / "checkpoints" / "64" / "adapter.safetensors").is_file()
    assert "train" in there("llarp", "eval", "run", "--split", "train", "--limit", "2", "--num-envs", "2")
    there("llarp", "rollout", "run", "--split", "train", "--video", "out.mp4")
    assert (there.work / "out.mp4").stat().st_size > 1000
    there("llarp", "export", "run", "--out", "shared")
    code = "import llarp_cli; print(len(llarp_cli.load_policy('shared').skills))"
    assert there("python", "-c", code).strip() == "70"


@pytest.mark.slow
def test_the_tests_in_the_sdist_can_be_collected(sdist, tmp_path):
    """Whoever packages llarp for a system runs them from there."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    there = Elsewhere(tmp_path, sdist)
    collected = there("python", "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", cwd=source)
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert _tests(collected) == _tests(own.stdout) and len(_tests(collected)) > 1000


def _tests(collected: str) -> set[str]:
    return {line for line in collected.splitlines() if "::" in line}
