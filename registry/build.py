"""Builds objects from nodes in which all names and arguments are given."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any

from dlkd.registry.components import get
from dlkd.registry.nodes import name_key, python_name
from dlkd.registry.rows import MANY, Row, row_of


def factory(rows: Mapping[str, Row], kind: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """A callable that makes the component of a complete node from the arguments of the enclosing component."""
    name = node[name_key(kind)]
    slots = row_of(rows, kind, name).slots
    arguments: dict[str, Any] = {}
    for key, value in node.items():
        if key == name_key(kind):
            continue
        if key in slots and slots[key].endswith(MANY):
            value = {name: factory(rows, slots[key].removesuffix(MANY), each) for name, each in (value or {}).items()}
        elif key in slots:
            value = None if value is None else factory(rows, slots[key], value)
        arguments[python_name(key)] = value
    component = get(kind, name)
    return functools.partial(component, **arguments) if arguments else typing.cast(Callable[..., Any], component)
