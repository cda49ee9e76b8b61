"""Problems of a configuration, with file, line, key path and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One problem in a file: its place and what to do about it."""

    file: str
    line: int
    path: KeyPath
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {show_path(self.path)}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(ValueError):
    """All problems of a configuration."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'gfrb'?" or, with nothing near, the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(known)}" if known else ""


def show_path(path: KeyPath) -> str:
    """variants.dlkd.decoder.global, rows[2].name"""
    parts = (f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return "".join(parts).removeprefix(".")
