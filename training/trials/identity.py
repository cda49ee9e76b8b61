"""The identity of a trial: all that decides its result, by contents and never by paths."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlkd.data.cache import stamp
from dlkd.data.digest import file_digest
from dlkd.data.label import takes_paths
from dlkd.registry import Registry, Row, arguments, get, inner_nodes, name_key, type_hints

PLACE_ONLY = {"workers", "checkpoint_seconds", "feature_cache_mib"}
"""Training arguments that change where and when, never what."""

DATA = "data"
"""Key of the data's digest among a trial's contents."""


def file_contents(node: Any, folders: Container[str] = (), key: str = "") -> dict[str, str]:
    """SHA-256 of each file that a node names by an absolute path, by the key of the argument, "teacher.weights".

    A folder counts by the names and the contents of the files in it and below it, hidden ones left out, if `folders`
    has its key: see `path_arguments`. What leads to neither has no entry. Raises DataError for a file that cannot be
    read.
    """
    if isinstance(node, str):
        path = Path(node)
        if path.is_absolute() and path.is_file():
            return {key: _digest(path, stamp(path))}
        return {key: _folder_digest(path)} if key in folders and path.is_dir() else {}
    inside = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    found: dict[str, str] = {}
    for name, value in inside:
        found |= file_contents(value, folders, _below(key, name))
    return found


def path_arguments(kind: str, node: Mapping[str, Any], registry: Registry, key: str = "") -> set[str]:
    """Keys of the arguments of a complete node whose annotation names a path: of its component and of those in it."""
    component, row = get(kind, node[name_key(kind)]), registry.row(kind, node[name_key(kind)])
    hints = type_hints(component)
    found = {_below(key, name) for name, arg in arguments(component, row).items() if takes_paths(hints.get(arg.name))}
    for inner_kind, inner, path in inner_nodes(row, node):
        found |= path_arguments(inner_kind, inner, registry, functools.reduce(_below, path, key))
    return found


def by_contents(node: Any, contents: Mapping[str, str], key: str = "") -> Any:
    """A node with the digests of `file_contents` in the place of their paths."""
    if isinstance(node, Mapping):
        return {name: by_contents(value, contents, _below(key, name)) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [by_contents(value, contents, _below(key, i)) for i, value in enumerate(node)]
    return {"contents": contents[key]} if key in contents else node


def placeless_dataset(node: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """A dataset node with its data's digest in the place of the arguments that take paths."""
    component = get("dataset", node["name"])
    hints = type_hints(component)
    places = {key for key, argument in arguments(component, Row()).items() if takes_paths(hints.get(argument.name))}
    return {key: value for key, value in node.items() if key not in places} | {"contents": digest}


def differences(held: Any, wanted: Any, key: str = "") -> Iterator[str]:
    """In words, what differs between two identities: "the data changed", "train.lr 0.1 -> 0.2"."""
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        if "contents" in held and "contents" in wanted and held["contents"] != wanted["contents"]:
            yield "the data changed" if key == "dataset" else f"the contents of {key} changed"
        for name in dict.fromkeys([*held, *wanted]):
            if name != "contents":
                yield from differences(held.get(name), wanted.get(name), _below(key, name))
    elif held != wanted:
        yield f"{key} {_shown(held)} -> {_shown(wanted)}"


def _shown(value: Any) -> str:
    return "a file's contents" if isinstance(value, Mapping) and "contents" in value else str(value)


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _folder_digest(folder: Path) -> str:
    """SHA-256 of the names, as seen from the folder, and the contents of all files in it."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    shown = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    digest = hashlib.sha256()
    for name in shown:
        digest.update(repr((name, _digest(folder / name, stamp(folder / name)))).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@functools.lru_cache(maxsize=2**14)  # DTD has 5,640 pictures
def _digest(path: Path, now: str) -> str:
    """`now` is the file's stamp: a changed file is read anew."""
    del now
    return file_digest(path)
