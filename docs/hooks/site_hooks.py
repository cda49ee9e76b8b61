"""What MkDocs calls while it builds the site: pages that are made from the code, and links that leave docs/."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import gallery
import reference
import repository

_log = logging.getLogger("mkdocs.hooks")
ROOT = Path(__file__).parents[2]
DOCUMENTED = ROOT / "build" / "documented"
"""A copy of the package under its own name, which the reference is read from: a checkout may have any name."""


def on_startup(**_: Any) -> None:
    """Make the folder of the copy: mkdocstrings leaves out a path that is not there when its settings are read."""
    DOCUMENTED.mkdir(parents=True, exist_ok=True)


def on_config(config: Any) -> Any:
    """Copy the package, so that the reference is that of this checkout."""
    shutil.rmtree(DOCUMENTED, ignore_errors=True)
    for path in reference.sources(ROOT):
        copied = DOCUMENTED / "dlkd" / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_text(reference.with_examples_as_code(path.read_text(encoding="utf-8")), encoding="utf-8")
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the gallery, the reference, and a page for each file outside docs/ that a page links to."""
    from mkdocs.structure.files import File

    made = {**gallery.pages(), **reference.pages()}
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    made |= repository.pages(ROOT, {**written, **made})
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    return files


_LOADED = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\ssrc="((?:https?:)?//[^"]+)'
    r'|<link\b(?![^>]*canonical)[^>]*href="((?:https?:)?//[^"]+)'
)
"""What a page loads from another server; links that a reader follows are not among it."""


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn of a page that needs another server: the site works without a network."""
    for found in _LOADED.finditer(output):
        _log.warning("%s loads %s from another server", page.file.src_uri, found[1] or found[2])
    return output


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files outside docs/ lead to their pages in the site."""
    return repository.inside(ROOT, page.file.src_uri, markdown)
