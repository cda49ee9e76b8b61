"""Pages, docstrings and messages avoid a few idioms that a reader whose second language is English may not know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRITTEN = {".md", ".py", ".yaml", ".toml", ".j2"}
NOT_WRITTEN_HERE = {"tests", "build", "dist", "runs"}

PLAINLY = {
    r"earns? (its|their) keep": "helps",
    r"(has|have|had|with) (a|no|its|their|full) (full )?say": "influences, does not influence",
    r"by the same door": "in the same way",
    r"out of the box": "without configuration",
    r"without a word": "without an error message",
    r"stands? in for each other": "overlap",
    r"the way out": "what to do instead",
    r"looking costs nothing": "further looks cause no more false verdicts",
    r"rang in": "was reported in",
    r"as (high|low|large|small) as can be": "maximised, minimised",
    r"(rooms?|house) of (dlkd|the package|the project)": "package",
    r"(images|seconds|bytes|bits|masks|ms|MiB) an? (second|step|cell|trial|pixel|image|value)": "per",
}
"""Idioms, as patterns of whole words, and what to write instead."""


def written() -> list[Path]:
    """The repository's texts, without its tests, hidden folders, environments and build outputs."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        skipped = parts[0] in NOT_WRITTEN_HERE or any(part.startswith(".") for part in parts)
        if path.suffix in WRITTEN and not skipped and "site-packages" not in parts:
            found.append(path)
    return found


@pytest.mark.parametrize(("idiom", "plainly"), PLAINLY.items())
def test_idioms_are_written_plainly(idiom: str, plainly: str) -> None:
    pattern = re.compile(rf"\b{idiom}\b", re.IGNORECASE)
    for path in written():
        text = path.read_text(encoding="utf-8")
        joined = re.sub(r"\s+(?:#\s+)?", " ", text)  # a phrase may be broken over two lines, of a comment too
        if said := pattern.search(joined):
            around = joined[max(0, said.start() - 40) : said.end() + 40]
            raise AssertionError(f"{path.relative_to(ROOT)} says '...{around}...'; write plainly: {plainly}")
