"""Escaped text cannot end a LaTeX table, start a formula or become an argument."""

import html
import re

import pytest

from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.latex import LATIN, SPECIAL, _escape
from dlkd.ablations.report.markdown import escape

BACK = {text: character for character, text in SPECIAL.items()} | {r"-{}-": "--"}


@pytest.mark.parametrize(
    "text", ["\\x{y} a_b^c 5% #1 $2 & ~", "[w/o gate]", "*starred", "a|b`c`", "β−α ± λ≤1 → ×", "a\nb"]
)
def test_every_sign_of_latex_is_escaped(text: str) -> None:
    found = _escape(text)
    bare = found
    for escaped in sorted(BACK, key=len, reverse=True):
        bare = bare.replace(escaped, "")
    assert not set(bare) & set("\\{}_^%#$&~[]*|`")
    assert "\n" not in found
    assert all(character <= LATIN for character in found)


@pytest.mark.parametrize("text", ["[a]", "*", "[-1ex]"])
def test_a_rows_end_takes_no_argument_from_the_next_row(text: str) -> None:
    """`\\\\` and booktabs' rules read a bracket or an asterisk after them as theirs."""
    assert not re.match(r"[\[*]", _escape(text))


def test_hyphens_stay_hyphens_and_dashes_dashes() -> None:
    assert _escape("--set a–b") == r"-{}-set a\textendash{}b"


def test_latex_says_what_the_other_formats_say_under_a_table(full, undrawn) -> None:
    trials, grids, folder, texts = full
    page = html.unescape(texts["report.html"])
    for section in make_report(trials, grids, folder / "store").sections:
        assert section.notes
        for said in (*section.headline.lines, *section.notes, *section.failures):
            assert _escape(said) in texts["report.tex"]
            assert escape(said) in texts["report.md"]
            assert said in page
