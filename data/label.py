"""The label of a dataset in tables, folders and messages."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping, Sequence
from itertools import count
from os import PathLike
from typing import Any

from dlkd.machine import expanded
from dlkd.registry import Row, arguments, get, type_hints

Node = Mapping[str, Any]
FROM_A_FOLDER = ("folder", "tiles")
"""Datasets of a user's own folder, whose name is part of the label."""


def dataset_label(node: Node) -> str:
    """A completed dataset node by its name and the arguments that are not the defaults.

    "textures", "textures,seed=1"; a dataset of the kind `folder` is labelled by the name of its folder, without the
    path.
    """
    return _label(node, 1)


def dataset_labels(nodes: Sequence[Node]) -> list[str]:
    """The label of each node, where two nodes have one label by the fewest parts of their paths that differ.

    "data/left/wood" and "data/right/wood" are "left/wood" and "right/wood", two copies of MVTec AD "mvtec:old/mvtec"
    and "mvtec:new/mvtec". Equal nodes keep one label.
    """
    texts = [json.dumps(node, sort_keys=True, default=str) for node in nodes]
    each = dict(zip(texts, nodes, strict=True))
    labels = [_label(node, 1) for node in each.values()]
    for parts in count(2):
        longer = [
            _label(node, parts, told_apart=True) if labels.count(label) > 1 else label
            for node, label in zip(each.values(), labels, strict=True)
        ]
        if longer == labels:
            break
        labels = longer
    found = dict(zip(each, labels, strict=True))
    return [found[text] for text in texts]


def _label(node: Node, parts: int, *, told_apart: bool = False) -> str:
    component = get("dataset", node["name"])
    hints = type_hints(component)
    name, settings = str(node["name"]), []
    for key, parameter in arguments(component, Row()).items():
        value = node.get(key, parameter.default)
        if value in (parameter.default, inspect.Parameter.empty):
            continue
        if not takes_paths(hints.get(parameter.name)):
            settings.append(f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        elif name in FROM_A_FOLDER or told_apart:
            place = expanded(value).absolute()
            shown = "/".join(place.parts[-parts:]).replace("//", "/")
            name = shown if name == "folder" else f"{name}:{shown}"
    return ",".join([name, *settings])


def needs_root(name: str) -> bool:
    """Whether a dataset cannot be made without the place of its folder."""
    root = arguments(get("dataset", name), Row()).get("root")
    return root is not None and root.default is inspect.Parameter.empty


def takes_paths(annotation: Any) -> bool:
    """Whether an annotation names paths, alone or beside other types."""
    kinds = [annotation, *typing.get_args(annotation)]
    return any(
        inspect.isclass(origin) and issubclass(origin, PathLike)
        for kind in kinds
        if (origin := typing.get_origin(kind) or kind) is not None
    )
