"""What a benchmark says as it goes: lines on standard error, as its figures go to standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
_BEGAN = time.perf_counter()


def say(what: str) -> None:
    """Print what is measured next, after the seconds since the process began."""
    print(f"{time.perf_counter() - _BEGAN:5.0f} s  {what}", file=sys.stderr, flush=True)


def counted(what: str, things: Sequence[T]) -> Iterator[T]:
    """The things, such as the numbers of rounds; before each, its place among them is said."""
    for i, thing in enumerate(things, 1):
        say(f"{what}: {i} of {len(things)}")
        yield thing
