"""Arguments of constructors by the names that YAML uses, their annotations and checks of their values."""

from __future__ import annotations

import functools
import inspect
import keyword
import typing
from os import PathLike
from typing import Any

import pydantic

from dlkd.registry.components import registered_name
from dlkd.registry.rows import Row

PLAIN_KINDS = ("norm", "act")
"""Kinds whose classes are passed without arguments: in YAML a name alone."""


def arguments(component: Any, row: Row) -> dict[str, inspect.Parameter]:
    """Arguments that YAML may set, by their YAML names: all except those that the enclosing component gives."""
    parameters = inspect.signature(component).parameters
    return {
        name.removesuffix("_") if keyword.iskeyword(name.removesuffix("_")) else name: parameter
        for name, parameter in parameters.items()
        if name not in row.given and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


@functools.cache
def type_hints(component: Any) -> dict[str, Any]:
    """Annotations of a component's constructor (or of a function)."""
    target = component.__init__ if inspect.isclass(component) else component
    return typing.get_type_hints(target)


@functools.cache
def type_adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """What checks a value against an annotation."""
    return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))


def is_path(annotation: Any, value: Any) -> bool:
    """Whether a value is a path: the annotation takes paths, and the value is none of the words that it lists too."""
    options = typing.get_args(annotation)
    paths = [
        o
        for o in options
        if inspect.isclass(typing.get_origin(o) or o) and issubclass(typing.get_origin(o) or o, PathLike)
    ]
    words = {word for o in options if typing.get_origin(o) is typing.Literal for word in typing.get_args(o)}
    return isinstance(value, str) and bool(paths) and value not in words


def optional(parameter: inspect.Parameter) -> bool:
    """Whether a slot may stay empty: its annotation says `| None`, or None is its default."""
    return parameter.default is None or "None" in str(parameter.annotation)


def default_name(kind: str, parameter: inspect.Parameter) -> str | None:
    """Name of the component that a slot has by default."""
    return registered_name(kind, parameter.default) if callable(parameter.default) else None
