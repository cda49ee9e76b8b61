"""Figures draw text as it was written, without a warning and without boxes."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from dlkd import drawing
from dlkd.drawing import LiteralFigure, undrawn

LITERAL = ["$", "$x", "a$b$c", r"$\frac{$", r"\$ \alpha _a ^b", "50% #1 {x}", "~ & |", "αβγ – −", "\udcff", "a\tb"]


def drawn(text: str) -> tuple[np.ndarray, LiteralFigure]:
    figure = LiteralFigure((4, 1), None)
    figure.text(0.05, 0.4, text)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("L")), figure


@pytest.mark.parametrize("text", LITERAL)
def test_signs_of_formulas_are_characters(text: str) -> None:
    pixels, figure = drawn(text)
    assert figure.numbers == ""
    # Drawn one by one the same characters take about as much ink.
    ink = sum((255 - drawn(character)[0].astype(int)).sum() for character in text)
    if all(ord(c) > 32 and not 0xD800 <= ord(c) < 0xE000 for c in text):
        assert 0.8 * ink < (255 - pixels.astype(int)).sum() < 1.2 * ink


def test_every_text_of_a_figure_is_literal(tmp_path: Path) -> None:
    figure = LiteralFigure((4, 3))
    axes = figure.subplots()
    [line] = axes.plot([1, 2], [3, 4])
    axes.set_title("$a")
    axes.set_xlabel(r"$\frac{")
    axes.set_xticks([1, 2], [r"$\bad{$", "$"])
    axes.text(1, 3, r"$\no$")
    figure.suptitle("$_$")
    figure.legend([line], [r"$\x$"], loc="outside lower center")
    figure.savefig(tmp_path / "a.png", bbox_inches="tight")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_users_matplotlibrc_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = drawn("$a_b$")
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "font.family", ["serif"])
    np.testing.assert_array_equal(drawn("$a_b$")[0], expected)


def test_what_no_font_has_is_numbered_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_others", lambda: [])
    drawing._family.cache_clear()
    undrawn()
    pixels, figure = drawn("划痕 and 凹陷, 划痕")
    drawing._family.cache_clear()
    assert figure.numbers == "No font of this machine has the characters of: [1] 划痕, [2] 凹陷."
    np.testing.assert_array_equal(pixels, drawn("[1] and [2], [1]")[0])
    assert undrawn() == "".join(sorted("划痕凹陷"))
    assert undrawn() == ""


def test_a_font_that_has_them_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """STIX, which comes with matplotlib, has a letter that DejaVu lacks."""
    path = matplotlib.font_manager.findfont("STIXGeneral")
    lacking = drawing._codes(path) - drawing._codes(matplotlib.font_manager.findfont("DejaVu Sans"))
    letter = min(character for character in map(chr, lacking) if character.isalpha())
    monkeypatch.setattr(drawing, "_others", lambda: [("STIXGeneral", path)])
    drawing._family.cache_clear()
    pixels, figure = drawn(letter)
    drawing._family.cache_clear()
    assert figure.numbers == ""
    assert (pixels < 128).any()
