"""Datasets and categories by the names that users give them, and the check of their files before a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from dlkd.data.category import DataError
from dlkd.data.label import dataset_label, needs_root
from dlkd.data.verify import verify
from dlkd.machine import expanded
from dlkd.progress import progress_bar
from dlkd.registry import Registry, list_components
from dlkd.registry.assignments import assignments
from dlkd.registry.problems import nearest
from dlkd.text import Terminal


def dataset_node(registry: Registry, given: str | PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """`textures`, `mvtec:/data/mvtec`, `elpv,train_limit=200` or a folder's path -> a completed dataset node.

    A node, {"name": "elpv", "train_limit": 200}, is completed. Raises ValueError where there is no such dataset.
    """
    if isinstance(given, Mapping):
        return registry.complete("dataset", given)
    text = fspath(given)
    if expanded(text).is_dir():
        return registry.complete("dataset", {"name": "folder", "root": str(expanded(text).resolve())})
    name, _, root = text.partition(":")
    settings: list[str] = []
    if not root or not expanded(root).is_dir():  # a folder's own name may hold commas
        place, *settings = text.split(",")
        name, _, root = place.partition(":")
    if name in list_components("dataset"):
        node = {"name": name, **assignments(settings, "--dataset NAME,KEY=VALUE")}
        if not root and "root" not in node and needs_root(name):
            raise ValueError(f"{name} needs the path of its folder: give it as {name}:PATH")
        return registry.complete("dataset", node | ({"root": str(expanded(root).resolve())} if root else {}))
    if settings and expanded(name).is_dir():
        raise ValueError(f"settings need the dataset's name before the folder: --dataset folder:{text}")
    if expanded(text).exists():
        raise ValueError(f"{text} is a file; a dataset is a folder in the MVTec layout")
    if "/" in text or text.startswith("."):
        raise ValueError(f"the dataset folder {text} does not exist")
    return registry.complete("dataset", name)


def refuse_pictures(out: Path, node: Mapping[str, Any], categories: Iterable[str]) -> None:
    """Raise ValueError where results would be written among a dataset's own files."""
    root = node.get("root")
    if root is None:
        return
    place, folder = expanded(out).resolve(), Path(root).resolve()
    inside = any(
        place.is_relative_to(folder / name) for name in (*categories, "train", "test") if (folder / name).is_dir()
    )
    if place == folder or inside:
        raise ValueError(f"{out} holds the pictures of {dataset_label(node)}; name another folder for the results")


def categories_of(
    registry: Registry, node: dict[str, Any], wanted: Sequence[str] | None, *, some: bool = False
) -> list[str]:
    """The wanted categories of a dataset, all by default; where `some`, others of the wanted may be elsewhere."""
    known = list(registry.build("dataset", node).categories())
    if wanted is None:
        return known
    here = [name for name in wanted if name in known]
    for name in wanted:
        if name not in known and not (some and here):
            raise ValueError(f"{dataset_label(node)} has no category '{name}'{nearest(name, known)}")
    return here


def category_of(registry: Registry, node: dict[str, Any], wanted: str | None) -> str:
    """The wanted category of a dataset, or its only one."""
    known = categories_of(registry, node, [wanted] if wanted else None)
    if len(known) > 1:
        listed = ", ".join(known)
        raise ValueError(
            f"{dataset_label(node)} has several categories; name one with --category (category=): {listed}"
        )
    return known[0]


def verify_data(registry: Registry, data: Iterable[tuple[dict[str, Any], str]], terminal: Terminal) -> None:
    """Read all files of trials on these categories; print what is ignored, converted or squeezed.

    What is the same for several categories of a dataset is one line. Raises DataError on damage.
    """
    seen: list[tuple[dict[str, Any], str]] = []
    said: dict[tuple[str, str], list[str]] = {}
    problems: list[str] = []
    with progress_bar(terminal) as bar:
        for node, name in data:
            if (node, name) in seen:
                continue
            seen.append((node, name))
            task = bar.add_task(f"reading {name}", total=None)
            try:
                category = registry.build("dataset", node).load(name)
                notes = verify(category, progress=lambda n, total: bar.update(task, completed=n, total=total))  # noqa: B023
            except DataError as error:
                problems.append(str(error))
                continue
            for note in notes:
                said.setdefault((dataset_label(node), note), []).append(name)
            bar.remove_task(task)
    for (_, note), names in said.items():
        terminal.print(f"{', '.join(names)}: {note}")
    if problems:
        raise DataError("\n".join(problems))
