"""Files of dlkd behind its components, name by name.

`from dlkd.blocks import GFRB` leads to `blocks/gfrb.py` and to no other block, though Python runs `blocks/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path

from dlkd.source_code.statements import Import, beside, calls, defaults, imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dlkd"
LEFT_OUT = (
    *("ablations", "check", "cli", "registry", "source_code"),
    *("__init__.py", "drawing.py", "files.py", "machine.py", "progress.py", "text.py"),
)
"""What reads settings, writes files, runs and shows, and computes no result: it is not followed."""


def own_sources(files: Iterable[Path], given: Mapping[Path, Set[str]] | None = None) -> set[Path]:
    """Files of dlkd, and all others of dlkd that they import, however deep, but for what is `LEFT_OUT`.

    A file that lies beside one of them and is named in it counts too, such as a kernel that is no Python.

    Args:
        files: where to begin.
        given: by file, parameters of its registered components that are always given, so that their defaults are not
            used. They are where another file makes the component without them.
    """
    without: dict[Path, Set[str]] = {}
    todo: list[tuple[Path, Set[str]]] = [(file, (given or {}).get(file, frozenset())) for file in set(files)]
    while todo:
        file, parameters = todo.pop()
        unused = without.get(file, parameters) & parameters
        if without.get(file) != unused:
            without[file] = unused
            todo += _edges(file, unused)
    return set(without)


def _edges(file: Path, without: Set[str]) -> Iterator[tuple[Path, Set[str]]]:
    """What a file leads to, each with the parameters whose defaults are not used there."""
    if file.suffix != ".py":
        return
    unused = {name for name, parameters in defaults(file).items() if parameters <= without}
    called = calls(file)
    for place, name in _imported(file):
        if name not in unused:
            yield place, called.get(name, frozenset())
    yield from ((place, frozenset()) for place in beside(file))


def imported(file: Path) -> Iterator[Path]:
    """Files of dlkd that a Python file, dlkd's own or another, imports, but for what is `LEFT_OUT`."""
    yield from (place for place, _ in _imported(file))


def _imported(file: Path) -> Iterator[tuple[Path, str]]:
    """The same, each with the name that the file has for it.

    A package may hand on names lazily, with their imports under TYPE_CHECKING; these count, others under it do not.
    """
    for statement in imports(file):
        if statement.runs or _is_package(file):
            for name in statement.names or [("", "")]:
                places = _meant(statement._replace(names=(name,) if name[0] else ()), file)
                yield from ((place, name[1]) for place in places if _counts(place))


def file_behind(module: str, name: str) -> Path:
    """The file that makes a name which a module of dlkd has. Raises LookupError where dlkd has no such module."""
    found = next(_behind(module, name), None)
    if found is None:
        raise LookupError(f"{module} is no module of {PACKAGE}")
    return found


def _counts(file: Path) -> bool:
    return file.is_relative_to(ROOT) and file.relative_to(ROOT).parts[0] not in LEFT_OUT


def _is_package(file: Path) -> bool:
    return file.name == "__init__.py" and file.is_relative_to(ROOT)


def _meant(statement: Import, file: Path) -> Iterator[Path]:
    module = statement.module
    if statement.level:
        if not file.is_relative_to(ROOT):
            return
        above = [PACKAGE, *file.relative_to(ROOT).parent.parts]
        module = ".".join([*above[: len(above) - statement.level + 1], *filter(None, [module])])
    if module.partition(".")[0] == PACKAGE:
        for name in [name for name, _ in statement.names] or [""]:
            yield from _behind(module, name)


def _behind(module: str, name: str) -> Iterator[Path]:
    """Of a submodule its file; of a name that a package hands on the file that makes it; else the module's file."""
    if name and (submodule := _file_of(f"{module}.{name}")):
        yield submodule
    elif file := _file_of(module):
        handed_on = [
            (statement.module, theirs)
            for statement in (imports(file) if _is_package(file) else ())
            for theirs, ours in statement.names
            if ours == name and statement.level == 0
        ]
        for place in handed_on:
            yield from _behind(*place)
        if not handed_on:
            yield file


def _file_of(module: str) -> Path | None:
    """The file of a module of dlkd."""
    package, *parts = module.split(".")
    if package != PACKAGE:
        return None
    place = ROOT.joinpath(*parts)
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)
