"""Links from pages to other files of the repository lead to a page of the site that shows the file."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

LEXERS = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".json": "json"}
FOLDER = "source"


class ShowFiles(SphinxTransform):
    """Turns what would be a download of a text file into a link to the page that shows it."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        for link in list(self.document.findall(download_reference)):
            path, _absolute = self.env.relfn2path(link["reftarget"], self.env.docname)
            page = f"{FOLDER}/{path}"
            shown(self.env)[self.env.docname] = shown(self.env).get(self.env.docname, set()) | {path}
            target = self.app.builder.get_relative_uri(self.env.docname, page)
            link.replace_self(nodes.reference("", "", *link.children, refuri=target, internal=True))


def shown(env: Any) -> dict[str, set[str]]:
    """Page → files of the repository that it links to."""
    if "shown_files" not in env.__dict__:
        env.shown_files = {}
    return env.shown_files


def forget(app: Sphinx, env: Any, page: str) -> None:
    shown(env).pop(page, None)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in sorted(set().union(*shown(app.env).values())):
        text = Path(app.srcdir, path).read_text(encoding="utf-8")
        lexer = LEXERS.get(Path(path).suffix, "text")
        body = app.builder.highlighter.highlight_block(text, lexer, location=path, force=True)
        name = html.escape(path)
        yield f"{FOLDER}/{path}", {"title": name, "parents": [], "body": f"<h1>{name}</h1>\n{body}"}, "page.html"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(ShowFiles)
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
