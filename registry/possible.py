"""Whether constructors accept a node's values, tested by building it on the `meta` device, without memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from dlkd.registry.build import factory
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.nodes import Node, name_key, weightless
from dlkd.registry.problems import KeyPath, Problem
from dlkd.registry.rows import Row, example_value, inner_nodes, row_of


def impossible(
    rows: Mapping[str, Row], kind: str, node: Node, source: LocatedYaml, path: KeyPath, possible: set[str]
) -> list[Problem]:
    """Values of the right type that constructors refuse (three patches, for example), tested without memory.

    Args:
        rows: by "kind/name".
        kind: of the node.
        node: complete.
        source: the file of the node.
        path: the node's path in the file.
        possible: nodes that were built before, and are not built again; a node that can be built is added.
    """
    problems: list[Problem] = []
    tried = f"{kind} {json.dumps(node, sort_keys=True, default=repr)}"
    if tried in possible:
        return []
    name = node[name_key(kind)]
    row = row_of(rows, kind, name)
    for inner_kind, inner, inside in inner_nodes(row, node):
        problems += impossible(rows, inner_kind, inner, source, (*path, *inside), possible)
    if problems:
        return problems
    given = {k: example_value(v, row) for k, v in row.given.items()}
    try:
        with torch.device("meta"), _NoDraws():
            factory(rows, kind, weightless(node))(**given)
        possible.add(tried)
    except ValueError as error:
        problems.append(source.problem(path, str(error)))
    except Exception as error:  # whatever a constructor makes of a value that it did not foresee
        message = f"{kind}/{name} cannot be built: {type(error).__name__}: {error}"
        problems.append(source.problem(path, message))
    return problems


class _NoDraws(TorchFunctionMode):
    """Skips the drawing of initial weights: the meta device has none, and drawing takes half of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every function as it is, but those that draw in place, which give their tensor back."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or getattr(func, "__name__", "") in (
            "normal_",
            "uniform_",
        ):
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
