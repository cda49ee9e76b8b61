"""Draws the pictures of a report, each from its data."""

from __future__ import annotations

import io
from typing import TypeAlias

from PIL import Image

from dlkd.ablations.report.pair_data import Courses, PairPoints
from dlkd.ablations.report.plot_data import Categories, Costs, Curves, Effects, Examples, Profile
from dlkd.ablations.report.plots.courses import draw_courses
from dlkd.ablations.report.plots.effects import forest
from dlkd.ablations.report.plots.heat_map import heat_map
from dlkd.ablations.report.plots.learning_curves import learning_curves
from dlkd.ablations.report.plots.pair_points import draw_pair_points
from dlkd.ablations.report.plots.pareto import pareto
from dlkd.ablations.report.plots.picture_grid import picture_grid
from dlkd.ablations.report.plots.profile import draw_profile
from dlkd.drawing import LiteralFigure

LARGE = 300_000  # bytes; no plot comes near


PictureData: TypeAlias = Examples | Effects | PairPoints | Courses | Profile | Categories | Costs | Curves


def draw(data: PictureData) -> LiteralFigure | None:
    """The figure of that data; None where nothing can be drawn of it."""
    match data:
        case Examples():
            return picture_grid(data)
        case Effects():
            return forest(data)
        case PairPoints():
            return draw_pair_points(data)
        case Courses():
            return draw_courses(data)
        case Profile():
            return draw_profile(data)
        case Categories():
            return heat_map(data)
        case Costs():
            return pareto(data)
        case Curves():
            return learning_curves(data)


def png_of(figure: LiteralFigure, dpi: int) -> bytes:
    """The figure as PNG. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    if buffer.getbuffer().nbytes > LARGE:
        # Photographs shrink to a third with 256 colours, and dithering hides it.
        with Image.open(buffer) as image:
            plain = image.convert("RGB")
        palette = plain.quantize(256, method=Image.Quantize.MAXCOVERAGE)
        buffer = io.BytesIO()
        plain.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "png", optimize=True)
    return buffer.getvalue()
