"""Components by name: components register themselves; this module finds the packages and files that contain components.

Packages are found by the entry-point group `dlkd.components`, in which DLKD's own are listed too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dlkd.registry.problems import ConfigError, Problem, nearest
from dlkd.registry.python_files import PREFIX, digests, python_file, run_file
from dlkd.source_code import own_sources, sources
from dlkd.source_code.theirs import installed

T = TypeVar("T")

ENTRY_POINTS = "dlkd.components"
_COMPONENTS: dict[str, Any] = {}
_registered_by: dict[str, tuple[str, Path]] = {}
"""By component, the module that registered it, and its file."""


def register(kind: str, name: str) -> Callable[[T], T]:
    """Decorator that makes a class (or function) known as `kind/name`; returns it unchanged.

    The file that calls it is part of what the component is, see `component_files`.

    Raises:
        ValueError: the name is taken; both holders are named.
    """
    caller = sys._getframe(1)
    place = str(caller.f_globals.get("__name__", "")), Path(caller.f_code.co_filename)

    def decorate(component: T) -> T:
        key = f"{kind}/{name}"
        if key in _COMPONENTS:
            raise ValueError(f"{key} is registered twice: {_place(_COMPONENTS[key])} and {_place(component)}")
        _COMPONENTS[key], _registered_by[key] = component, place
        return component

    return decorate


@functools.cache
def load_components() -> None:
    """Import every package of the entry-point group, so that its components register themselves.

    Raises:
        ConfigError: a package of the group cannot be imported.
    """
    # dlkd's own first: what a package of somebody else imports of dlkd did not come with it.
    for point in sorted(_points(), key=lambda point: not _is_own(point.module)):
        before = set(_COMPONENTS)
        try:
            point.load()
        except Exception as error:  # whatever a file of somebody else may raise
            if _is_own(point.module) and not isinstance(error, ImportError):
                raise
            where = f"entry point {point.name} = {point.value}"
            said = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise ConfigError([Problem(where, 0, (), f"cannot be imported: {said}")]) from error
        file = getattr(sys.modules.get(point.module), "__file__", None)
        if file is not None and not _is_own(point.module):
            _came_with.update(dict.fromkeys(set(_COMPONENTS) - before, Path(file).resolve()))


def _points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)


_loaded_files: set[Path] = set()
_came_with: dict[str, Path] = {}
"""By component, the file of `--import` or of the entry point that registered it."""


def load_file(path: Path) -> None:
    """Run a Python file, or a package's folder, whose components register themselves; once per process.

    It may import the files beside it, see `dlkd.registry.python_files`.

    Raises:
        ConfigError: there is no such file, or it cannot be run.
    """
    load_components()
    file = python_file(path)
    if file in _loaded_files:
        return
    before = set(_COMPONENTS)
    try:
        run_file(path)
    except ConfigError:
        for key in set(_COMPONENTS) - before:
            del _COMPONENTS[key]
        raise
    _came_with.update(dict.fromkeys(set(_COMPONENTS) - before, file))
    _loaded_files.add(file)


def load_same(files: Mapping[str, Mapping[str, str]]) -> None:
    """Run Python files as `load_file` does, each with the `digests` that its run began with, by its path.

    Raises:
        ConfigError: a file, or a file that it imports, changed: its results would get the key of the old file.
    """
    for name, known in files.items():
        path = Path(name)
        if python_file(path) not in _loaded_files and (found := digests(path)) != known:
            changed = next(file for file in {**known, **found} if known.get(file) != found.get(file))
            raise ConfigError([Problem(changed, 0, (), "changed since this run began; start the run again")])
        load_file(path)


def component_starts(kind: str, name: str) -> tuple[set[Path], set[Path]]:
    """The files of dlkd, and those of users, in which a component stands and is registered."""
    component = get(kind, name)
    while isinstance(component, functools.partial):
        component = component.func
    key = f"{kind}/{name}"
    places = [_registered_by[key]] if key in _registered_by else []
    places += [("", _came_with[key])] if key in _came_with else []
    with contextlib.suppress(TypeError):  # no file: made by compiled code
        file = Path(inspect.getsourcefile(component) or "")
        module = str(getattr(component, "__module__", ""))
        places += [] if installed(file) and not _is_own(module) else [(module, file)]
    own = {file.resolve() for module, file in places if file.is_file() and _is_own(module)}
    return own, {file.resolve() for module, file in places if file.is_file() and not _is_own(module)}


def component_files(kind: str, name: str) -> set[Path]:
    """Files that make a component what it is: where it stands, what registers it, and all that these import."""
    own, theirs = component_starts(kind, name)
    return own_sources(own).union(*map(sources, theirs))


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == "dlkd"


def is_registered(kind: str, name: str) -> bool:
    """Whether there is a component `kind/name`; packages are imported only where it is not known without."""
    key = f"{kind}/{name}"
    if key not in _COMPONENTS:
        load_components()
    return key in _COMPONENTS


def registered(kind: str, name: str) -> Any:
    """The component `kind/name` that is known already; one look into a table, which PyTorch can trace."""
    return _COMPONENTS[f"{kind}/{name}"]


def get(kind: str, name: str) -> Any:
    """The component registered as `kind/name`. Raises ConfigError with the nearest name where there is none."""
    if not is_registered(kind, name):
        message = f"unknown {kind} '{name}'{nearest(name, list_components(kind))}"
        raise ConfigError([Problem("registry", 0, (), message)])
    return registered(kind, name)


def list_components(kind: str | None = None) -> list[str]:
    """Names of all components as "kind/name", or the bare names of one kind, sorted."""
    load_components()
    if kind is None:
        return sorted(_COMPONENTS)
    return sorted(key.split("/", 1)[1] for key in _COMPONENTS if key.split("/", 1)[0] == kind)


def component_names(rows: Iterable[str]) -> list[str]:
    """Names of all components as "kind/name", sorted, without importing dlkd's own if there are no others.

    Args:
        rows: names of a registry's rows; dlkd's own components all have one.
    """
    if not all(_is_own(point.module) for point in _points()):
        load_components()
    return sorted({*rows, *_COMPONENTS})


def registered_name(kind: str, component: Any) -> str:
    """The name under which a component, or what it is a partial of, is registered as `kind`.

    Raises ValueError where it is not.
    """
    while isinstance(component, functools.partial):
        component = component.func
    for key, registered in _COMPONENTS.items():
        if registered is component and key.startswith(f"{kind}/"):
            return key.split("/", 1)[1]
    raise ValueError(f"{_place(component)} is the default of a {kind} slot but not registered as a {kind}")


def _place(component: Any) -> str:
    module = sys.modules.get(str(getattr(component, "__module__", "")))
    if module is not None and module.__name__.startswith(PREFIX):
        return f"{getattr(component, '__qualname__', repr(component))} of {module.__file__}"
    return f"{getattr(component, '__module__', '?')}.{getattr(component, '__qualname__', repr(component))}"
