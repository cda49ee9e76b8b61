"""The figures of an ablation, one metric at a time, on matplotlib's Axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.ablations.report import plot_data
from dlkd.ablations.report.tables import Table
from dlkd.registry.problems import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Plots:
    """Figures of one table. Each method takes the Axes to draw on, or makes a pyplot figure, and returns the Axes.

    `metric` is one of the grid's, the primary one by default.

    >>> axes = ablation.plot.effects("pro")         # doctest: +SKIP
    >>> axes.figure.savefig("effects.pdf")          # doctest: +SKIP
    """

    _table: Table
    _store: Path

    def effects(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Effects of the factors, or differences of the rows, in points (hundredths).

        The primary metric has intervals. Full dots help or harm. Raises ValueError where there is nothing to compare.
        """
        from dlkd.ablations.report.plots.effects import draw_effects
        from dlkd.ablations.report.plots.panels import row_height, wrap

        effects = plot_data.effects(self._table)
        if effects is None:
            raise ValueError(
                f"table '{self._table.grid.name}' has one row or no reference: there is nothing to compare"
            )
        names = effects.names
        ax = _axes(ax, 5.2, 1 + row_height(names) * len(names))
        draw_effects(ax, effects, self._metric(metric))
        ax.set_yticks(range(len(names)), [wrap(name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        return _literal(ax)

    def profile(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Each row over the categories, in per cent, from the hardest to the easiest; bars join its lowest and highest
        seed.

        Raises ValueError where fewer than two categories have figures.
        """
        from dlkd.ablations.report.plots.panels import wrap
        from dlkd.ablations.report.plots.profile import draw_rows, profile_width

        profile = plot_data.profile(self._table, self._metric(metric))
        if profile is None:
            raise ValueError(f"table '{self._table.grid.name}' has figures in fewer than two categories: see summary()")
        ax = _axes(ax, profile_width(profile), 4.4)
        handles = draw_rows(ax, profile)
        ax.legend(handles.values(), [wrap(label) for label in handles], fontsize=8)
        return _literal(ax)

    def heat_map(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Every row in every category, in per cent, averaged over seeds."""
        from dlkd.ablations.report.plots.heat_map import draw_heat_map
        from dlkd.ablations.report.plots.panels import row_height, wrap

        scores = plot_data.categories(self._table)
        labels = scores.rows
        ax = _axes(ax, 2.2 + max(2.4, 0.62 * len(scores.categories)), 1.1 + row_height(labels) * len(labels))
        draw_heat_map(ax, scores, self._metric(metric))
        ax.set_yticks(range(len(labels)), [wrap(label) for label in labels])
        return _literal(ax)

    def pareto(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The metric, in per cent, over milliseconds per image; a line joins rows that none beats in both.

        Raises ValueError where no trial has a time.
        """
        from dlkd.ablations.report.plots.panels import wrap
        from dlkd.ablations.report.plots.pareto import draw_pareto

        if (costs := plot_data.costs(self._table)) is None:
            raise ValueError(f"no trial of table '{self._table.grid.name}' has the time of an image")
        ax = _axes(ax, 5.2, 3.6)
        handles = draw_pareto(ax, costs, self._metric(metric))
        ax.set_ylabel("per cent", fontsize=9)
        ax.legend(handles.values(), [wrap(label) for label in handles], fontsize=8)
        return _literal(ax)

    def learning_curves(self, term: str = "total", *, ax: Axes | None = None) -> Axes:
        """A term of the loss over the steps: the mean of a row's trials, and a band from the lowest to the highest.

        Raises ValueError where the store holds no curve with such a term.
        """
        from dlkd.ablations.report.plots.learning_curves import draw_curves
        from dlkd.ablations.report.plots.panels import wrap

        curves = plot_data.curves(self._table, self._store)
        terms = [] if curves is None else curves.terms
        if curves is None or term not in terms:
            known = nearest(term, terms) or f": no trial in {self._store} has any"
            raise ValueError(f"no learning curve has the term '{term}'{known}")
        ax = _axes(ax, 5.2, 3.4)
        handles = draw_curves(ax, curves, term)
        ax.legend(handles.values(), [wrap(label) for label in handles], fontsize=8)
        return _literal(ax)

    def pictures(self) -> NDArray[Any]:
        """The same test images for each row: image, ground truth, and each row's map. Axes (rows + 2, images).

        Raises ValueError where the store holds no pictures.
        """
        return self._images(plot_data.examples(self._table, self._store))

    def segmentations(self, rows: Sequence[str] | None = None) -> NDArray[Any]:
        """As Figures 3 and 4 of the paper: image, ground truth, segmentations at the threshold, and heat maps.

        Axes (2 · rows + 2, images). Raises ValueError where a row is unknown, or the store holds no pictures of them.

        Args:
            rows: their labels, or what stands before a label's brackets; default the grid's `segmented:`, else all.
        """
        from dlkd.ablations.plan.labels import rows_called

        grid = self._table.grid
        chosen = grid.segmented or tuple(row.label for row in grid.rows) if rows is None else rows_called(grid, rows)
        table = replace(self._table, grid=grid.model_copy(update={"segmented": chosen}))
        return self._images(plot_data.segmentations(table, self._store))

    def _images(self, examples: plot_data.Examples | None) -> NDArray[Any]:
        """The axes of a picture grid, a line of test images each."""
        import numpy as np
        from matplotlib import pyplot

        from dlkd.ablations.report.plots.picture_grid import draw_picture_grid

        figure = None
        if examples is not None:
            figure = draw_picture_grid(examples, lambda size, layout: pyplot.figure(figsize=size, layout=layout))
        if examples is None or figure is None:
            raise ValueError(f"no trial in {self._store} has kept pictures")
        *axes, _ = map(_literal, figure.axes)  # the last is the colour bar's
        return np.array(axes).reshape(2 + len(examples.rows) * (1 + examples.segmented), -1)

    def _metric(self, metric: str | None) -> str:
        if metric is not None and metric not in self._table.metrics:
            known = self._table.metrics
            raise ValueError(f"table '{self._table.grid.name}' shows no metric '{metric}'{nearest(metric, known)}")
        return metric or self._table.primary_shown


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new figure of pyplot's, which notebooks show."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    made: Axes = pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()
    made.spines[["top", "right"]].set_visible(False)
    made.tick_params(labelsize=8)
    return made


def _literal(ax: Axes) -> Axes:
    """`ax` with its text as it was written: a `$` in a label begins no formula."""
    from matplotlib.text import Text

    for text in ax.findobj(Text):
        text.set_parse_math(False)
    return ax
