"""A user's Python files, run with the files beside them.

A file of `--import` may import its neighbours as a script does (`from my_layers import X`), wherever the command is
given and in every worker. Each folder is a package of a name of its own here, in which imports of neighbours are
looked up; so two folders may hold files of one name, and nothing of theirs hides an installed package.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from dlkd.machine import expanded
from dlkd.registry.problems import ConfigError, Problem
from dlkd.source_code import meaning, sources
from dlkd.source_code.theirs import neighbour, placed

PREFIX = "dlkd_import_"
"""Names of the packages that folders are here begin so."""
_folders: dict[str, Path] = {}
_files: dict[str, Path] = {}
"""Files of `--import` by their modules' names."""


def run_file(path: Path) -> None:
    """Run a Python file, or a package's folder, and what it imports; once a process.

    Raises:
        ConfigError: there is no such file, or it cannot be run: with the line of the file that failed, and the place
            in the file that it imports where the fault is there.
    """
    file = python_file(path)
    folder, name = placed(file)
    package = _package_of(folder)
    full = f"{package}.{name}"
    _files[full] = file
    before = set(sys.modules)
    try:
        importlib.import_module(full)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's file may raise, SystemExit too
        for module in set(sys.modules) - before:
            if module.startswith(f"{package}."):
                del sys.modules[module]
        raise ConfigError([_failure(path, file, error, package)]) from error


def python_file(path: Path) -> Path:
    """The file of a path: itself, or the `__init__.py` of a package's folder; absolute, links and `~` followed.

    Raises:
        ConfigError: there is none.
    """
    file = expanded(path).resolve()
    if (file / "__init__.py").is_file():
        return file / "__init__.py"
    if file.is_dir():
        message = "is a folder without __init__.py; name a Python file in it"
        raise ConfigError([Problem(str(path), 0, (), message)])
    if not file.is_file():
        raise ConfigError([Problem(str(path), 0, (), "there is no such Python file")])
    if file.suffix != ".py":
        raise ConfigError([Problem(str(path), 0, (), "is no Python file; its name must end in .py")])
    return file


def digests(path: Path) -> dict[str, str]:
    """The `meaning` of all `sources` of a Python file, or of a package's folder, by their paths."""
    return {str(file): meaning(file) for file in sorted(sources(python_file(path)))}


class _Finder(MetaPathFinder):
    """Finds the modules below the folders' packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _folders:
            return None
        if fullname in _files:
            file = _files[fullname]
            inside = [str(file.parent)] if file.name == "__init__.py" else None
            loader = _Loader(fullname, str(file))
            return importlib.util.spec_from_file_location(
                fullname, file, loader=loader, submodule_search_locations=inside
            )
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Compiles from the source each time: a .pyc is found by time and size, which an edit may leave as they were."""

    def get_code(self, fullname: str) -> CodeType:
        package, _, name = fullname.partition(".")
        tree = ast.parse(self.get_data(self.path), self.path)
        tree = _Neighbours(package, name.partition(".")[0], Path(self.path)).visit(tree)
        code: CodeType = compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)
        return code


class _Neighbours(ast.NodeTransformer):
    """Has a file's imports of its neighbours find them in the folder's package."""

    def __init__(self, package: str, own: str, file: Path) -> None:
        self.package = package
        self.own = own
        self.file = file

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if not self._here(top):
                made.append(ast.copy_location(ast.Import([alias]), node))
                continue
            whole = ast.alias(f"{self.package}.{alias.name}", alias.asname or top)
            made.append(ast.copy_location(ast.Import([whole]), node))
            if alias.asname is None and top != alias.name:  # `import a.b` binds a
                bound = ast.alias(f"{self.package}.{top}", top)
                made.append(ast.copy_location(ast.Import([bound]), node))
        return made

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level == 0 and self._here((node.module or "").partition(".")[0]):
            node.module = f"{self.package}.{node.module}"
        return node

    def _here(self, name: str) -> bool:
        return neighbour(name, _folders[self.package], self.own, self.file) is not None


def _package_of(folder: Path) -> str:
    """The package that a folder is here, made if it is new."""
    name = PREFIX + hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:8]
    if name not in _folders:
        module = ModuleType(name)
        module.__path__ = [str(folder)]
        _folders[name], sys.modules[name] = folder, module
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    importlib.invalidate_caches()
    return name


def _failure(path: Path, file: Path, error: BaseException, package: str) -> Problem:
    """What a file that cannot be run says: its own line, and the place in a neighbour where that failed."""
    places = [(Path(frame.filename), frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno or 0))
    own = [line for place, line in places if place == file]
    theirs = [(place, line) for place, line in places if place.is_relative_to(_folders[package]) and place != file]
    message = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    if isinstance(error, SystemExit):
        message = "ends the program when it is imported (SystemExit); put that under if __name__ == '__main__':"
    message = message.replace(f"{package}.", "")
    if theirs and places.index(theirs[-1]) > max((places.index((file, line)) for line in own), default=-1):
        message = f"{theirs[-1][0]}:{theirs[-1][1]}: {message}"
    if isinstance(error, ModuleNotFoundError):
        message += f"; looked for in {_folders[package]} and among the installed packages"
    return Problem(str(path), own[-1] if own else 0, (), message)
