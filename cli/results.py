"""`dlkd results`: what the store holds, and what of it no grid reaches any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli.console import err, out
from dlkd.cli.options import Imports, RegistryFiles
from dlkd.text import text_table


def results(
    store: Annotated[Path, typer.Option(help="Folder of all trials.")] = Path("runs/trials"),
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs-folder", help="Where folders of runs lie; default runs. Repeatable."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete trials that no run shows and no grid would find again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """List the trials of a store: by which grid and code, and how large. Copies in a --storage are not looked at."""
    from dlkd.ablations.stored import inventory
    from dlkd.registry import read_registry

    if not store.is_dir():
        raise ValueError(f"{store} is no folder; `dlkd ablate` makes it, give its --store")
    stored = inventory.inventory(store, runs or [Path("runs")], read_registry(registry_files, imports))
    table = text_table("grid", "trials", "finished", "size", "code and data")
    for grids, count, finished, size, state in inventory.lines(stored):
        table.add_row(grids or "-", str(count), str(finished), _size(size), state)
    for name, count, size in inventory.searches(store):
        table.add_row(name, str(count), "", _size(size), "a search")
    out.print(table)
    rest = [one for one in stored if not one.reached]
    freed = _size(sum(one.bytes for one in rest))
    if not rest:
        out.print("every trial is shown by a run, or found again by a grid")
        return
    out.print(f"{_trials(len(rest))}, {freed}: no run shows them and no grid finds them again")
    if not prune:
        out.print("dlkd results --prune deletes them; searches and copies in a --storage are never deleted")
        return
    if not yes and not _agreed(f"delete {_trials(len(rest))} in {store} and free {freed}?"):
        out.print("nothing was deleted")
        return
    gone, kept = inventory.prune(rest)
    for sentence in kept:
        err.print(sentence)
    out.print(f"deleted {_trials(len(gone))}, {_size(sum(one.bytes for one in gone))}")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise ValueError("nobody answered, so nothing was deleted; give --yes to delete without a question") from None


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def _size(size: int) -> str:
    """Bytes for people: "6.9 MB"."""
    for unit, many in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= many:
            return f"{size / many:.1f} {unit}"
    return f"{size} bytes"
