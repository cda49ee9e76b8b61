"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dlkd.text import Terminal, text_table

if TYPE_CHECKING:
    from rich.progress import Progress

out = Terminal()
err = Terminal(stderr=True)


def progress_bar() -> Progress:
    """A progress bar on stderr, for terminals alone; it leaves nothing behind."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def reading(bar: Progress) -> Callable[[int, int], None]:
    """Shows (files done, files in all) of the data's digests."""
    task = bar.add_task("reading the data", total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def print_metrics(metrics: Mapping[str, float], undefined: Mapping[str, str]) -> None:
    """A table of metrics; of the undefined ones the reason."""
    table = text_table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"undefined: {undefined[name]}" if name in undefined else f"{value:.4f}")
    out.print(table)


def say_undrawn() -> None:
    """Say once what pictures show as numbers."""
    drawing = sys.modules.get("dlkd.drawing")  # loaded by what draws
    if drawing is not None and (missing := drawing.undrawn()):
        some = missing if len(missing) <= 20 else f"{missing[:20]} and {len(missing) - 20} more"
        err.print(f"note: no font of this machine has {some}; pictures show [1], [2], ... in their place")
