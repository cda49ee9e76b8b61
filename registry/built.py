"""Nodes that were built without memory once, remembered from one process to the next: see `possible`.

What can be built hangs on the node, the code and the libraries alone, and to try it takes seconds, of which timm's
import is the most.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dlkd.machine import MachineError, cache_folder
from dlkd.registry.components import component_starts
from dlkd.registry.nodes import Node, name_key
from dlkd.registry.rows import Row, inner_nodes, row_of

CODE = ("blocks", "losses", "models", "registry", "contract.py", "registry.yaml")
LIBRARIES = ("torch", "timm", "anomalib")


def was_built(rows: Mapping[str, Row], kind: str, node: Node) -> bool:
    """Whether this code has built the node before; never of components of the user's own."""
    if not _is_own(rows, kind, node):
        return False
    try:
        return _digest(kind, node) in _file().read_text(encoding="ascii").split()
    except (OSError, ValueError, MachineError):
        return False


def remember_built(rows: Mapping[str, Row], kind: str, node: Node) -> None:
    """Remember that it can be built; what cannot be written is not remembered."""
    if not _is_own(rows, kind, node):
        return
    with suppress(OSError, MachineError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="ascii") as lines:
            lines.write(f"{_digest(kind, node)}\n")


def _is_own(rows: Mapping[str, Row], kind: str, node: Node) -> bool:
    """Whether all its components are of dlkd and its libraries."""
    name = node[name_key(kind)]
    inside = inner_nodes(row_of(rows, kind, name), node)
    own, theirs = component_starts(kind, name)
    return bool(own) and not theirs and all(_is_own(rows, inner, each) for inner, each, _ in inside)


def _digest(kind: str, node: Node) -> str:
    return hashlib.sha256(f"{kind} {json.dumps(node, sort_keys=True, default=repr)}".encode()).hexdigest()


def _file() -> Path:
    return cache_folder() / "built" / f"{_code()}.txt"


@functools.cache
def _code() -> str:
    """A hash of all that builds: sources, rows and the versions of the libraries."""
    root = Path(str(importlib.resources.files("dlkd")))
    digest = hashlib.sha256()
    for part in CODE:
        path = root / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    digest.update(repr([_version(name) for name in LIBRARIES]).encode())
    return digest.hexdigest()[:32]


def _version(library: str) -> str:
    """Of a library; empty where it is not installed, as those of extras may be."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""
