"""What a file does with names: some are nothing but defaults of its registered component, some are only called."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TypeGuard

Parameters = dict[str, frozenset[str]]


def uses(tree: ast.Module) -> tuple[Parameters, Parameters]:
    """Names that are only defaults, and names that are only called, annotations aside.

    Returns:
        Names that are used as defaults of the registered component alone, each with the parameters. None where a file
        registers several components or uses its own, since one may be made there without arguments.
        Names that are only called, each with the arguments that every call gives by name.
    """
    used: Counter[str] = Counter()
    calls: dict[str, list[set[str]]] = defaultdict(list)
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            used[node.id] += 1
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls[node.func.id].append({keyword.arg for keyword in node.keywords if keyword.arg})
        for field in node._fields:
            if field not in ("annotation", "returns", "ctx"):
                value = getattr(node, field, None)
                todo += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, ast.AST)]
    called = {name: frozenset(set.intersection(*given)) for name, given in calls.items() if used[name] == len(given)}
    return _only_defaults(tree, used), called


def _only_defaults(tree: ast.Module, used: Counter[str]) -> Parameters:
    registered = [node for node in tree.body if _is_definition(node) and any(map(_registers, node.decorator_list))]
    if len(registered) != 1 or used[registered[0].name]:
        return {}
    parameters: dict[str, set[str]] = defaultdict(set)
    as_default: Counter[str] = Counter()
    for parameter, default in _defaults(registered[0]):
        if isinstance(default, ast.Name):
            parameters[default.id].add(parameter)
            as_default[default.id] += 1
    return {name: frozenset(names) for name, names in parameters.items() if used[name] == as_default[name]}


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
