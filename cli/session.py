"""The running command: its start time, and what Ctrl-C would cost."""

from time import perf_counter

_begun = [0.0]
_lost = ["nothing was begun"]
"""Of both the last one holds."""


def begin() -> None:
    """Start the command's clock."""
    _begun.append(perf_counter())


def seconds() -> float:
    """How long ago the command began."""
    return perf_counter() - _begun[-1]


def if_interrupted(says: str) -> None:
    """Set what is said of Ctrl-C from here on: what it costs, and how to go on."""
    _lost.append(says)


def interrupted() -> str:
    """What Ctrl-C costs now."""
    return _lost[-1]
