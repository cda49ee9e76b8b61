"""Nodes: a component's name and arguments as plain data, merged key by key."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

from dlkd.registry.problems import KeyPath

Node = dict[str, Any]

VARIANT_KIND = "model"
"""Kind of the component that a variant is."""


def merge(base: Node, over: Node, key: str = "name") -> Node:
    """`over` merged into `base`, mappings key by key; a component of another name inherits nothing from the old one.

    A name alone means that component with its defaults.

    Args:
        base: the values of keys that `over` does not set.
        over: the values that win.
        key: the key of the component's name in both, see `name_key`; inner nodes use `name`.
    """
    if _renamed(key, base, over):
        return dict(over)
    merged = dict(base)
    for argument, value in over.items():
        old = merged.get(argument)
        merged[argument] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _renamed(key: str, old: Node, over: Node) -> bool:
    return key in over and over[key] != old.get(key)


def said_paths(said: set[KeyPath], base: Node, over: Node, key: str = "name") -> set[KeyPath]:
    """Paths of the explicitly set values after `over` is merged into `base`; `said` are those set in `base`.

    A component's name sets none of its arguments, and removes the arguments set before.
    """
    paths: set[KeyPath] = set() if _renamed(key, base, over) else set(said)
    for argument, value in over.items():
        old = base.get(argument)
        inside = {p[1:] for p in paths if p[0] == argument and len(p) > 1}
        paths = {p for p in paths if p[0] != argument}
        if isinstance(value, dict):
            kept = isinstance(old, dict) and not _renamed("name", old, value)
            inside = said_paths(inside if kept else set(), (old or {}) if kept else {}, value)
            paths |= {(argument, *p) for p in inside}
        paths.add((argument,))
    return paths


def key_paths(data: Mapping[str, Any], path: KeyPath = ()) -> list[KeyPath]:
    """Paths of all keys of nested mappings."""
    paths: list[KeyPath] = []
    for key, value in data.items():
        paths.append((*path, key))
        if isinstance(value, Mapping):
            paths += key_paths(value, (*path, key))
    return paths


def name_key(kind: str) -> str:
    """The key of a node's name: `name`; in a variant, which has a name of its own, the kind."""
    return kind if kind == VARIANT_KIND else "name"


def python_name(key: str) -> str:
    """YAML's `global` is Python's `global_`."""
    return f"{key}_" if keyword.iskeyword(key) else key


def as_lists(value: Any) -> Any:
    """A value of a constructor as YAML writes it: tuples, however deep, are lists."""
    return [as_lists(v) for v in value] if isinstance(value, list | tuple) else value


def finite(value: Any) -> bool:
    """Whether a value holds no number that is infinite or NaN, however deep."""
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def weightless(node: Node) -> Node:
    """The node with teachers without pretrained weights: a check does not need weights, and they may be unavailable."""
    plain = {k: weightless(v) if isinstance(v, dict) else v for k, v in node.items()}
    return plain | {"weights": "random"} if isinstance(plain.get("weights"), str) else plain
