"""Plugins of others: the one of plugins/README.md works, broken ones are named, ours win a clash."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from llarp_cli import registry
from llarp_cli.cli import main
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import LlarpError, UsageProblem

README = Path(__file__).parent.parent / "plugins" / "README.md"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay out a distribution as pip would: a package and its metadata in a folder on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay_out(distribution, entry_points, modules):
        metadata = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        return metadata

    return lay_out


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture
def pythia(install):
    """The example of the README, installed."""
    (project,), (source,) = blocks("toml"), blocks("python")
    name = re.search(r'^name = "(.+)"', project, re.MULTILINE).group(1)
    group, lines = re.search(r'\[project\.entry-points\."(.+)"\]\n(.*)', project, re.DOTALL).groups()
    install(name, f"[{group}]\n" + lines.replace('"', ""), {"llarp_pythia": source})


def test_the_readme_example_is_discovered_without_being_imported(pythia):
    found = registry.find("backbone", "pythia-14m")
    assert (found.distribution, found.version, found.target) == ("llarp-pythia", "1.0", "llarp_pythia:pythia_14m")
    assert "llarp_pythia" not in sys.modules


def test_the_readme_example_loads_and_runs(pythia):
    model = registry.build("backbone", "pythia-14m", BackboneOptions(name="pythia-14m", weights="random"), "cpu")
    assert (model.hidden_size, model.context_length, model.identity.name) == (128, 2048, "pythia-14m")
    tokens = torch.zeros(5, 128, requires_grad=True)
    model.forward(tokens, [2, 3], model.encode(["fetch the apple", "go"])).square().sum().backward()
    assert tokens.grad.abs().sum() > 0


def test_the_readme_example_gets_what_follows_the_colon(pythia):
    options = BackboneOptions(name="pythia-step:x")
    with pytest.raises(UsageProblem, match="names no step"):
        registry.build("backbone", options.name, options, "cpu")
    options = BackboneOptions(name="pythia-step:3000", weights="random")
    assert registry.build("backbone", options.name, options, "cpu").identity.name == "pythia-step:3000"


def test_the_readme_lists_every_shipped_backbone():
    shipped = {plugin.name for plugin in registry.plugins("backbone") if plugin.distribution == "llarp"}
    table = README.read_text().partition("`--weights PATH`")[0]
    listed = {name.partition(":")[0] for name in re.findall(r"`([a-z0-9.:-]+(?:ORG/NAME)?)`", table)}
    assert shipped <= listed


BROKEN = {
    "raises": "raise RuntimeError('boom')",
    "exits": "raise SystemExit(3)",
    "is not Python": "def (",
    "lacks the object": "x = 1",
    "needs a package": "import no_such_package_anywhere",
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_a_plugin_that_fails_on_import_is_named_in_one_line_and_breaks_nothing_else(install, source):
    install("llarp-broken", "[llarp.backbones]\nbroken = llarp_broken:plugin\n", {"llarp_broken": source})
    with pytest.raises(LlarpError) as problem:
        registry.load("backbone", "broken")
    assert "backbone 'broken' (plugin llarp-broken 1.0)" in problem.value.message
    assert "\n" not in problem.value.message
    assert problem.value.hint
    assert registry.load("backbone", "tiny-llama").summary
    listing = CliRunner().invoke(main, ["plugins"])
    assert listing.exit_code == 0
    assert "llarp-broken" in listing.output


def test_a_plugin_without_its_own_module_is_not_looked_for_on_an_index(install):
    install("llarp-half", "[llarp.backbones]\nhalf = llarp_half.models:plugin\n", {})
    with pytest.raises(UsageProblem, match=r"llarp-half 1\.0\) lacks its own module 'llarp_half'") as problem:
        registry.load("backbone", "half")
    assert problem.value.hint == "install llarp-half again"


def test_a_plugin_that_fails_while_loading_is_named(install):
    source = "class Plugin:\n    def load(self, options, device):\n        return 1 / 0\nplugin = Plugin()\n"
    install("llarp-broken", "[llarp.backbones]\nbroken = llarp_broken:plugin\n", {"llarp_broken": source})
    with pytest.raises(LlarpError, match=r"llarp-broken 1\.0\) failed: ZeroDivisionError"):
        registry.build("backbone", "broken", BackboneOptions(name="broken"), "cpu")


@pytest.mark.parametrize("text", [b"[llarp.backbones]\nno equals sign\n", b"\xff\xfe", b"[llarp.backbones]\nx =\n"])
def test_broken_metadata_hides_no_other_plugin(install, text):
    (install("llarp-broken", "", {}) / "entry_points.txt").write_bytes(text)
    assert registry.load("backbone", "minilm").summary


def test_shipped_names_win_a_clash_and_the_other_is_marked(install):
    install("llarp-rival", "[llarp.backbones]\nminilm = llarp_rival:plugin\n", {"llarp_rival": "plugin = None"})
    assert registry.find("backbone", "minilm").distribution == "llarp"
    listed = [plugin for plugin in registry.plugins("backbone") if plugin.name == "minilm"]
    assert [(plugin.distribution, plugin.shadowed) for plugin in listed] == [("llarp", False), ("llarp-rival", True)]


def test_two_strangers_with_one_name_must_be_told_apart(install, monkeypatch):
    for name in ("llarp-one", "llarp-two"):
        module = name.replace("-", "_")
        install(name, f"[llarp.backbones]\nshared = {module}:plugin\n", {module: f"plugin = '{name}'"})
    with pytest.raises(UsageProblem, match="offered by llarp-one and llarp-two") as problem:
        registry.find("backbone", "shared")
    assert "LLARP_PLUGINS=llarp-one" in problem.value.hint
    monkeypatch.setenv("LLARP_PLUGINS", "llarp-two")
    assert registry.load("backbone", "shared") == "llarp-two"
    monkeypatch.setenv("LLARP_PLUGINS", "off")
    with pytest.raises(UsageProblem, match="unknown backbone 'shared'"):
        registry.find("backbone", "shared")


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UsageProblem, match="unknown backbone 'minilmm'") as problem:
        registry.find("backbone", "minilmm")
    assert "did you mean 'minilm'" in problem.value.hint


def test_every_shipped_plugin_imports_without_torch():
    program = (
        "import sys; from llarp_cli import registry\n"
        "for plugin in registry.plugins('backbone'):\n"
        "    loaded = registry.load('backbone', plugin.name)\n"
        "    assert loaded.summary and callable(loaded.load), plugin\n"
        "    assert isinstance(loaded.requires, tuple), plugin\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "LLARP_PLUGINS": "off"})
