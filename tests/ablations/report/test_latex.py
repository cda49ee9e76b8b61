"""Escaped text cannot end a LaTeX table, start a formula or become an argument."""

import re

import pytest

from dlkd.ablations.report.latex import LATIN, SPECIAL, _escape

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
