"""Pages of the site for files outside docs/, such as examples, and the links to them."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = "repository"
"""Where these pages are in the site."""

_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".cff": "yaml"}


def pages(root: Path, written: Mapping[str, str]) -> dict[str, str]:
    """A page for each file or folder outside docs/ that the pages link to, and for those that these link to.

    Args:
        root: of the repository.
        written: text of each page by its place in docs/.
    """
    found: dict[str, str] = {}
    waiting = list(written.items())
    while waiting:
        uri, text = waiting.pop()
        for path in _outside(root, uri, text):
            page = _uri(root, path)
            if page not in found:
                found[page] = _page(root, path)
                waiting.append((page, found[page]))
    return found


def inside(root: Path, uri: str, text: str) -> str:
    """The text of a page with its links to the repository's files turned into links to their pages."""

    def turned(link: re.Match[str]) -> str:
        path = _target(root, uri, link[1])
        if path is None or not (root / path).exists():
            return link[0]
        place = path.removeprefix("docs/") if path.startswith("docs/") else _uri(root, path)
        return posixpath.relpath(place, posixpath.dirname(uri) or ".") + (link[2] or "")

    return "".join(part if code else _LINK.sub(turned, part) for part, code in _parts(text))


def _outside(root: Path, uri: str, text: str) -> Iterator[str]:
    for part, code in _parts(text):
        for link in () if code else _LINK.finditer(part):
            path = _target(root, uri, link[1])
            if path is not None and not path.startswith("docs/") and (root / path).exists():
                yield path


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a block of code."""
    end = 0
    for fence in _FENCE.finditer(text):
        yield text[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield text[end:], False


def _target(root: Path, uri: str, link: str) -> str | None:
    """The path in the repository that a link of a page leads to; None for an address."""
    if re.match(r"[a-z]+:", link):
        return None
    start = posixpath.join("docs", uri)
    if uri.startswith(f"{FOLDER}/"):
        start = uri.removeprefix(f"{FOLDER}/")
        if not (root / start).exists():  # the page of a file of another kind, or of a folder
            start = start.removesuffix(".md")
    return posixpath.normpath(posixpath.join(posixpath.dirname(start), link))


def _uri(root: Path, path: str) -> str:
    return posixpath.join(FOLDER, path if path.endswith(".md") else f"{path}.md")


def _page(root: Path, path: str) -> str:
    place = root / path
    if place.is_dir():
        held = sorted(p for p in place.rglob("*") if p.suffix in (".py", ".yaml", ".toml"))
        shown = "\n\n".join(f"## {p.relative_to(place).as_posix()}\n\n{_code(p)}" for p in held)
        return f"# {path}\n\n{shown}\n"
    if place.suffix == ".md":
        return place.read_text(encoding="utf-8")
    return f"# {place.name}\n\n`{path}` in the repository.\n\n{_code(place)}\n"


def _code(path: Path) -> str:
    text = path.read_text(encoding="utf-8").rstrip()
    if path.suffix == ".ipynb":
        return "\n\n".join(_cell(cell) for cell in json.loads(text)["cells"])
    return f"````{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n````"


def _cell(cell: Mapping[str, object]) -> str:
    source = cell["source"]
    text = source if isinstance(source, str) else "".join(source)  # type: ignore[arg-type]
    return f"````python\n{text}\n````" if cell["cell_type"] == "code" else re.sub("^#", "##", text, flags=re.MULTILINE)
