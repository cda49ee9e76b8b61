"""Numbers, p-values, times and lists as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

DASH = "–"


def number(value: float, digits: int = 2) -> str:
    """98.12, or a dash."""
    return DASH if math.isnan(value) else f"{value:z.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """With a true minus sign; a dash where there is none.

    >>> signed(1.2), signed(-0.4), signed(-1e-15)  # rounding error is no minus
    ('+1.20', '−0.40', '+0.00')
    """
    return DASH if math.isnan(value) else f"{value:+z.{digits}f}".replace("-", "−")


def p_value(p: float) -> str:
    """A p-value, or nothing.

    >>> p_value(0.0312), p_value(0.0004)
    ('p = 0.031', 'p < 0.001')
    """
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.995 else "p = 1"


def points(value: float) -> str:
    """A part of a metric that runs from 0 to 1, in points: 0.0123 is "1.23 points"."""
    return f"{number(value * 100)} points"


def signed_points(value: float) -> str:
    """The same with its sign: "+1.23 points"."""
    return f"{signed(value * 100)} points"


def count(amount: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> count(2, "category", "categories")
    '2 categories'
    """
    return f"{amount} {one if amount == 1 else many}"


def seconds(value: float) -> str:
    """A duration as text.

    >>> seconds(75), seconds(725), seconds(12_000)
    ('75 s', '12 min 5 s', '3 h 20 min')
    """
    if math.isnan(value):
        return DASH
    whole = round(value)
    if whole < 120:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def listed(items: Sequence[str], last: str = "and") -> str:
    """A list in words.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def in_order(values: Iterable[object]) -> list[str]:
    """Each value once as text, numbers in it by their size.

    >>> in_order(["128x256", 128, 64])
    ['64', '128', '128x256']
    """
    found = {str(value): _parts(str(value)) for value in values}
    return sorted(found, key=found.__getitem__)


def _parts(text: str) -> list[tuple[str, float]]:
    """Each text with the number behind it."""
    return [(before, float(n or 0)) for before, n in re.findall(r"([^0-9]*)([0-9]+(?:\.[0-9]+)?|$)", text)]
