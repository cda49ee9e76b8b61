"""Imports go one way: as the table in docs/design.md says, and in no circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_IN_THE_PACKAGE = {"tests", "benchmarks", "examples", "docs", "build", "dist", "runs"}
EVERYTHING = "everything"


def modules() -> dict[str, Path]:
    """The package's modules by name without "dlkd."; a package's own name stands for its `__init__.py`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in NOT_IN_THE_PACKAGE and not any(part.startswith(".") for part in parts):
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of dlkd that a file imports, at its top, in a function or for types alone; each with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if n.removeprefix("dlkd.") in MODULES else str(node.module) for n in inside]
        for name in dict.fromkeys(names):
            if name == "dlkd" or name.startswith("dlkd."):
                yield name.removeprefix("dlkd.") if name != "dlkd" else "__init__", node.lineno


def table() -> dict[str, set[str]]:
    """Of each package or module in the page's table, what it may import beside itself."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = page[page.index("| may import |") :].split("\n\n")[0].splitlines()[2:]
    found = {}
    for row in rows:
        names, _, allowed = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1])
        for name in re.findall(r"`([^`]+)`", names):
            found[as_module(name)] = {as_module(n) for n in re.findall(r"`([^`]+)`", allowed)}
            if allowed == EVERYTHING:
                found[as_module(name)].add(EVERYTHING)
    return found


def as_module(name: str) -> str:
    return name.rstrip("/").removesuffix(".py").replace("/", ".")


TABLE = table()


def row_of(module: str, rows: Mapping[str, object] = TABLE) -> str | None:
    """The row that speaks of a module: its own, or that of the nearest package around it."""
    while module:
        if module in rows:
            return module
        module = module.rpartition(".")[0]
    return None


def test_the_table_names_what_exists() -> None:
    for name in TABLE.keys() | set().union(*TABLE.values()) - {EVERYTHING}:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file() or (ROOT / name).is_file(), name
    without = [module for module in MODULES if row_of(module) is None]
    assert not without, f"the table in docs/design.md has no row for {', '.join(without)}"


@pytest.mark.parametrize("row", sorted({str(row_of(module)) for module in MODULES}))
def test_imports_are_those_of_the_table(row: str) -> None:
    allowed = TABLE[row]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports dlkd.{other}"
        for module, path in MODULES.items()
        if row_of(module) == row
        for other, line in imports(path)
        if row_of(other) != row and EVERYTHING not in allowed and row_of(other, dict.fromkeys(allowed)) is None
    ]
    assert not wrong, f"{row} may import {', '.join(sorted(allowed)) or 'nothing of dlkd'}:\n" + "\n".join(wrong)


def test_the_table_has_no_circle() -> None:
    rows = {row: {str(row_of(name)) for name in allowed - {EVERYTHING}} - {row} for row, allowed in TABLE.items()}
    assert in_a_circle(rows) is None


def test_modules_import_in_no_circle() -> None:
    graph = {module: {other for other, _ in imports(path)} - {module} for module, path in MODULES.items()}
    assert in_a_circle(graph) is None


def test_no_code_outside_its_own_file_names_a_detector() -> None:
    """Everything else knows the contract of a model alone, so that any detector can take a shipped one's place."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES.values()}
    homes = {
        node.name: path
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(d).startswith("register('model'") for d in node.decorator_list)
    }
    assert "DLKD" in homes
    named = [
        f"{path.relative_to(ROOT)} names {name}"
        for path, tree in trees.items()
        for name in homes.keys() & set(identifiers(tree))
        if path not in (homes[name], ROOT / "models" / "__init__.py")
    ]
    assert not named, "\n".join(named)


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Names that code uses: not those in texts, since the project itself is called as its first detector is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def in_a_circle(graph: Mapping[str, set[str]]) -> str | None:
    """The first circle, as a -> b -> a."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None
