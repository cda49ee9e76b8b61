"""`dlkd report` and `dlkd compare`: what ablations found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli.console import err, out, say_undrawn


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an ablation, with its trials.parquet.")],
    segmented: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help="Show segmentations and heat maps of this row; repeatable. Default the grid's `segmented:`.",
        ),
    ] = None,
) -> None:
    """Write an ablation's report again from its trials.parquet, without training."""
    write_reports(folder, segmented or ())


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an ablation.")],
    b: Annotated[Path, typer.Argument(help="Folder of another ablation.")],
) -> None:
    """Compare two ablations."""
    from dlkd.ablations.ablation import load_ablation

    out.print(load_ablation(a).compare(load_ablation(b)))


def write_reports(folder: Path, segmented: Sequence[str] = ()) -> None:
    """Write the report of an ablation's folder, or of a search's, and name its files.

    Rows called as in `segmented` are shown with their segmentations. Raises ValueError where no table has one of them.
    """
    from dlkd.ablations.search.records import PARQUET

    if (folder / PARQUET).exists():
        if segmented:
            raise ValueError(f"{folder} holds a search, which keeps no test images to segment: leave --segmented out")
        _write_search(folder)
    else:
        _write_ablation(folder, segmented)
    say_undrawn()


def _write_ablation(folder: Path, segmented: Sequence[str]) -> None:
    from dlkd.ablations.plan.labels import segmenting
    from dlkd.ablations.report.write import write_report
    from dlkd.ablations.run.costs import read_costs
    from dlkd.ablations.stored.run_folder import read_run

    trials, grids, store = read_run(folder)
    if segmented:
        grids = segmenting(grids, segmented)
    for path in write_report(trials, grids, store, folder, read_costs(folder)):
        err.print(f"wrote {path}")


def _write_search(folder: Path) -> None:
    from dlkd.ablations.search.results import read_found

    found = read_found(folder)
    out.print(found)
    for path in found.write(folder):
        err.print(f"wrote {path}")
    for command in found.commands(folder):
        err.print(f"next: {command}")
