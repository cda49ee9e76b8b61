"""The results of an ablation as pandas frames: trials, scores, averages, differences, effects and verdicts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pandas as pd

from dlkd.ablations.frames import (
    TRIAL,
    By,
    comparison_frame,
    joined,
    part_frame,
    score_frame,
    summary_frame,
    trial_frame,
)
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.deciding import deciding_pairs
from dlkd.ablations.report.tables import Table, differences_of, effects_of, tabulate, trials_of
from dlkd.ablations.run.costs import read_costs
from dlkd.ablations.statistics.planning import plan
from dlkd.ablations.statistics.verdict import Scope
from dlkd.ablations.stored.run_folder import TRIALS, read_identity, read_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.ablations.stored.trials import NOT_RUN, renewed
from dlkd.registry.problems import nearest
from dlkd.text import plain

if TYPE_CHECKING:
    from dlkd.ablations.compare import Comparison
    from dlkd.ablations.plots import Plots
    from dlkd.training import TrainedModel

VERDICT_COLUMNS = [
    *("table", "kind", "label", "other", "metric", "estimate", "low", "high", "p", "verdict", "repeat", "settle"),
    *("new_images", "wins", "n_pairs", "n_seeds", "n_failed", "n_failed_other", "left_out", "note"),
]
ALONE = ("latency_1", "latency_8", "images_per_second", "peak_memory_bytes", "device", "threads", "day", "note")


@dataclass(frozen=True, eq=False, repr=False)
class Ablation:
    """The results of an ablation. Metrics, differences and intervals are fractions, never per cent.

    The results are frozen: each call returns a new frame. The column `label` names the row of the table. If there are
    several tables, `table(name)` gives one alone.

    Attributes:
        grids: the tables.
        folder: folder of the ablation, with its trials.parquet.
        store: holds the folders of the trials, by their keys.

    >>> from dlkd import load_ablation
    >>> ablation = load_ablation("runs/table4")                 # doctest: +SKIP
    >>> ablation.summary()["image_auroc"]["mean"]               # doctest: +SKIP
    >>> ablation.trials.groupby("label")["train_seconds"].sum() # doctest: +SKIP
    """

    grids: tuple[Grid, ...]
    folder: Path
    store: Path
    _lines: pd.DataFrame
    _identity: RunIdentity = field(default_factory=RunIdentity)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(grid.name for grid in self.grids)

    def table(self, name: str) -> Ablation:
        """The part of one table. Raises ValueError where no table is called so."""
        if name not in self.tables:
            raise ValueError(f"{self.folder} has no table '{name}'{nearest(name, self.tables)}")
        grids = tuple(grid for grid in self.grids if grid.name == name)
        return dataclasses.replace(self, grids=grids, _lines=self._lines[self._lines["table"] == name])

    @property
    def trials(self) -> pd.DataFrame:
        """One line per trial, so that a sum over a column counts each trial once.

        Columns: table, label (of the first row that contains the trial), dataset, category, seed, status ("ok",
        "failed" or "not run"), reason, variant, the settings of its training, and its costs: parameters, flops (of one
        image); train_seconds, normal_seconds (of the range of normal images), score_seconds (forward passes over the
        test images) and other_seconds, all beside other trials; and key, the name of its folder in the store.
        """
        return trial_frame(self._lines)

    @property
    def scores(self) -> pd.DataFrame:
        """In long form, one line per metric, trial and row that contains the trial.

        Columns: table, label, dataset, category, seed, metric, value (NaN without one), status ("ok", "undefined",
        "failed" or "not run"), reason (why there is no value), key.
        """
        return score_frame(self._lines)

    @property
    def costs(self) -> pd.DataFrame:
        """What each row costs, one line per row; time and memory of scoring were measured with nothing beside them.

        Columns: table, label; parameters, flops (of one image), train_seconds, normal_seconds, score_seconds and
        other_seconds (medians over the row's trials, see `trials`);
        latency_1 and latency_8 (seconds of so many images), images_per_second (8 at once), peak_memory_bytes (of the
        weights and of scoring 8 images), device, threads, day, and note, why they were not measured. NaN where the
        row was not measured yet.
        """
        return pd.DataFrame(
            {"table": grid.name, "label": row.label} | row.costs | {name: getattr(row.measured, name) for name in ALONE}
            for grid in self.grids
            for row in self._table(grid).rows
        )

    @property
    def failures(self) -> pd.DataFrame:
        """The failed trials: table, label, category, seed, the reason, and the file with the whole error (`log`)."""
        failed = self.trials.query("status == 'failed'").reset_index(drop=True)
        logs = [str(self.store / key / "failure.txt") for key in failed["key"]]
        return failed[[*TRIAL, "reason", "key"]].assign(log=logs)

    def summary(self, metrics: str | Sequence[str] | None = None, *, by: By = "row") -> pd.DataFrame:
        """Average of each row over seeds, then categories, with the 95% interval for new seeds.

        Index: label; by group also group, of the grid's `groups:` and "total"; by category also dataset and category;
        of several tables, table first. Columns: metric, and below it mean, low, high and n_missing
        (cells without a value, which the average leaves out). An end of an interval is NaN where none can be given.

        Args:
            metrics: default those of the table's own grid.
            by: "row" averages all categories of a row, "group" those of each group, "category" none.

        Raises:
            ValueError: a metric is unknown, or `by` is none of these.
        """
        if by not in get_args(By):
            raise ValueError(f"by is '{by}'{nearest(by, get_args(By))}")
        found = {
            grid.name: summary_frame(own, names) if by == "row" else part_frame(own, grid, names, by)
            for grid, (own, _, names) in self._parts(metrics)
        }
        return next(iter(found.values())) if len(found) == 1 else pd.concat(found, names=["table"])

    def differences(self, metrics: str | Sequence[str] | None = None, *, reference: str | None = None) -> pd.DataFrame:
        """Each row minus the row that it is compared with: the row above, its host, or the reference.

        Columns: table, label, other, metric, scope, estimate, low, high, p (after Holm), verdict, repeat (probability
        that a run with new seeds says the same), settle (seeds that would settle it), and the rest of
        `dlkd.ablations.statistics.verdicts`. The scope is "these" categories or categories "like" these; it is "" for a
        metric that is not the primary one, whose estimate is exploratory and has no interval.

        Args:
            metrics: default those of the table's own grid.
            reference: label of the row to compare all others with; default what the grid says.

        Raises:
            ValueError: a metric or the reference is unknown.
        """
        for grid in self.grids:
            labels = [row.label for row in grid.rows]
            if reference is not None and reference not in labels:
                raise ValueError(f"table '{grid.name}' has no row '{reference}'{nearest(reference, labels)}")
        chosen = {} if reference is None else {"reference": reference, "stepwise": False}
        return self._long(lambda own, grid, m: differences_of(own, grid.model_copy(update=chosen), m), metrics)

    def effects(self, metrics: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Main effects and two-way interactions of the tables whose rows have factors.

        Columns: table, effect, metric, kind ("main" or "interaction"), scope, estimate, low, high, p, verdict and the
        rest as in `differences`; settings (of the other factors, over which the effect is averaged) and left_out
        (settings that lack a side).

        Args:
            metrics: default those of the table's own grid.

        Raises:
            ValueError: a metric is unknown, or no table has factors.
        """
        found = self._long(effects_of, metrics)
        if found.empty:
            raise ValueError(
                f"no row of {', '.join(self.tables)} has factors, so there are no effects: give the grid's rows "
                "`factors:`, or ask for differences()"
            )
        return found.rename(columns={"label": "effect"}).drop(columns="other")

    def verdicts(self, scope: Scope = "these") -> pd.DataFrame:
        """The verdict of each comparison by the table's primary metric, one line each.

        Columns: table, kind ("row", "main" or "interaction"), label, other, metric, estimate, low, high, p (after
        Holm), verdict ("helps", "harms", "equivalent" or "open"), repeat, settle, new_images (whether the claim is
        about new test images too), wins, n_pairs, n_seeds (that the comparison took), n_failed, n_failed_other,
        left_out (settings that an effect is not averaged over; NaN for rows), note.

        Args:
            scope: "these" categories, or categories "like" these.
        """
        found = {}
        for grid in self.grids:
            table = self._table(grid)
            parts = [table.differences.assign(kind="row"), *([] if table.effects is None else [table.effects])]
            lines = pd.concat(parts, ignore_index=True)
            found[grid.name] = lines[lines["scope"] == scope].rename(columns={"row": "label"})
        return joined(found).reindex(columns=VERDICT_COLUMNS)

    def seeds_to_detect(self, effect: float, *, seeds: int = 3) -> pd.DataFrame:
        """How many seeds and categories would show an effect in 8 of 10 runs, by the noise of these trials.

        A line for each comparison by the primary metric: table, label, other, pair_sd (standard deviation of a pair's
        difference), spread (standard deviation of the true difference between categories), n_pairs, n_categories, seeds
        (per category, on these categories), seeds_high (the same if the noise is as large as so few pairs allow),
        seeds_like (for the claim on categories like these, with no more of them) and categories (for that claim, with
        `seeds` each); more_images (how many times as many test images are needed, 1 where these are enough) and
        seeds_then (with so many); until_decided (the smallest limit of --until-decided, from `seeds` on), the same with
        more noise (until_decided_high), and with the limit 20 seeds_taken (on average) and shown (share of runs).
        Infinity where no number is enough; NaN where nothing is known.

        Args:
            effect: a fraction: 0.01 is one point.
            seeds: per category, for the column `categories`.

        Raises:
            ValueError: the effect is not between the margin of a table and 1, or a table compares nothing.
        """
        found = {
            grid.name: plan(deciding_pairs(trials_of(self._lines, grid), grid), effect, seeds=seeds, margin=grid.margin)
            for grid in self.grids
        }
        return joined(dict(found)).rename(columns={"row": "label"})

    @property
    def plot(self) -> Plots:
        """Figures of one metric each, which return matplotlib's Axes: `ablation.plot.effects("pro")`."""
        from dlkd.ablations.plots import Plots

        if len(self.grids) > 1:
            raise ValueError(f"there are several tables, {', '.join(self.tables)}; plot one: .table(NAME).plot")
        return Plots(self._table(self.grids[0]), self.store)

    def model(
        self,
        label: str,
        *,
        category: str | None = None,
        seed: int | None = None,
        dataset: str | None = None,
        registry_files: Sequence[str | PathLike[str]] = (),
        imports: Sequence[str | PathLike[str]] = (),
    ) -> TrainedModel:
        """The trained model of a row, as `dlkd.load_model` gives it. What has one value only may be left out.

        Args:
            label: of the row.
            category: of the dataset.
            seed: base seed.
            dataset: as the table calls it.
            registry_files: YAML files of your own that the ablation was run with.
            imports: Python files that register your own components.

        Raises:
            ValueError: no trial is so, or several are; names what there is.
            TrialError: the trial is not finished, or its weights were not kept.
        """
        from dlkd.training.prediction.trained_model import load_model

        lines = self._lines.rename(columns={"row": "label"})
        found = lines[[*TRIAL, "key"]].drop_duplicates([*TRIAL[1:], "key"])
        asked = {"label": label, "category": category, "seed": seed, "dataset": dataset}
        for column, value in asked.items():
            known = list(dict.fromkeys(found[column]))
            if value is None and len(known) > 1:
                raise ValueError(f"there are several trials of '{label}': say {column}=, {', '.join(map(str, known))}")
            if value is not None and value not in known:
                near = nearest(str(value), map(str, known))
                raise ValueError(f"{self.folder} has no trial with {column} '{value}'{near}")
            found = found if value is None else found[found[column] == value]
        return load_model(self.store / found["key"].iloc[0], registry_files=registry_files, imports=imports)

    def to_html(self, path: str | PathLike[str]) -> Path:
        """Write the report with its figures as one HTML file, and return its path."""
        from dlkd.ablations.report.content import make_report
        from dlkd.ablations.report.html import html
        from dlkd.ablations.report.pictures import drawn_before
        from dlkd.files import write_text

        before = drawn_before(self.folder)
        write_text(Path(path), html(make_report(self._lines, self.grids, self.store, before, read_costs(self.folder))))
        return Path(path)

    def compare(self, other: Ablation) -> Comparison:
        """This ablation (A) beside another one (B), over the cells that both have: `a.compare(b).to_frame()`.

        Rows are paired by what they are, whatever they are called: see `dlkd.ablations.pairing`. Raises ValueError
        where the two have no row, or no cell, in common.
        """
        from dlkd.ablations.compare import Run, compare

        a, b = (
            Run(str(each.folder), each._lines, {grid.name: grid for grid in each.grids}, each._identity)
            for each in (self, other)
        )
        return compare(a, b)

    def _parts(self, metrics: str | Sequence[str] | None) -> list[tuple[Grid, tuple[pd.DataFrame, Grid, list[str]]]]:
        """Of each table: its trials, its grid and the metrics asked for."""
        known = list(dict.fromkeys(self._lines["metric"]))
        asked = [metrics] if isinstance(metrics, str) else metrics
        for name in asked or ():
            if name not in known:
                raise ValueError(f"unknown metric '{name}'{nearest(name, known)}")
        return [
            (grid, (trials_of(self._lines, grid), grid, [m for m in asked or grid.metrics if m in known]))
            for grid in self.grids
        ]

    def _long(
        self,
        make: Callable[[pd.DataFrame, Grid, list[str]], pd.DataFrame | None],
        metrics: str | Sequence[str] | None,
    ) -> pd.DataFrame:
        """What `make` gives of each table, one below the other."""
        return comparison_frame({grid.name: make(*part) for grid, part in self._parts(metrics)})

    @functools.cached_property
    def _tables(self) -> dict[str, Table]:
        measured = read_costs(self.folder)
        return {grid.name: tabulate(self._lines, grid, measured) for grid in self.grids}

    def _table(self, grid: Grid) -> Table:
        return self._tables[grid.name]

    def __repr__(self) -> str:
        return f"Ablation({self._said})"

    def _repr_html_(self) -> str:
        from dlkd.ablations.report.words.notebook import ablation_html

        return ablation_html(plain(self._said), [self._table(grid) for grid in self.grids])

    @property
    def _said(self) -> str:
        counts = self.trials["status"].value_counts()
        parts = [f"{len(self.trials)} trials", *(f"{counts[s]} {s}" for s in ("failed", NOT_RUN) if s in counts)]
        return f"{', '.join(self.tables)}: {', '.join(parts)}; in {self.folder}"


def load_ablation(folder: str | PathLike[str]) -> Ablation:
    """The results of an ablation, read from the folder that `dlkd ablate` or `dlkd.ablate` wrote.

    If the grid runs now, or was interrupted, the trials that have ended since are read from its store. Nothing is
    trained, and neither PyTorch nor Ray is loaded.

    Args:
        folder: of the ablation, such as runs/table4.

    Raises:
        ValueError: there is no ablation in `folder`, or it cannot be read; names the file and what to do.

    >>> from dlkd import load_ablation
    >>> load_ablation("runs/no_such_folder")
    Traceback (most recent call last):
    ValueError: runs/no_such_folder does not exist: name the folder of an ablation, as `dlkd ablate --out` gave it
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        near = [f.parent.name for f in path.parent.glob(f"*/{TRIALS}")]
        hint = nearest(path.name, near) if near else ""
        raise ValueError(f"{folder} {what}: name the folder of an ablation, as `dlkd ablate --out` gave it{hint}")
    if not (path / TRIALS).exists() and (path / "search.parquet").exists():
        raise ValueError(f"{folder} holds a search, no ablation: `dlkd report {folder}` shows what it found")
    lines, grids, store = read_run(path)
    return Ablation(tuple(grids), path, store, renewed(lines, store), read_identity(path))
