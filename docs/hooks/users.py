"""Where a component is used, and the pages that say what it was worth."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.check.component import Case, Component
from dlkd.contract import Rule
from dlkd.registry import Node, Row, default_registry, get, name_key
from dlkd.registry.rows import MANY

DOCS = Path(__file__).parents[1]
SIZES = {"b": 1, "c": 64, "c1": 64, "c2": 128, "c3": 256, "h": 8, "w": 8, "n": 64}
"""Sizes of the axes in drawings and counts, or the next that a row's rules allow."""


def used_by(key: str) -> list[str]:
    """Sentences on the components, variants and grids that use a component."""
    if key.split("/")[0] in ("dataset", "scan"):
        return []
    variants = [f"`{name}`" for name in default_registry().variants if _uses(name, key)]
    grids = [f"`{name}`" for name, varied in grids_that_vary().items() if key in varied]
    holders = [f"`{name.split('/')[1]}`" for name in holders_of(key)]
    said = [f"**Used by** the variants {', '.join(variants)}." if variants else "**Used by** no variant by default."]
    said += [f"Part of {', '.join(holders)}."] if holders else []
    said += [f"The rows of the grids {', '.join(grids)} differ in it."] if grids else []
    return [" ".join(said)]


def worth(key: str) -> str:
    """A sentence with links to the pages that say what a component was worth."""
    found = []
    if f"| `{key}` |" in _page("transfer"):
        found.append("[as a part of other systems](../transfer.md#what-a-part-was-worth)")
    run = set(" ".join(re.findall("dlkd ablate ([^`]*)`", _page("results"))).split())
    if grids := [f"`{name}`" for name, varied in grids_that_vary().items() if key in varied and name in run]:
        found.append(f"[results](../results.md) of {', '.join(grids)}")
    return f"**Worth**: {'; '.join(found) or 'not measured'}."


@functools.cache
def grids_that_vary() -> Mapping[str, set[str]]:
    """The components in which the rows of each grid that comes with dlkd differ.

    Where the rows are of several models, these alone: everything else differs with them.
    """
    registry = default_registry()
    found = {}
    for name in shipped_grids():
        rows = [_by_key(registry.resolve(row.variant, row.overrides)) for row in load_grid(name).rows]
        varied = {key for row in rows for key in row if any(row.get(key) != other.get(key) for other in rows)}
        models = {key for row in rows for key in row if key.startswith("model/")}
        found[name] = models if len(models) > 1 else varied
    return found


def held(kind: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The components of a resolved node, each with its own arguments, those of inner ones aside."""
    registry = default_registry()
    row = registry.row(kind, node[name_key(kind)])
    yield f"{kind}/{node[name_key(kind)]}", {k: v for k, v in node.items() if k not in row.slots}
    for argument, slot in row.slots.items():
        value, inner = node.get(argument), slot.removesuffix(MANY)
        if isinstance(value, str):
            yield f"{inner}/{value}", {}
        elif isinstance(value, dict) and slot.endswith(MANY):
            for each in value.values():
                yield from held(inner, each)
        elif isinstance(value, dict):
            yield from held(inner, value)


def case_of(key: str) -> Case | None:
    """A component with a contract, at the sizes of drawings; None of one without."""
    row = default_registry().rows[key]
    if row.shape is None:
        return None
    component = Component.of(default_registry(), key)
    return Case(component, sizes_of(row, component.axes()))


@functools.cache
def built(key: str) -> nn.Module | None:
    """The component of `case_of`, once per build of the site."""
    case = case_of(key)
    return None if case is None else case.build()


def sizes_of(row: Row, axes: list[str]) -> dict[str, int]:
    """A size for each axis: that of `SIZES`, or the next that the row's rule allows."""
    found = {}
    for axis in axes:
        rule = Rule(row.requires.get(axis, ">= 1"))
        found[axis] = next(size for size in range(SIZES.get(axis, 8), 10_000) if rule.holds(size))
    return found


def holders_of(key: str) -> list[str]:
    """The components whose module has this one as a part, with no other component between the two."""
    return [holder for holder, inside in _direct_parts().items() if key in inside]


@functools.cache
def _direct_parts() -> Mapping[str, set[str]]:
    rows = default_registry().rows
    classes = {get(*key.split("/")): key for key, row in rows.items() if row.shape and key.split("/")[0] == "block"}

    def inside(module: nn.Module) -> Iterator[str]:
        for child in module.children():
            if type(child) in classes:
                yield classes[type(child)]
            else:
                yield from inside(child)

    return {key: set(inside(module)) for key in rows if (module := built(key)) is not None}


def _uses(variant: str, key: str) -> bool:
    """Whether a variant names a component, or has it as a fixed part of one that it uses."""
    if any(key in named for named in _variants().values()):
        return key in _variants()[variant]
    return any(_uses(variant, holder) for holder in holders_of(key))


@functools.cache
def _variants() -> Mapping[str, Mapping[str, list[Node]]]:
    registry = default_registry()
    return {name: _by_key(registry.resolve(name)) for name in registry.variants}


def _by_key(node: Node) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for key, own in held("model", node):
        found.setdefault(key, []).append(own)
    return found


@functools.cache
def _page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")
