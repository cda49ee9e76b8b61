"""What a file says: its import statements, and a digest that comments, docstrings and layout are no part of."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dlkd.source_code.defaults import uses

Stamp = tuple[int, int, int, int]
SAID_ELSEWHERE = ("ctx", "type_comment")
"""Fields of a syntax tree that say nothing: whether a name is read or set shows in where it stands."""


class Import(NamedTuple):
    """One import statement.

    Attributes:
        level: leading dots.
        module: what stands after `from`, or after `import`.
        names: what is taken from it, each with the name that it gets here; none for `import module`.
        runs: False under `if TYPE_CHECKING:`.
    """

    level: int
    module: str
    names: tuple[tuple[str, str], ...]
    runs: bool


class _Read(NamedTuple):
    meaning: str
    imports: tuple[Import, ...]
    beside: tuple[str, ...]
    defaults: dict[str, frozenset[str]]
    calls: dict[str, frozenset[str]]


def meaning(file: Path) -> str:
    """SHA-256 of what a Python file says, without comments, docstrings and layout; of any other file's bytes.

    A Python file that cannot be parsed counts by its bytes. Raises OSError where it cannot be read.
    """
    return _read(file, _stamp(file)).meaning


def imports(file: Path) -> tuple[Import, ...]:
    """Each import statement of a file, also inside functions; none where it cannot be parsed."""
    return _read(file, _stamp(file)).imports


def beside(file: Path) -> Iterator[Path]:
    """Files that lie beside a Python file and whose names stand in it as text, such as a kernel or a table."""
    for name in _read(file, _stamp(file)).beside:
        if (path := file.parent / name).is_file():
            yield path.resolve()


def defaults(file: Path) -> dict[str, frozenset[str]]:
    """Names that are nothing but defaults of the registered component of a file, each with its parameters.

    `local: Block = LFRB` in the `__init__` of a registered class: where the argument is given, LFRB is not used.
    """
    return _read(file, _stamp(file)).defaults


def calls(file: Path) -> dict[str, frozenset[str]]:
    """Names that a file only calls, each with the arguments that every call gives by name."""
    return _read(file, _stamp(file)).calls


def _stamp(file: Path) -> Stamp:
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


@functools.lru_cache(maxsize=4096)
def _read(file: Path, now: Stamp) -> _Read:
    """`now` is the file's stamp: a changed file is read anew."""
    del now
    source = file.read_bytes()
    if file.suffix == ".py":
        try:
            tree = ast.parse(source)
            said = _digest(repr(_said(tree)).encode(errors="surrogatepass"))
            return _Read(said, *_found(tree), *uses(tree))
        except (SyntaxError, ValueError, RecursionError):  # the last of a sum of a thousand terms
            pass
    return _Read(_digest(source), (), (), {}, {})


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _said(node: object) -> object:
    """A tree as tuples that every version of Python makes alike: without positions, and without what is empty.

    A statement that is text alone is a docstring, those of attributes too.
    """
    if isinstance(node, ast.Constant):
        return type(node.value).__name__, repr(node.value)
    if isinstance(node, ast.AST):
        said: list[object] = [type(node).__name__]
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name not in SAID_ELSEWHERE:
                said += name, _said(value)
        return said
    if isinstance(node, list):
        return [_said(each) for each in node if not _is_text(each)]
    return node


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _found(tree: ast.Module) -> tuple[tuple[Import, ...], tuple[str, ...]]:
    """The import statements, and the texts that may name a file."""
    found: list[Import] = []
    texts: list[str] = []
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, runs = todo.pop()
        if isinstance(node, ast.Import):
            found += [Import(0, alias.name, (), runs) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple((alias.name, alias.asname or alias.name) for alias in node.names)
            found.append(Import(node.level, node.module or "", names, runs))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            todo += [(child, False) for child in node.body] + [(child, runs) for child in node.orelse]
        elif isinstance(node, ast.Constant):
            texts += [node.value] if isinstance(node.value, str) and _may_name_a_file(node.value) else []
        else:
            todo += [(child, runs) for child in ast.iter_child_nodes(node)]
    return tuple(found), tuple(dict.fromkeys(texts))


def _may_name_a_file(text: str) -> bool:
    return 2 < len(text) < 100 and "." in text[1:-1] and not text.startswith(("/", ".", "~")) and text.isprintable()
