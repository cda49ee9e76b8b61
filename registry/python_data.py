"""Data given in Python as a document, so that it is read and checked like a file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.problems import ConfigError, KeyPath


def document(data: Any, name: str) -> LocatedYaml:
    """Nested mappings, lists, text, numbers, true, false and None; tuples are lists, and paths are text.

    A key that is no text is as YAML would have it: 1 is "1", True is "true".

    Args:
        data: what a file would hold. It is copied.
        name: what messages call it, in the place of a file's name.

    Raises:
        ConfigError: it holds something else, an array or a class, say; names the key.
    """
    found = LocatedYaml(name, None)
    found.data = _plain(data, (), found)
    if found.problems:
        raise ConfigError(found.problems)
    return found


def _plain(value: Any, path: KeyPath, into: LocatedYaml) -> Any:
    if isinstance(value, Mapping):
        keys = [_written(key) for key in value]
        for twice in {key for key in keys if keys.count(key) > 1}:
            into.problems.append(into.problem((*path, twice), f"the key '{twice}' stands twice"))
        return {_written(k): _plain(v, (*path, _written(k)), into) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, (*path, i), into) for i, v in enumerate(value)]
    if isinstance(value, PathLike):
        return str(fspath(value))
    if value is not None and not isinstance(value, str | bool | int | float):
        message = f"expected text, a number, true, false, None, a list or a mapping, got a {type(value).__name__}"
        into.problems.append(into.problem(path, message))
    if not isinstance(value, str):
        into.texts[path] = _written(value)
    return value


def _written(value: Any) -> str:
    """A key or value as YAML has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
