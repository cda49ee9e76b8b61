"""Axis sizes for the laws: those that a row allows, those that break its rules."""

from __future__ import annotations

from hypothesis import strategies as st

from dlkd.check.component import Component
from dlkd.contract import Rule

CANDIDATES = range(1, 200)
"""Axis sizes that are tried; a rule's first few valid ones are drawn from."""


def rule_of(component: Component, axis: str) -> str:
    """The row's rule on an axis; any size is taken where the row has none."""
    return component.row.requires.get(axis, ">= 1")


def allowed(component: Component, axis: str) -> list[int]:
    """Sizes that the row allows on an axis, from the smallest. Raises ValueError where there is none."""
    rule = Rule(rule_of(component, axis))
    found = [size for size in CANDIDATES if rule.holds(size)]
    if not found:
        raise ValueError(f"{component.name}: no size of axis {axis} up to {CANDIDATES[-1]} is {rule.text}")
    return found


def drawn(component: Component) -> st.SearchStrategy[dict[str, int]]:
    """Sets of sizes that the row allows, small ones."""
    return st.fixed_dictionaries(
        {axis: st.sampled_from(allowed(component, axis)[: 3 if axis == "b" else 8]) for axis in component.axes()}
    )


def typical(component: Component) -> dict[str, int]:
    """One small, typical set of sizes: a batch of two, no side of one, neighbouring axes unequal."""
    found: dict[str, int] = {}
    for i, axis in enumerate(component.axes()):
        sizes = allowed(component, axis)
        found[axis] = sizes[min(1 if axis == "b" else 1 + i % 3, len(sizes) - 1)]
    return found


def breaking(component: Component) -> list[tuple[str, int]]:
    """Axes with sizes outside their rule: the smallest, and the nearest on either side of the smallest allowed one."""
    found = []
    for axis, text in component.row.requires.items():
        first, rule = allowed(component, axis)[0], Rule(text)
        bad = [size for size in CANDIDATES if not rule.holds(size)]
        below, above = [s for s in bad if s < first], [s for s in bad if s > first]
        found += [(axis, size) for size in dict.fromkeys([*below[:1], *below[-1:], *above[:1]])]
    return found
