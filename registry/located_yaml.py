"""YAML whose keys remember their lines, so that an error can name its line."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dlkd.machine import expanded
from dlkd.registry.problems import ConfigError, KeyPath, Problem
from dlkd.registry.yaml_nodes import MERGE, Dumper, Loader, OwnLoader, merged, refuse_tag, scalar

MOST_TEXT = 2**20
"""Characters of a file that is read; the packaged registry has ten thousand."""
MOST_VALUES = 100_000
"""Values that a file may hold once its aliases are followed, so that none expands without bound."""


@dataclass
class LocatedYaml:
    """A YAML document as plain data, with the line of every key and the problems found while reading.

    `texts` holds the written text of values that are not text: a label may be 16 or null, a category 01.
    `places` holds, for a value that was made from others, the place of its origin in the file. Paths in the file are
    relative to `folder`, the file's own, or to the working folder if the text is not from a file.
    """

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    folder: Path = Path()
    places: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Line (from 1) of the key at `path`, or of the nearest key above it that stands in the file; 0 if none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at `path` of this file."""
        made = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.places), ())
        stands = (*self.places.get(made, ()), *path[len(made) :])
        return Problem(self.file, self.line(stands), stands, message)

    def as_written(self, paths: Iterable[KeyPath]) -> Any:
        """The data, with the text as it was written at those of `paths` that are known to `texts`."""
        data = _copied(self.data)
        for path in paths:
            if path in self.texts:
                place = data
                for part in path[:-1]:
                    place = place[part]
                place[path[-1]] = self.texts[path]
        return data


def read_yaml(path: Path) -> LocatedYaml:
    """Read a YAML file with plain data only (no tags that run code).

    Raises:
        ConfigError: the file is missing, not UTF-8 or not YAML. Duplicate keys are collected in `problems`.
    """
    path = expanded(path)
    try:
        content = path.read_bytes()
        if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or 0 in (*content[:1], *content[1:2]):
            raise ConfigError([Problem(str(path), 0, (), "cannot read: UTF-16 text; save it as UTF-8")])
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([Problem(str(path), 0, (), f"cannot read: {reason}")]) from error
    located = parse_yaml(text, str(path))
    located.folder = path.parent
    return located


def parse_yaml(text: str, file: str, *, own: bool = False) -> LocatedYaml:
    """Parse YAML text; see `read_yaml`. Text that comes with dlkd is its `own` and is read faster."""
    located = LocatedYaml(file, None)
    if len(text) > MOST_TEXT:
        raise _unreadable(file, 0, f"{len(text):,} characters; {MOST_TEXT:,} at most")
    try:
        root = yaml.compose(text, Loader=OwnLoader if own else Loader)
        if root is not None:
            located.data = _construct(root, (), located)
            located.problems.sort(key=lambda problem: problem.line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        more = "; one file holds one" if "another document" in str(error.problem) else ""
        raise _unreadable(file, mark.line + 1 if mark else 0, f"{error.problem}{more}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _unreadable(file, line, f"{error.reason} (#x{error.character:04x})") from error
    except RecursionError as error:
        raise _unreadable(file, 0, "nested too deeply, or an alias that holds itself") from error
    return located


def absolute(path: str, folder: Path) -> str:
    """A path as it stands in a file of `folder`, absolute and with `~` followed."""
    return str((folder / expanded(path)).absolute())


def dump_yaml(data: Any, **options: Any) -> str:
    """Plain data as YAML that `parse_yaml` reads back to the same values, keys in their order."""
    text: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, **options)
    return text


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _copied(v) for k, v in data.items()}
    return [_copied(v) for v in data] if isinstance(data, list) else data


def _unreadable(file: str, line: int, reason: str) -> ConfigError:
    return ConfigError([Problem(file, line, (), f"not readable as YAML: {reason}")])


def _construct(node: yaml.Node, path: KeyPath, located: LocatedYaml) -> Any:
    located.lines.setdefault(path, node.start_mark.line + 1)
    if len(located.lines) > MOST_VALUES:
        reason = f"more than {MOST_VALUES:,} values once its aliases are followed"
        raise _unreadable(located.file, located.line(path[:1]), reason)
    if isinstance(node, yaml.MappingNode):
        refuse_tag(node, "map")
        return dict(_items(node, path, located))
    if isinstance(node, yaml.SequenceNode):
        refuse_tag(node, "seq")
        return [_construct(child, (*path, i), located) for i, child in enumerate(node.value)]
    value = scalar(node)
    if not isinstance(value, str):
        located.texts[path] = node.value
    return value


def _items(node: yaml.MappingNode, path: KeyPath, located: LocatedYaml) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    own = []
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
        scalar(key_node)  # refuses a key with a tag that would run code
        key = key_node.value
        line = key_node.start_mark.line + 1
        if key in seen:
            message = f"the key '{key}' stands twice, first on line {seen[key]}"
            located.problems.append(Problem(located.file, line, (*path, key), message))
        seen[key] = line
        if key_node.tag == MERGE:
            below = value_node
        else:
            own.append((key, key_node, value_node))
    if any(key_node.tag == MERGE for key_node, _ in node.value):
        names = {key for key, _, _ in own}
        own = [*((k, n, v) for k, n, v in merged(below) if k not in names), *own]
    for key, key_node, value_node in own:
        located.lines[(*path, key)] = key_node.start_mark.line + 1
        yield key, _construct(value_node, (*path, key), located)
