"""Errors that a user can cause: one message each; and exit code 2 for all errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from dlkd.cli import session
from dlkd.cli.console import err
from dlkd.machine import MachineError, out_of_memory

INTERRUPTED = 130
ERROR = 2
"""Of bugs too, for which Python has 1: that is for `dlkd predict --fail-on-anomaly` alone."""

LESS_MEMORY = "a smaller --image-size or --batch-size takes less, and so do fewer --workers"


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show a user's errors as one message and exit; any other is a bug and keeps its traceback."""
    try:
        yield
    except SystemExit as stop:  # Typer makes one of Ctrl-C
        if stop.code == INTERRUPTED:
            err.print(f"interrupted: {session.interrupted()}")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ERROR)
    except Exception as error:
        if out_of_memory(error):
            err.print(f"error: out of memory ({_first_line(error)}): {LESS_MEMORY}", soft_wrap=True, style="red")
            sys.exit(ERROR)
        if not _is_users(error):
            traceback.print_exception(error)
            sys.exit(ERROR)
        err.print(f"error: {error}", soft_wrap=True, style="red")
        sys.exit(ERROR)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).splitlines()[:1]) or type(error).__name__


def _is_users(error: Exception) -> bool:
    """Whether the message is made for the user: our own errors, and the system's on files."""
    if isinstance(error, OSError | MachineError):
        return True
    # Their classes are not imported here: they load PyTorch, which a mistyped name need not wait for.
    ours = isinstance(error, RuntimeError) and type(error).__module__.startswith("dlkd.")
    return (ours or isinstance(error, ValueError)) and _raised_by_dlkd(error)


def _raised_by_dlkd(error: Exception) -> bool:
    """Whether our own code raised it; a ValueError from the depths of a library is a bug and shows its traceback."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == "dlkd"
