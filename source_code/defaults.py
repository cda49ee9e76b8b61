"""What a file does with names: some are nothing but defaults of its registered component, some are only called."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TypeGuard


def only_defaults(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Names that are used as defaults of the registered component alone, each with the parameters; annotations aside.

    None where a file registers several components or uses its own, since one may be made there without arguments.
    """
    registered = [node for node in ast.walk(tree) if _is_definition(node) and any(map(_registers, node.decorator_list))]
    used = Counter(_used(tree))
    if len(registered) != 1 or used[registered[0].name]:
        return {}
    parameters: dict[str, set[str]] = defaultdict(set)
    as_default: Counter[str] = Counter()
    for parameter, default in _defaults(registered[0]):
        if isinstance(default, ast.Name):
            parameters[default.id].add(parameter)
            as_default[default.id] += 1
    return {name: frozenset(names) for name, names in parameters.items() if used[name] == as_default[name]}


def only_calls(tree: ast.Module) -> dict[str, frozenset[str]]:
    """Names that are only called, each with the arguments that every call gives by name; annotations aside."""
    used = Counter(_used(tree))
    calls: dict[str, list[set[str]]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls[node.func.id].append({keyword.arg for keyword in node.keywords if keyword.arg})
    return {name: frozenset(set.intersection(*given)) for name, given in calls.items() if used[name] == len(given)}


def _is_definition(node: ast.AST) -> TypeGuard[ast.ClassDef | ast.FunctionDef]:
    return isinstance(node, ast.ClassDef | ast.FunctionDef)


def _registers(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).rpartition(".")[2] == "register"


def _defaults(made: ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, ast.expr | None]]:
    """Each parameter that has a default, of a function or of a class's `__init__`."""
    functions = [node for node in made.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    for function in functions if isinstance(made, ast.ClassDef) else [made]:
        arguments = function.args
        places = [*arguments.posonlyargs, *arguments.args]
        given = arguments.defaults
        yield from zip((arg.arg for arg in places[len(places) - len(given) :]), given, strict=True)
        yield from zip((arg.arg for arg in arguments.kwonlyargs), arguments.kw_defaults, strict=True)


def _used(node: ast.AST) -> Iterator[str]:
    """Every name that is read outside of annotations, as often as it is."""
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _used(child)
