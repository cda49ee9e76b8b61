"""What the plots of a report share: panels, colours, legends and the names of rows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from dlkd.drawing import LiteralFigure
from dlkd.text import plain, shortened

# Okabe and Ito's colours, told apart by the colour-blind; shapes and dashes say it again.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>"
DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (10, 2, 2, 2)), (0, (2, 1)))
"""As many as a legend can tell apart; colours begin again after another number, so that the two together differ."""
INK, FAINT = "#1f2328", "#8c959f"
WRAP = 22
PANEL = 2.45
"""Inches of a panel, three of which are legible on a page of A4."""
MOST_LINES = 3
"""Of a row's name beside a panel."""


def make_panels(
    count: int,
    *,
    width: float,
    height: float,
    share_y: bool = False,
    stacked: bool = False,
) -> tuple[LiteralFigure, list[Axes]]:
    """So many axes, three side by side, without pyplot's global state."""
    columns = 1 if stacked else min(count, 3)
    rows = math.ceil(count / columns)
    # Row names stand left of the first column, in inches on top of the panels.
    figure = LiteralFigure((width * columns + (1.3 if share_y or stacked else 0), height * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for spare in axes[count:]:
        spare.set_axis_off()
    for each in axes[:count]:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8)
    return figure, axes[:count]


def add_legend(figure: LiteralFigure, handles: dict[str, Any]) -> None:
    """A legend of row labels; given by hand, since matplotlib's own leaves out labels that begin with "_"."""
    if handles:
        columns = min(len(handles), 3)
        labels = [wrap(label, 2 * WRAP) for label in handles]
        figure.legend(handles.values(), labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def dash(i: int) -> Any:
    """A style of line, as matplotlib takes it."""
    return DASHES[i % len(DASHES)]


def row_height(names: Sequence[str]) -> float:
    """Inches for each row, so that no name runs into the next one."""
    return max(0.36, *(0.04 + 0.14 * (wrap(name).count("\n") + 1) for name in names))


def wrap(name: str, width: int = WRAP) -> str:
    """The name in at most `MOST_LINES` lines, its middle left out where it takes more."""
    lines = textwrap.wrap(plain(name), width)
    most = MOST_LINES * width
    while len(lines) > MOST_LINES:  # breaks at spaces waste some of each line
        lines = textwrap.wrap(shortened(plain(name), most), width)
        most -= 1
    return "\n".join(lines)
