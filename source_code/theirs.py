"""A user's Python files and what they import: their neighbours, what lies on `sys.path`, and parts of dlkd."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dlkd.source_code.own import PACKAGE, ROOT, imported, own_sources
from dlkd.source_code.statements import Import, beside, imports

_LIBRARY = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


def sources(file: Path) -> set[Path]:
    """A Python file and all files that it imports, however deep, also inside functions.

    Left out are the standard library, what is installed in site-packages, but for the file's own package, and what
    computes no result in dlkd. A file that lies beside one of them and is named in it counts too. Names that are made
    while the code runs (`importlib.import_module`) are not followed.
    """
    folder, name = placed(file)
    own = name.partition(".")[0] if installed(file) else ""
    todo: list[tuple[Path, str, Path | None]] = [(file, name, folder)]
    above = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for depth in range(1, len(above) + 1):  # the packages that it is in run before it
        todo.append((folder.joinpath(*above[:depth], "__init__.py"), ".".join(above[:depth]), folder))
    found = {place for place, _, _ in todo}
    dlkds: set[Path] = set()
    while todo:
        file, name, place = todo.pop()
        dlkds.update(imported(file))
        found.update(beside(file))
        for spec in _imported(file, name, place, own):
            path = Path(spec.origin or "").resolve()
            if path not in found and path.is_file():
                found.add(path)
                if path.suffix == ".py":
                    todo.append((path, spec.name, place if path.is_relative_to(folder) else None))
    return found | own_sources(dlkds)


def placed(file: Path) -> tuple[Path, str]:
    """The folder that a file's imports start from, above the packages that it is in, and its module's name there."""
    folder = file.parent
    parts = [] if file.name == "__init__.py" else [file.stem.replace(".", "_")]
    while (folder / "__init__.py").is_file() and folder != ROOT:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def installed(path: Path) -> bool:
    """Whether a file is of the standard library or of an installed package."""
    path = path.resolve()
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        path.is_relative_to(place) for place in _LIBRARY
    )


def neighbour(name: str, folder: Path, own: str, file: Path) -> ModuleSpec | None:
    """The module of that name in `folder` that `file` means, if it means none of the library and no installed one."""
    if _passed_over(name):
        return None
    spec = PathFinder.find_spec(name, [str(folder)])
    if spec is None or (name != own and installed(folder / name)):
        return None
    # A folder without __init__.py, and the file itself, stand behind an installed package of their name, as Python has
    # it.
    behind = spec.origin is None or Path(spec.origin).resolve() == file
    return None if behind and _elsewhere(name) is not None else spec


def _passed_over(name: str) -> bool:
    return name in sys.stdlib_module_names or name == PACKAGE


def _elsewhere(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # a module without a spec, such as __main__
        return None


def _imported(file: Path, name: str, folder: Path | None, own: str) -> Iterator[ModuleSpec]:
    """What a file imports of files that are not the library's, dlkd's or installed.

    Args:
        file: of Python.
        name: of its module, as its neighbours import it.
        folder: where those lie; None where they are found by `sys.path`.
        own: name of the package that is followed wherever it lies.
    """
    for statement in imports(file):
        if not statement.runs:
            continue
        module = _absolute(statement, name, is_package=file.name == "__init__.py")
        for word in [name for name, _ in statement.names] or [""]:
            top, *deeper = [part for part in (*module.split("."), word) if part]
            found = _top(top, statement.level > 0, folder, own, file)
            whole = top
            while found is not None and (top == own or not installed(Path(found.origin or ""))):
                yield found
                if not deeper or found.submodule_search_locations is None:
                    break
                whole = f"{whole}.{deeper.pop(0)}"
                found = PathFinder.find_spec(whole, list(found.submodule_search_locations))


def _absolute(statement: Import, name: str, *, is_package: bool) -> str:
    """The module of a statement in the module `name`, its dots followed."""
    if not statement.level:
        return statement.module
    inside = name.split(".") if is_package else name.split(".")[:-1]
    inside = inside[: len(inside) - statement.level + 1]
    return ".".join([*inside, *filter(None, [statement.module])])


def _top(top: str, relative: bool, folder: Path | None, own: str, file: Path) -> ModuleSpec | None:
    """The package or module that a statement begins with."""
    if relative and folder is not None:
        return PathFinder.find_spec(top, [str(folder)])
    found = None if folder is None else neighbour(top, folder, own, file)
    return _elsewhere(top) if found is None and not _passed_over(top) else found
