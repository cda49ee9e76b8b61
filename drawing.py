"""Figures without pyplot's global state, whose text is drawn as it was written, in any script that an installed font
has."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text as FigureText

from dlkd.text import plain

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that the same trials give the same picture everywhere."""

_NO_TEXT = re.compile("Last ?Resort|STIX|cm[a-z]+10|Emoji|Symbol|Dingbats|Math")
"""Fonts of boxes, formulas and coloured pictures."""

_undrawn: set[str] = set()


class LiteralFigure(Figure):
    """A figure whose text is no formula: `$`, `_`, `^`, `%` and backslashes are characters like others.

    What the font lacks is taken from another font of the machine. Text that no font has is drawn as [1], [2] and so
    on, not as boxes; `numbers` says what they stand for once the figure is drawn.

    Args:
        size: width and height in inches.
        layout: of matplotlib.
    """

    def __init__(self, size: tuple[float, float], layout: Any = "constrained") -> None:
        super().__init__(figsize=size, layout=layout)
        self.numbered: dict[str, str] = {}
        _Canvas(self)

    def draw(self, renderer: Any) -> None:
        """Draw the figure, whatever the user's matplotlibrc says of formulas."""
        for text in self.findobj(FigureText):
            text.set_parse_math(False)
            text.set_usetex(False)
        super().draw(renderer)

    @property
    def numbers(self) -> str:
        """What the numbers of the drawn figure stand for, in a sentence; empty where it has none."""
        if not self.numbered:
            return ""
        names = ", ".join(f"{number} {text}" for text, number in self.numbered.items())
        return f"No font of this machine has the characters of: {names}."

    def drawable(self, text: str) -> str:
        """`text` with a number in place of each run of characters that no font has."""
        parts = []
        for found, run in groupby(plain(text), key=lambda character: _family(character) is not None):
            part = "".join(run)
            if not found:
                _undrawn.update(part)
                part = self.numbered.setdefault(part, f"[{len(self.numbered) + 1}]")
            parts.append(part)
        return "".join(parts)


def undrawn() -> str:
    """The characters that no font had since the last call, sorted."""
    found = "".join(sorted(_undrawn))
    _undrawn.clear()
    return found


class _Canvas(FigureCanvasAgg):
    """Gives the figure's own renderer to all code that draws or measures."""

    figure: LiteralFigure

    def get_renderer(self) -> RendererAgg:
        """A renderer of the figure's present size."""
        width, height = self.get_width_height(physical=True)
        key = width, height, self.figure.dpi
        if getattr(self, "_made_for", None) != key:
            self._made_for = key
            self.renderer: RendererAgg = _Renderer(self.figure, width, height)
        return self.renderer


class _Renderer(RendererAgg):
    def __init__(self, figure: LiteralFigure, width: int, height: int) -> None:
        super().__init__(width, height, figure.dpi)  # type: ignore[no-untyped-call]
        self.own_figure = figure

    def draw_text(
        self, gc: Any, x: Any, y: Any, s: str, prop: Any, angle: Any, ismath: Any = False, mtext: Any = None
    ) -> None:
        del ismath
        text = self.own_figure.drawable(s)
        own = _with_families(prop, text)
        super().draw_text(gc, x, y, text, own, angle, False, mtext)  # type: ignore[no-untyped-call]

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        del ismath
        text = self.own_figure.drawable(s)
        own = _with_families(prop, text)
        return super().get_text_width_height_descent(text, own, False)  # type: ignore[no-untyped-call]


def _with_families(prop: FontProperties, text: str) -> FontProperties:
    """The same font, with those behind it that have what it lacks of `text`."""
    families = dict.fromkeys([FONT, *(_family(character) or FONT for character in text)])
    own = prop.copy()
    own.set_family(list(families))
    return own


@functools.cache
def _family(character: str) -> str | None:
    """The first family that has the character, None where there is none."""
    code = ord(character)
    if code in _codes(findfont(FontProperties(family=[FONT]))):
        return FONT
    return next((name for name, path in _others() if code in _codes(path)), None)


@functools.cache
def _others() -> Sequence[tuple[str, str]]:
    """Name and file of this machine's upright text fonts, those without serifs first."""
    found = {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname))
        if entry.style == "normal" and str(entry.weight) in ("400", "normal", "regular")
        if not _NO_TEXT.search(entry.name)
    }
    return sorted(found.items(), key=lambda item: ("sans" not in item[0].lower(), item[0]))


@functools.cache
def _codes(path: str) -> frozenset[int]:
    """The characters that a font has; none where it cannot be read."""
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
