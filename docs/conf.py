"""The documentation site: `make docs`. Pages are Markdown that reads as well on a code host."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

from llarp_cli import __version__  # noqa: E402

project = "llarp"
author = "the llarp authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "navigation", "repository"]

# The source folder is the whole repository, so that links between pages are the same here and on a code host.
root_doc = "docs/index"
navigation = {
    "Begin": ["README </README>", "docs/tutorial", "docs/faq", "docs/footguns", "docs/coming-from"],
    "Understand": ["docs/how-it-works", "docs/benchmark", "docs/home", "docs/vision", "docs/baselines"],
    "Measured": [
        "docs/results",
        "Speed </benchmarks/README>",
        "Speed on a processor </benchmarks/cpu>",
        "Speed on a GPU </benchmarks/gpu>",
        "Speed of the home </benchmarks/home>",
        "Several processes </benchmarks/scaling>",
        "Faults </benchmarks/faults>",
    ],
    "Use": [
        "docs/recipes",
        "Runs </docs/runs>",
        "docs/episodes",
        "Import </docs/import>",
        "docs/distributed",
        "docs/habitat",
        "Completion </docs/completion>",
    ],
    "Extend": [
        "docs/plugins",
        "docs/environments",
        "Plugins of language models </plugins/README>",
        "docs/python",
        "Contributing </CONTRIBUTING>",
    ],
    "Look up": ["docs/cli", "CHANGELOG"],
}
include_patterns = ["docs/*.md", "plugins/*.md", "benchmarks/*.md", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "**/.*", "runs", "dist", "docs/_*", "tests", "llarp_cli"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Docstrings: Google style, and `code` as in the rest of the repository.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
# Names of other libraries, and of what the reference leaves out, have no page here.
nitpick_ignore_regex = [("py:.*", r".*")]

html_theme = "furo"
html_title = f"llarp {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "default"
highlight_language = "text"
