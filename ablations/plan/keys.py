"""Keys of cells: hashes of all that decides a result, the code that computes it among them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlkd.registry import Registry, component_starts, inner_nodes, list_components, name_key
from dlkd.registry.nodes import python_name
from dlkd.source_code import ROOT, file_behind, meaning, own_sources, sources
from dlkd.training import TrialSpec

Code = dict[str, str]
"""What the code says, as digests by file: "blocks/lfrb.py" of dlkd, a user's file by its path."""


def cell_key(spec: TrialSpec, contents: Mapping[str, str], code: Mapping[str, str]) -> str:
    """Hash of the trial's identity and of the code that computes the result, wherever its files lie."""
    return hashed([spec.identity(contents), sorted(code.values())])


def hashed(decides: Any) -> str:
    """A key: hash of plain data."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def cell_code(spec: TrialSpec, registry: Registry) -> Code:
    """The code that computes a trial's result: of its components, of training and scoring, and what these import."""
    return code_behind([("model", spec.model), ("dataset", spec.dataset)], registry)


def code_behind(nodes: Iterable[tuple[str, Mapping[str, Any]]], registry: Registry, *more: Path) -> Code:
    """The code of components, each a kind and a complete node, of training and scoring, and of `more` files of dlkd.

    Found from import statements alone. A component that stands as a default in a slot, as GFRB in the decoder's, is not
    used where the node says what stands there. Raises OSError where a file cannot be read.
    """
    own = {file_behind("dlkd.training", "run_trial"), ROOT / "registry" / "build.py", *more}
    theirs: set[Path] = set()
    given: dict[Path, set[str]] = {}
    for kind, name, slots in _components(nodes, registry):
        starts = component_starts(kind, name)
        own, theirs = own | starts[0], theirs | starts[1]
        given |= {file: slots & given.get(file, slots) for file in starts[0]}
    files = own_sources(own, given).union(*map(sources, theirs))
    return {_named(file): meaning(file) for file in sorted(files)}


def _components(
    nodes: Iterable[tuple[str, Mapping[str, Any]]], registry: Registry
) -> Iterator[tuple[str, str, set[str]]]:
    """Kind and name of each component in complete nodes, and the parameters that are slots of it."""
    for kind, node in nodes:
        name = node[name_key(kind)]
        row = registry.row(kind, name)
        yield kind, name, {python_name(slot) for slot in row.slots if slot in node}
        yield from _components(((inner_kind, inner) for inner_kind, inner, _ in inner_nodes(row, node)), registry)
        if node.get("backend") in list_components("scan"):  # an argument that names a component and is no slot
            yield "scan", node["backend"], set()


def _named(file: Path) -> str:
    return file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else str(file)
