"""What a saved model may name: registered components and plain values; nothing that opens a file or asks a network.

A saved model may come from anybody. Its names are looked up in the registry, so that it imports nothing; its values are
checked here, so that no constructor gets a path or an address from it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dlkd.data.label import takes_paths
from dlkd.registry import Node, Registry, Row, arguments, get, inner_nodes, name_key, type_hints
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.nodes import python_name
from dlkd.registry.problems import KeyPath, Problem

DRAWN = ("mask", "texture_source", "augmentation", "pseudo_anomaly")
"""Kinds of what is drawn into training images; scoring does not use it."""

LEADS_OUT = re.compile(r"[/\\:~]")
"""Characters of paths and addresses; timm reads "local-dir:..." and "hf-hub:..." from the name of a backbone."""


def without_files(registry: Registry, kind: str, node: Node, path: KeyPath = ()) -> tuple[Node, dict[str, str]]:
    """A complete node that names no file of its training, and what these files were called, by key: "teacher.weights".

    The weights of frozen parts come with a saved model, so that `weights` that are a file become "random". Of what is
    drawn into training images, a component that needs a file gives way to the default of its slot. Paths of any other
    argument stay, and `problems` names them.
    """
    row = registry.row(kind, node[name_key(kind)])
    found, read = dict(node), {}
    for key, value in _paths(kind, node):
        if key == "weights":
            found[key], read[_joined(path, key)] = "random", Path(value).name
    for inner_kind, inner, inside in inner_nodes(row, node):
        paths = dict(_paths(inner_kind, inner))
        if inner_kind in DRAWN and paths and inside[0] in row.defaults:
            kept: Node = registry.complete(inner_kind, row.defaults[str(inside[0])])
            read |= {_joined((*path, *inside), key): Path(value).name for key, value in paths.items()}
        else:
            kept, more = without_files(registry, inner_kind, inner, (*path, *inside))
            read |= more
        key, *names = map(str, inside)
        found[key] = {**found[key], names[0]: kept} if names else kept
    return found, read


def problems(registry: Registry, kind: str, node: Node, source: LocatedYaml, path: KeyPath) -> Iterator[Problem]:
    """All values of a complete node that lead out of a saved model, or of which nothing says whether they do."""
    name = node[name_key(kind)]
    row, hints, paths = registry.row(kind, name), type_hints(get(kind, name)), dict(_paths(kind, node))
    for key, value in node.items():
        if key == name_key(kind) or key in row.slots:
            continue
        place = (*path, key)
        if _takes_anything(hints.get(python_name(key), Any)):
            message = f"{kind}/{name} takes values of any type here, so that no check can say whether one opens a file"
            yield source.problem(place, f"{message}; a saved model cannot hold this component")
        elif key in paths:
            yield source.problem(place, f"names the file '{value}'; a saved model opens no other file")
        elif text := next((text for text in _texts(value) if LEADS_OUT.search(text)), None):
            yield source.problem(place, f"'{text}' may be a path or an address (it has one of / \\ : ~)")
    for inner_kind, inner, inside in inner_nodes(row, node):
        yield from problems(registry, inner_kind, inner, source, (*path, *inside))


def without_places(node: Mapping[str, Any]) -> Node:
    """A dataset node without the arguments that say where its files are."""
    without = places("dataset", node["name"])
    return {key: value for key, value in node.items() if key not in without}


def places(kind: str, name: str) -> list[str]:
    """Arguments of a component that take paths."""
    hints = type_hints(get(kind, name))
    return [key for key in arguments(get(kind, name), Row()) if takes_paths(hints.get(python_name(key)))]


def _paths(kind: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Arguments of one component that are paths, not one of the words that are allowed in their place."""
    hints = type_hints(get(kind, node[name_key(kind)]))
    for key, value in node.items():
        hint = hints.get(python_name(key))
        if isinstance(value, str) and takes_paths(hint) and value not in _words(hint):
            yield key, value


def _words(hint: Any) -> set[Any]:
    literals = [each for each in (hint, *typing.get_args(hint)) if typing.get_origin(each) is typing.Literal]
    return {word for each in literals for word in typing.get_args(each)}


def _takes_anything(hint: Any) -> bool:
    return hint is Any or any(map(_takes_anything, typing.get_args(hint)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inside in value.items():
            yield from (*_texts(key), *_texts(inside))
    elif isinstance(value, list | tuple):
        for inside in value:
            yield from _texts(inside)


def _joined(path: KeyPath, key: str) -> str:
    return ".".join(map(str, (*path, key)))
