"""Where messages and progress bars go, in a terminal and in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from dlkd.text import Terminal, text_column


def messages(shown: bool = True) -> Terminal:
    """Standard error, or nowhere; in a notebook plain lines of its output, where nothing is drawn over."""
    if "ipykernel" in sys.modules:
        return Terminal(file=sys.stdout, force_jupyter=False, force_terminal=False, quiet=not shown)
    return Terminal(stderr=True, quiet=not shown)


def progress_bar(terminal: Terminal) -> Progress:
    """A progress bar for terminals alone; it leaves nothing behind."""
    columns = (text_column("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)


def reading(bar: Progress) -> Callable[[int, int], None]:
    """Shows (files done, files in all) of the data's digests."""
    task = bar.add_task("reading the data", total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
