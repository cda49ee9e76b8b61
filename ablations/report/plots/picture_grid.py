"""The same test images for every row: ground truth, segmentations, anomaly maps and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dlkd.ablations.report.example_data import Example, KeptImages, mask_of, read_examples, unit_of
from dlkd.ablations.report.plot_data import Examples
from dlkd.ablations.report.plots.panels import FAINT, wrap
from dlkd.drawing import LiteralFigure
from dlkd.text import shortened
from dlkd.training.prediction.pictures import COLOURS, outline, overlay

F = TypeVar("F", bound=Figure)


def picture_grid(examples: Examples) -> LiteralFigure | None:
    """See `draw_picture_grid`."""
    return draw_picture_grid(examples, LiteralFigure)


def draw_picture_grid(
    examples: Examples, make: Callable[[tuple[float, float], ConstrainedLayoutEngine], F]
) -> F | None:
    """The same test images for all rows: image, ground truth, then each row's map and score, on one scale.

    Segmented examples have a line per row before that: where its map is above its threshold. A map's unit is its own
    trial's threshold, so that 1 is where that variant raises an alarm. `make` gives a figure of a size in inches and a
    layout; where no file can be read it is not called.
    """
    kept, chosen = read_examples(examples)
    if not chosen:
        return None
    sources: dict[tuple[str, str], KeptImages] = {}
    for (_, dataset, category), one in kept.items():
        sources.setdefault((dataset, category), one)
    labels = examples.rows
    limits = _limits([own for row in labels for c in chosen if (own := kept.get((row, c.dataset, c.category)))])

    segmented = labels if examples.segmented else []
    figure, grid = _empty(2 + len(segmented) + len(labels), len(chosen), make)
    for column, c in zip(grid.T, chosen, strict=True):
        _draw_image(column[:2], c, sources[c.dataset, c.category])
        for axes, row in zip(column[2:], segmented, strict=False):
            _draw_segmentation(axes, kept.get((row, c.dataset, c.category)), c.place)
        for axes, row in zip(column[2 + len(segmented) :], labels, strict=True):
            _draw_map(axes, kept.get((row, c.dataset, c.category)), c.place, limits)
    rows = [wrap(label, 20 if segmented else 16) for label in labels]
    segments = [f"segmentation\n{row}" for row in rows if segmented]
    maps = [f"heat map\n{row}" if segmented else row for row in rows]
    for axes, name in zip(grid[:, 0], ["image", "ground truth", *segments, *maps], strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10, labelpad=6)
    bar = figure.colorbar(
        ScalarMappable(Normalize(*limits), COLOURS), ax=grid, location="bottom", aspect=60, fraction=0.02, pad=0.01
    )
    bar.set_label("anomaly map; 1 = each row's own threshold, from normal training images", fontsize=10)
    bar.ax.tick_params(labelsize=10)
    return figure


def _limits(kept: list[KeptImages]) -> tuple[float, float]:
    """Where the colours begin and end, in units of the thresholds.

    They begin where the normal pictures end, so that these do not glow, but at 1 at most, where alarms begin.
    """
    maps = [own["maps"].astype(float) / unit_of(own) for own in kept]
    normal = [one for all_of, own in zip(maps, kept, strict=True) for one in all_of[own["labels"] == 0]]
    low = min(1.0, max((float(one.max()) for one in normal), default=1.0))
    high = float(np.quantile(np.concatenate([each.ravel()[::7] for each in maps]), 0.998))
    return low, max(high, low + 1e-6)


def _empty(
    lines: int, columns: int, make: Callable[[tuple[float, float], ConstrainedLayoutEngine], F]
) -> tuple[F, NDArray[Any]]:
    """A figure with axes `(lines, columns)` close together, without ticks."""
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    figure = make((1.7 + 1.12 * columns, 0.85 + 1.3 * lines), tight)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure, grid


def _draw_image(column: NDArray[Any], c: Example, example: KeptImages) -> None:
    """The image, and its ground truth below."""
    mask = mask_of(example, c.place)
    column[0].imshow(example["images"][c.place])
    label = "anomalous" if example["labels"][c.place] else "normal"
    column[0].set_title(f"{shortened(c.category, 14)}\n{label}", fontsize=10)
    if mask is None:
        column[1].text(0.5, 0.5, "no mask", ha="center", va="center", fontsize=8, color=FAINT)
    else:
        column[1].imshow(mask, cmap="gray", vmin=0, vmax=1)


def _draw_segmentation(axes: Axes, own: KeptImages | None, place: int) -> None:
    """White where a row's map is above its threshold, the ground truth outlined."""
    if own is None:
        _draw_nothing(axes)
        return
    above = own["maps"][place].astype(float) > unit_of(own)
    drawn = np.repeat(above[..., None] * np.uint8(255), 3, axis=2)
    mask = mask_of(own, place)
    axes.imshow(drawn if mask is None else outline(drawn, mask), interpolation="nearest")


def _draw_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no\nresult", ha="center", va="center", fontsize=8, color=FAINT)


def _draw_map(axes: Axes, own: KeptImages | None, place: int, limits: tuple[float, float]) -> None:
    """A row's anomaly map over its own image, which may have a size of its own, and the image's score."""
    if own is None:
        _draw_nothing(axes)
        return
    unit = unit_of(own)
    scaled = (own["maps"].astype(float) / unit)[place]
    axes.imshow(overlay(own["images"][place], scaled, *limits, mask=mask_of(own, place)))
    score = float(own["scores"][place]) / unit
    alarm: dict[str, Any] = {"fontweight": "bold"} if score > 1 else {"color": "#57606a"}
    axes.set_xlabel(f"{score:.2f}", fontsize=10, labelpad=1, **alarm)
