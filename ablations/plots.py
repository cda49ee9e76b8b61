"""The figures of an ablation, one metric at a time, on matplotlib's Axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.ablations.report.tables import Table
from dlkd.registry.problems import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Plots:
    """Figures of one table. Each takes the Axes to draw on, or makes a figure of pyplot's, and returns the Axes.

    `metric` is one of the grid's, the first by default.

    >>> axes = ablation.plot.effects("pro")         # doctest: +SKIP
    >>> axes.figure.savefig("effects.pdf")          # doctest: +SKIP
    """

    _table: Table
    _store: Path

    def effects(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Effects of the factors, or differences of the rows, in points (hundredths).

        The primary metric has intervals. Full dots help or harm. Raises ValueError where there is nothing to compare.
        """
        from dlkd.ablations.report.plots.effects import draw_effects, effect_names
        from dlkd.ablations.report.plots.panels import row_height, wrap

        names = effect_names(self._table)
        if not names:
            raise ValueError(
                f"table '{self._table.grid.name}' has one row or no reference: there is nothing to compare"
            )
        ax = _axes(ax, 5.2, 1 + row_height(names) * len(names))
        draw_effects(ax, self._table, self._metric(metric))
        ax.set_yticks(range(len(names)), [wrap(name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        return _literal(ax)

    def heat_map(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Every row in every category, in per cent, averaged over seeds."""
        from dlkd.ablations.report.plots.heat_map import draw_heat_map
        from dlkd.ablations.report.plots.panels import row_height, wrap

        labels = [row.label for row in self._table.rows]
        columns = len(self._table.trials[["dataset", "category"]].drop_duplicates())
        ax = _axes(ax, 2.2 + max(2.4, 0.62 * columns), 1.1 + row_height(labels) * len(labels))
        draw_heat_map(ax, self._table, self._metric(metric))
        ax.set_yticks(range(len(labels)), [wrap(label) for label in labels])
        return _literal(ax)

    def pareto(self, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
        """The metric, in per cent, over milliseconds per image; a line joins rows that none beats in both."""
        from dlkd.ablations.report.plots.panels import wrap
        from dlkd.ablations.report.plots.pareto import draw_pareto

        ax = _axes(ax, 5.2, 3.6)
        handles = draw_pareto(ax, self._table, self._metric(metric))
        ax.set_ylabel("per cent", fontsize=9)
        ax.legend(handles.values(), [wrap(label) for label in handles], fontsize=8)
        return _literal(ax)

    def learning_curves(self, term: str = "total", *, ax: Axes | None = None) -> Axes:
        """A term of the loss over the steps: the mean of a row's trials, and a band from the lowest to the highest.

        Raises ValueError where the store holds no curve with such a term.
        """
        from dlkd.ablations.report.plots.learning_curves import draw_curves, loss_terms, read_curves
        from dlkd.ablations.report.plots.panels import wrap

        curves = read_curves(self._table, self._store)
        terms = loss_terms(curves)
        if term not in terms:
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
        import numpy as np
        from matplotlib import pyplot

        from dlkd.ablations.report.plots.picture_grid import draw_picture_grid

        figure = draw_picture_grid(
            self._table, self._store, lambda size, layout: pyplot.figure(figsize=size, layout=layout)
        )
        if figure is None:
            raise ValueError(f"no trial in {self._store} has kept pictures")
        *axes, _ = map(_literal, figure.axes)  # the last is the colour bar's
        return np.array(axes).reshape(len(self._table.rows) + 2, -1)

    def _metric(self, metric: str | None) -> str:
        if metric is not None and metric not in self._table.metrics:
            known = self._table.metrics
            raise ValueError(f"table '{self._table.grid.name}' shows no metric '{metric}'{nearest(metric, known)}")
        return metric or self._table.metrics[0]


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
