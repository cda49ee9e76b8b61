"""Checks nodes against the rows and the constructors' signatures, and fills in their defaults."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import pydantic

from dlkd.machine import MachineError
from dlkd.registry.components import get, list_components, registered_name
from dlkd.registry.located_yaml import LocatedYaml, absolute
from dlkd.registry.nodes import (
    VARIANT_KIND,
    Node,
    as_lists,
    finite,
    key_paths,
    merge,
    name_key,
    python_name,
    said_paths,
)
from dlkd.registry.problems import KeyPath, Problem, nearest
from dlkd.registry.rows import MANY, Row, at, row_of
from dlkd.registry.signatures import (
    PLAIN_KINDS,
    arguments,
    default_name,
    is_path,
    optional,
    type_adapter,
    type_hints,
)


class Checker:
    """Completes nodes with defaults and collects their problems.

    Attributes:
        rows: by "kind/name".
        variants: as their files have them, by name.
        sources: the file of each variant.
        default_model: the model of a variant that names none.
        problems: found so far.
    """

    def __init__(
        self,
        rows: Mapping[str, Row],
        variants: Mapping[str, Node],
        sources: Mapping[str, LocatedYaml],
        default_model: str,
    ) -> None:
        self.rows, self.variants, self.sources, self.default_model = rows, variants, sources, default_model
        self.problems: list[Problem] = []
        self._done: dict[str, tuple[Node, set[KeyPath]]] = {}

    def variant(self, name: str, source: LocatedYaml | None, chain: tuple[str, ...] = ()) -> tuple[Node, set[KeyPath]]:
        """A variant with `extends` followed and all arguments filled in, and the paths of the keys that it sets
        itself."""
        if name in self._done:
            return self._done[name]
        source = self.sources.get(name) or source or LocatedYaml("registry", {})
        own = dict(self.variants[name])
        path: KeyPath = ("variants", name)
        parent = own.pop("extends", None)
        if parent is not None:  # a name may be a number to YAML: it is taken as it was written
            parent = source.texts.get((*path, "extends"), parent)
        base: Node = {}
        said: set[KeyPath] = set()
        if parent in (*chain, name):
            cycle = " -> ".join((*chain, name, str(parent)))
            self.problems.append(source.problem((*path, "extends"), f"'extends' runs in a circle: {cycle}"))
        elif parent is not None and (not isinstance(parent, str) or parent not in self.variants):
            known = nearest(str(parent), [v for v in self.variants if v != name])
            self.problems.append(source.problem((*path, "extends"), f"unknown variant '{parent}'{known}"))
        elif parent is not None:
            base, said = self.variant(parent, None, (*chain, name))
        key = name_key(VARIANT_KIND)
        node = self.complete(VARIANT_KIND, merge(base, own, key), source, path)
        self._done[name] = node, said_paths(said, base, own, key)
        return self._done[name]

    def complete(self, kind: str, node: Any, source: LocatedYaml, path: KeyPath) -> Node:
        """A node with its defaults filled in; problems go to `self.problems`."""
        key_of_name = name_key(kind)
        if isinstance(node, str):
            node = {key_of_name: node}
        if not isinstance(node, dict):
            self._wrong(source, path, f"expected a {kind}'s name or a mapping, got {node!r}")
            return {}
        name = node.get(key_of_name, self.default_model if kind == VARIANT_KIND else None)
        if name not in list_components(kind):
            message = f"unknown {kind} '{name}'" if name else f"a {kind} needs a '{key_of_name}'"
            self._wrong(source, (*path, key_of_name), message + nearest(str(name), list_components(kind)))
            return {key_of_name: name}
        component = get(kind, name)
        row = row_of(self.rows, kind, name)
        known = {} if kind in PLAIN_KINDS else arguments(component, row)
        full: Node = {key_of_name: name}
        for key in node:
            if key != key_of_name and key not in known:
                given = f"; {kind}/{name} is given it by what encloses it"
                hint = given if python_name(key) in row.given else nearest(key, known)
                self._wrong(source, (*path, key), f"{kind}/{name} has no argument '{key}'{hint}")
        for key, parameter in known.items():
            value = node.get(key, row.defaults.get(key, parameter.default))
            if value is inspect.Parameter.empty:
                self._wrong(source, path, f"{kind}/{name} needs the argument '{key}'")
            elif key in row.slots:
                full[key] = self._slot(row.slots[key], value, parameter, source, (*path, key))
            else:
                full[key] = self._typed(component, key, value, source, (*path, key))
        return full

    def defaults(self, name: str, source: LocatedYaml) -> None:
        """Check the defaults and the presets in the row of the component `name`."""
        kind, _, bare = name.partition("/")
        component, row = get(kind, bare), self.rows[name]
        known = arguments(component, row)
        for key, value in row.defaults.items():
            path = ("components", name, "defaults", key)
            if key in row.slots:
                self._slot(row.slots[key], value, known[key], source, path)
            else:
                self._typed(component, key, value, source, path)
        for preset, own in row.presets.items():
            self.complete(
                kind, {name_key(kind): bare, **own.model}, source, ("components", name, "presets", preset, "model")
            )
        if row.check_with:
            place = ("components", name, "check_with")
            self.complete(kind, merge(self.complete(kind, bare, source, place), row.check_with), source, place)
        self._shown(name, source)

    def _shown(self, name: str, source: LocatedYaml) -> None:
        """Check that what the row of a component says that reports show is there, where nobody says anything."""
        kind, _, bare = name.partition("/")
        row = self.rows[name]
        node = self.complete(kind, bare, source, ("components", name)) if row.shown else {}
        for shown, path in row.shown.items():
            try:
                at(node, path)
            except KeyError:
                near = nearest(path, [".".join(map(str, p)) for p in key_paths(node)])
                self._wrong(source, ("components", name, "shown", shown), f"{name} has no argument '{path}'{near}")

    def _slot(
        self, kind: str, value: Any, parameter: inspect.Parameter, source: LocatedYaml, path: KeyPath
    ) -> Node | None:
        if kind.endswith(MANY):
            return self._slots(kind.removesuffix(MANY), value, source, path)
        if value is None or (value == "none" and "none" not in list_components(kind)):
            if not optional(parameter):
                self._wrong(source, path, f"a {kind} is needed here and cannot be none")
            return None
        if callable(value):
            settings = value.keywords if isinstance(value, functools.partial) else {}
            value = {name_key(kind): registered_name(kind, value), **settings}
        elif isinstance(value, dict) and name_key(kind) not in value and parameter.default is not None:
            value = {name_key(kind): default_name(kind, parameter), **value}
        return self.complete(kind, value, source, path)

    def _slots(self, kind: str, value: Any, source: LocatedYaml, path: KeyPath) -> Node | None:
        """Components under names that the user chooses; `none` leaves out a component of the extended variant."""
        if value in (None, "none"):
            return None
        if not isinstance(value, Mapping):
            self._wrong(source, path, f"expected names with a {kind} each, got {value!r}")
            return {}
        given = {name: one for name, one in value.items() if one not in (None, "none")}
        return {name: self.complete(kind, one, source, (*path, name)) for name, one in given.items()}

    def _typed(self, component: Any, key: str, value: Any, source: LocatedYaml, path: KeyPath) -> Any:
        annotation = type_hints(component).get(python_name(key), Any)
        value = as_lists(value)
        try:
            typed = type_adapter(annotation).validate_python(value, strict=True)
            value = typed if isinstance(typed, float) else value  # 2 and 2.0 are one setting
        except pydantic.ValidationError as error:
            expected = "; ".join(dict.fromkeys(e["msg"].removeprefix("Input should be ") for e in error.errors()))
            self._wrong(source, path, f"expected {expected}, got {value!r}")
        if not finite(value):
            self._wrong(source, path, f"expected finite numbers, got {value!r}")
        if is_path(annotation, value):
            try:
                return absolute(value, source.folder)
            except MachineError as error:
                self._wrong(source, path, str(error))
        return value

    def _wrong(self, source: LocatedYaml, path: KeyPath, message: str) -> None:
        # A child repeats what it inherits; the problem is shown once, where it stands in the file. A component
        # written as a bare name has no key `name` of its own.
        stands = path[:-1] if path[-1:] == ("name",) else path
        if path in source.lines or stands in source.lines or not source.lines:
            self.problems.append(source.problem(path, message))
