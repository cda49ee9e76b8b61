"""YAML whose keys remember their lines, so that an error can say where it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file: where it stands and what to do about it."""

    file: str
    line: int
    path: KeyPath
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {show_path(self.path)}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigError(ValueError):
    """Everything that is wrong with the given configuration, collected."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


@dataclass
class LocatedYaml:
    """A YAML document as plain data, with the line of every key and the problems found while reading."""

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """Line (from 1) of the key at `path`, or of the nearest key above it that stands in the file; 0 if none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at `path` of this file."""
        return Problem(self.file, self.line(path), path, message)


def read_yaml(path: Path) -> LocatedYaml:
    """Read a YAML file with plain data only (no tags that run code).

    Raises:
        ConfigError: the file is missing, not UTF-8 or not YAML. Duplicate keys are collected in `problems`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([Problem(str(path), 0, (), f"cannot read: {reason}")]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> LocatedYaml:
    """Parse YAML text; see `read_yaml`."""
    located = LocatedYaml(file, None)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            located.data = _construct(root, (), located)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _unreadable(file, mark.line + 1 if mark else 0, str(error.problem)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unreadable(file, line, f"{error.reason} (#x{error.character:04x})") from error
    except RecursionError as error:
        raise _unreadable(file, 0, "nested too deeply, or an alias that holds itself") from error
    return located


def _unreadable(file: str, line: int, reason: str) -> ConfigError:
    return ConfigError([Problem(file, line, (), f"not readable as YAML: {reason}")])


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


def _construct(node: yaml.Node, path: KeyPath, located: LocatedYaml) -> Any:
    located.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        _plain(node, "map")
        return dict(_items(node, path, located))
    if isinstance(node, yaml.SequenceNode):
        _plain(node, "seq")
        return [_construct(child, (*path, i), located) for i, child in enumerate(node.value)]
    return _scalar(node)


def _items(node: yaml.MappingNode, path: KeyPath, located: LocatedYaml) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
        key = str(_scalar(key_node))
        line = key_node.start_mark.line + 1
        if key in seen:
            message = f"the key '{key}' stands twice, first on line {seen[key]}"
            located.problems.append(Problem(located.file, line, (*path, key), message))
        seen[key] = line
        located.lines[(*path, key)] = line
        yield key, _construct(value_node, (*path, key), located)


def _plain(node: yaml.Node, kind: str) -> None:
    """Refuse a mapping or sequence with a tag of its own, such as those that ask for a Python object."""
    if node.tag != f"tag:yaml.org,2002:{kind}":
        message = f"could not determine a constructor for the tag {node.tag!r}"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def _scalar(node: yaml.Node) -> Any:
    """The plain value of a scalar, through PyYAML's safe constructors."""
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_document(node)
    except ValueError as error:  # what looks like a date or a number and is none
        raise yaml.constructor.ConstructorError(None, None, f"{node.value!r}: {error}", node.start_mark) from error
    finally:
        constructor.dispose()
