"""The command line `dlkd`: compose, train, inspect, ablate.

PyTorch, Lightning and Ray take seconds to import; each command imports what it needs, so that `--help` is quick.
"""

import io
import sys

from dlkd.cli import session
from dlkd.cli.commands import app
from dlkd.cli.errors import shown_errors
from dlkd.machine import check_system

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: every error that a user can cause ends in one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its code
            stream.reconfigure(errors="backslashreplace")
    session.begin()
    with shown_errors():
        check_system()
        app()
