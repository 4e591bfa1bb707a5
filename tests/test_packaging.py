"""What is built and installed: the wheel's contents, and that it works away from the checkout."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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


@pytest.mark.slow
def test_the_wheel_installed_elsewhere_lists_recipes_and_trains(wheel, tmp_path):
    """In an environment of its own that borrows only the dependencies."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    # A folder named in a .pth file lends its packages, but its own .pth files, and so our checkout, stay unread.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*arguments: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(arguments, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(str(python), "-c", "import llarp_cli, llarp_tiny; print(llarp_cli.__file__, llarp_tiny.__file__)")
    assert all(path.startswith(str(folder)) for path in where.split())
    llarp = str(folder / "bin" / "llarp")
    assert "quickstart" in run(llarp, "recipes")
    assert "minilm" in run(llarp, "study", "laptop", "--dry-run")
    run(llarp, "train", "--backbone", "tiny-llama", "--recipe", "lang-rearrange", "--steps", "200", "--run-dir", "run")
    assert (tmp_path / "run" / "checkpoints" / "256" / "adapter.safetensors").is_file()
