"""The site's table of contents, from `navigation` in conf.py: a code host should not show it among the text.

Pages that are not named there come last.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def append_contents(app: Sphinx, page: str, source: list[str]) -> None:
    if page != app.config.root_doc:
        return
    listed = {re.sub(r".*</(.*)>", r"\1", name) for pages in app.config.navigation.values() for name in pages}
    others = sorted(app.env.found_docs - listed - {page})
    navigation = {**app.config.navigation, **({"More": others} if others else {})}
    for caption, pages in navigation.items():
        lines = "\n".join(name if "<" in name else f"/{name}" for name in pages)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def read_again(app: Sphinx, *_: Any) -> list[str]:
    """The first page, whose table of contents depends on which other pages there are."""
    return [app.config.root_doc]


def front_door(app: Sphinx, failure: Exception | None) -> None:
    """Whoever opens the folder of the site is led to its first page."""
    if failure is None and app.builder.format == "html":
        door = f'<!doctype html><meta http-equiv="refresh" content="0; url={app.config.root_doc}.html">\n'
        Path(app.outdir, "index.html").write_text(door, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("navigation", {}, "env", dict)
    app.connect("source-read", append_contents)
    app.connect("env-get-outdated", read_again)
    app.connect("build-finished", front_door)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
