"""Keys of cells: hashes of all that decides a result, the code that computes it among them."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkd.registry import Registry, component_files, inner_nodes, name_key
from dlkd.training import TrialSpec

ROOT = Path(str(importlib.resources.files("dlkd")))

CODE_FOLDERS = ("blocks", "losses", "models", "training", "data", "metrics")
"""Packages whose source decides a trial's result."""


def cell_key(spec: TrialSpec, contents: Mapping[str, str], registry: Registry) -> str:
    """Hash of the trial's identity and of the code that computes the result."""
    own = component_sources(registry, "model", spec.model) | component_sources(registry, "dataset", spec.dataset)
    code = [code_version(), *sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in own)]
    return hashlib.sha256(json.dumps([spec.identity(contents), code], sort_keys=True).encode()).hexdigest()[:16]


def component_sources(registry: Registry, kind: str, node: dict[str, Any]) -> set[Path]:
    """Source files of the components of a node that are not DLKD's own, and what those import."""
    name = node[name_key(kind)]
    found = component_files(kind, name)
    for inner_kind, inner, _ in inner_nodes(registry.row(kind, name), node):
        found |= component_sources(registry, inner_kind, inner)
    return found


@functools.cache
def code_version() -> str:
    """Hash of the sources that decide a trial's result."""
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
