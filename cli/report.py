"""`dlkd report` and `dlkd compare`: what ablations found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli.console import err, out, say_undrawn


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an ablation, with its trials.parquet.")],
) -> None:
    """Write an ablation's report again from its trials.parquet, without training."""
    write_reports(folder)


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an ablation.")],
    b: Annotated[Path, typer.Argument(help="Folder of another ablation.")],
) -> None:
    """Compare two ablations."""
    from dlkd.ablations.ablation import load_ablation

    out.print(load_ablation(a).compare(load_ablation(b)))


def write_reports(folder: Path) -> None:
    """Write the report of an ablation's folder, or of a search's, and name its files."""
    from dlkd.ablations.search.records import PARQUET

    if (folder / PARQUET).exists():
        _write_search(folder)
    else:
        _write_ablation(folder)
    say_undrawn()


def _write_ablation(folder: Path) -> None:
    from dlkd.ablations.report.write import write_report
    from dlkd.ablations.run.costs import read_costs
    from dlkd.ablations.stored.run_folder import read_run

    trials, grids, store = read_run(folder)
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
