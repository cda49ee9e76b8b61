"""Durations as a running grid says them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """For people: "3 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
