"""The registry: components by name, and the one place that turns YAML into objects.

Components register themselves with `@register(kind, name)`; packages that hold some are found by the entry-point
group `dlkd.components` (dlkd's own come in by the same door). `registry.yaml` gives each component its contract
and defaults and composes them into variants. YAML holds names only, never an import path.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.resources
import inspect
import json
import keyword
import math
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import torch
from torch.overrides import TorchFunctionMode

from dlkd.contract import Rule, Shape
from dlkd.located_yaml import ConfigError, KeyPath, LocatedYaml, Problem, absolute, nearest, parse_yaml, read_yaml
from dlkd.machine import MachineError, expanded
from dlkd.python_files import PREFIX, digests, installed, python_file, run_file, sources

T = TypeVar("T")
Node = dict[str, Any]

ENTRY_POINTS = "dlkd.components"
MANY = "*"
"""Ends the kind of a slot that takes several components by name."""
PLAIN_KINDS = ("norm", "act")
"""Kinds that are classes passed on as they are: a name and no arguments in YAML."""
_COMPONENTS: dict[str, Any] = {}


def register(kind: str, name: str) -> Callable[[T], T]:
    """Decorator that makes a class (or function) known as `kind/name`; returns it unchanged.

    Raises:
        ValueError: the name is taken; both holders are named.
    """

    def decorate(component: T) -> T:
        key = f"{kind}/{name}"
        if key in _COMPONENTS:
            raise ValueError(f"{key} is registered twice: {_place(_COMPONENTS[key])} and {_place(component)}")
        _COMPONENTS[key] = component
        return component

    return decorate


@functools.cache
def load_components() -> None:
    """Import every package of the entry-point group, so that its components register themselves.

    Raises:
        ConfigError: a package of the group cannot be imported.
    """
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        before = set(_COMPONENTS)
        try:
            point.load()
        except Exception as error:  # whatever a file of somebody else may raise
            if point.module.partition(".")[0] == "dlkd" and not isinstance(error, ImportError):
                raise
            where = f"entry point {point.name} = {point.value}"
            said = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise ConfigError([Problem(where, 0, (), f"cannot be imported: {said}")]) from error
        file = getattr(sys.modules.get(point.module), "__file__", None)
        if file is not None and point.module.partition(".")[0] != "dlkd":
            _came_with.update(dict.fromkeys(set(_COMPONENTS) - before, Path(file).resolve()))


_loaded_files: set[Path] = set()
_came_with: dict[str, Path] = {}
"""By component, the file of `--import` or of the entry point that registered it."""


def load_file(path: Path) -> None:
    """Run a Python file, or a package's folder, whose components register themselves; once a process.

    It may import the files beside it, see `dlkd.python_files`.

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
        ConfigError: one of them, or what it imports, changed: its results would stand under the old one's key.
    """
    for name, known in files.items():
        path = Path(name)
        if python_file(path) not in _loaded_files and (found := digests(path)) != known:
            changed = next(file for file in {**known, **found} if known.get(file) != found.get(file))
            raise ConfigError([Problem(changed, 0, (), "changed since this run began; start the run again")])
        load_file(path)


def component_files(kind: str, name: str) -> set[Path]:
    """Files that make a component what it is, with all that they import; none for dlkd's own."""
    component = get(kind, name)
    while isinstance(component, functools.partial):
        component = component.func
    begin = {_came_with[f"{kind}/{name}"]} if f"{kind}/{name}" in _came_with else set()
    if str(getattr(component, "__module__", "")).partition(".")[0] != "dlkd":
        with contextlib.suppress(TypeError):  # no file: made by compiled code
            file = Path(inspect.getsourcefile(component) or "").resolve()
            begin |= {file} if file.is_file() and not installed(file) else set()
    return {file for start in begin for file in sources(start)}


def get(kind: str, name: str) -> Any:
    """The component registered as `kind/name`. Raises ConfigError with the nearest name where there is none."""
    load_components()
    key = f"{kind}/{name}"
    if key not in _COMPONENTS:
        message = f"unknown {kind} '{name}'{nearest(name, list_components(kind))}"
        raise ConfigError([Problem("registry", 0, (), message)])
    return _COMPONENTS[key]


def list_components(kind: str | None = None) -> list[str]:
    """Names of all components as "kind/name", or the bare names of one kind, sorted."""
    load_components()
    if kind is None:
        return sorted(_COMPONENTS)
    return sorted(key.split("/", 1)[1] for key in _COMPONENTS if key.split("/", 1)[0] == kind)


class RowPreset(pydantic.BaseModel):
    """What a preset means for a model; all of it holds where nobody says otherwise.

    Attributes:
        model: arguments of the model.
        train: of the training.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    model: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Row(pydantic.BaseModel):
    """A component's row in registry.yaml.

    Attributes:
        shape: einops-style contract, see `dlkd.contract.Shape`.
        requires: rule on each axis, see `dlkd.contract.Rule`.
        defaults: arguments where a variant says nothing.
        slots: arguments that take another component, with its kind. "loss*" takes any number of losses by names of
            one's own.
        given: arguments that the enclosing component gives, with the axes (or numbers) a check gives them.
        follows: arguments that belong to the value of another one, as weights to their backbone: what a preset says
            of them falls away where somebody gives the other one another value.
        check_with: arguments for the contract check only, such as a small backbone.
        presets: what each preset of the training means for this component, where it is a model.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    shape: str | None = None
    requires: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    slots: dict[str, str] = {}
    given: dict[str, Any] = {}
    follows: dict[str, str] = {}
    check_with: dict[str, Any] = {}
    presets: dict[str, RowPreset] = {}

    @pydantic.field_validator("shape")
    @classmethod
    def _shape_parses(cls, text: str | None) -> str | None:
        if text is not None:
            Shape.parse(text)
        return text

    @pydantic.field_validator("requires")
    @classmethod
    def _rules_parse(cls, rules: dict[str, str]) -> dict[str, str]:
        for rule in rules.values():
            Rule(rule)
        return rules


@dataclass(frozen=True)
class Registry:
    """Component rows and variants of one or more files, all checked."""

    rows: dict[str, Row]
    variants: dict[str, Node]
    default_model: str = ""
    """The model of a variant that names none."""
    _sources: dict[str, LocatedYaml] = field(repr=False, default_factory=dict)
    _possible: set[str] = field(repr=False, default_factory=set)
    """What was built without memory before: most nodes of a grid's rows and a search's settings are the same."""

    def row(self, kind: str, name: str) -> Row:
        """The row of `kind/name`; an empty one for a component that no file describes."""
        return self.rows.get(f"{kind}/{name}", Row())

    def resolve(
        self,
        variant: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        preset: str = "",
        under: Mapping[str, Any] | None = None,
        source: LocatedYaml | None = None,
        path: KeyPath = (),
    ) -> Node:
        """The variant with every name and argument spelled out, as plain data.

        Args:
            variant: name of a variant.
            overrides: merged over it, nested as in YAML.
            preset: name of one. What the model's row says of it holds where neither the variant, nor what it extends,
                nor `overrides` say anything, before the rows' defaults. A component of another name takes nothing
                from it.
            under: arguments of the model that hold in the same way, over those of the preset.
            source: the file in which the overrides stand, for messages and for relative paths.
            path: where they stand in it.

        Raises:
            ConfigError: the variant or anything in `overrides` is unknown, of a wrong type or impossible.
        """
        if variant not in self.variants:
            message = f"unknown variant '{variant}'{nearest(variant, self.variants)}"
            where = Problem("registry", 0, (), message)
            raise ConfigError([where if source is None else source.problem((*path[:-1], "variant"), message)])
        checker = _Checker(self)
        place: KeyPath = ("variants", variant)
        stands = self._sources.get(variant, LocatedYaml("registry", {}))
        node, said = checker.variant(variant, stands)
        if overrides:
            over = dict(overrides)
            stands = source or LocatedYaml("overrides", over, dict.fromkeys([(), *_paths(over)], 0))
            place = path
            node, said = checker.complete("model", merge(node, over), stands, path), _said(said, node, over)
        if checker.problems:
            raise ConfigError(checker.problems)
        if lies := merge(self.preset(node, preset).model, dict(under or {})):
            more = self._unsaid("model", node, lies, said, ())
            node = checker.complete("model", merge(node, more), LocatedYaml("preset", more), ())
            if checker.problems:
                raise ConfigError(checker.problems)
        problems = checker.impossible("model", node, stands, place)
        if problems:
            raise ConfigError(problems)
        return node

    def preset(self, node: Mapping[str, Any], name: str) -> RowPreset:
        """What a preset means for a model node."""
        return self.row("model", node["model"]).presets.get(name, RowPreset())

    def _unsaid(self, kind: str, node: Node, under: Mapping[str, Any], said: set[KeyPath], path: KeyPath) -> Node:
        """What of `under`, a node of the same component as `node`, holds there, since nobody said otherwise."""
        name = node[name_key(kind)]
        row = self.row(kind, name)
        known = arguments(get(kind, name), row)
        found: Node = {}
        for key, value in under.items():
            place = (*path, key)
            leading = row.follows.get(key, "")
            if key == name_key(kind):
                continue
            if (*path, leading) in said and node[leading] != under.get(leading, node[leading]):
                continue
            if key not in row.slots or row.slots[key].endswith(MANY) or not isinstance(node.get(key), dict):
                if not any(p[: len(place)] == place for p in said):
                    found[key] = value
                continue
            inside = value if isinstance(value, Mapping) else {name_key(row.slots[key]): value}
            default = _default_name(row.slots[key], known[key])
            if inside.get(name_key(row.slots[key]), default) == node[key][name_key(row.slots[key])]:
                found[key] = self._unsaid(row.slots[key], node[key], inside, said, place)
            elif not any(p[: len(place)] == place for p in said):
                found[key] = value
        return found

    def anchored(self, kind: str, name: str, given: Node, folder: Path) -> Node:
        """Arguments of a component as they stand in a file of `folder`, with their paths absolute, however deep."""
        component, row = get(kind, name), self.row(kind, name)
        hints, known = type_hints(component), arguments(component, row)
        found = dict(given)
        for key, value in given.items():
            if is_path(hints.get(python_name(key)), value):
                found[key] = absolute(value, folder)
            elif key in row.slots and row.slots[key].endswith(MANY) and isinstance(value, dict):
                kind_of = row.slots[key].removesuffix(MANY)
                found[key] = {
                    name: self.anchored(kind_of, str(one.get("name")), one, folder)
                    if isinstance(one, dict) and one.get("name") in list_components(kind_of)
                    else one
                    for name, one in value.items()
                }
            elif key in row.slots and key in known and isinstance(value, dict):
                slot = row.slots[key]
                inside = value.get(name_key(slot), _default_name(slot, known[key]))
                if inside in list_components(slot):
                    found[key] = self.anchored(slot, str(inside), value, folder)
        return found

    def build(self, kind: str, node: Mapping[str, Any], **given: Any) -> Any:
        """The component that a resolved node describes.

        Args:
            kind: its kind.
            node: name and arguments, as `resolve` or `complete` return them.
            given: what the enclosing component would give.
        """
        return self._factory(kind, node)(**given)

    def complete(self, kind: str, node: Mapping[str, Any] | str) -> Node:
        """A node of any kind (a dataset, say) checked and with its defaults filled in.

        Raises:
            ConfigError: a name or argument is unknown or of a wrong type.
        """
        checker = _Checker(self)
        plain = {name_key(kind): node} if isinstance(node, str) else dict(node)
        full = checker.complete(kind, plain, LocatedYaml(f"{kind} {plain.get(name_key(kind), '')}".strip(), plain), ())
        if checker.problems:
            raise ConfigError(checker.problems)
        return full

    def _factory(self, kind: str, node: Mapping[str, Any]) -> Callable[..., Any]:
        name = node[name_key(kind)]
        slots = self.row(kind, name).slots
        given: dict[str, Any] = {}
        for key, value in node.items():
            if key == name_key(kind):
                continue
            if key in slots and slots[key].endswith(MANY):
                kind_of = slots[key].removesuffix(MANY)
                value = {name: self._factory(kind_of, each) for name, each in (value or {}).items()}
            elif key in slots:
                value = None if value is None else self._factory(slots[key], value)
            given[python_name(key)] = value
        component = get(kind, name)
        return functools.partial(component, **given) if given else typing.cast(Callable[..., Any], component)


def load_registry(*files: Path) -> Registry:
    """The packaged registry.yaml, with the user's files after it (or the packaged one among them).

    Raises:
        ConfigError: all problems of all files, each with file, line and key path.
    """
    load_components()
    packaged = importlib.resources.files("dlkd").joinpath("registry.yaml")
    own = [f for f in files if expanded(f).resolve() != Path(str(packaged)).resolve()]
    documents = [parse_yaml(packaged.read_text(encoding="utf-8"), "registry.yaml"), *map(read_yaml, own)]
    rows: dict[str, Row] = {}
    variants: dict[str, Node] = {}
    sources: dict[str, LocatedYaml] = {}
    row_sources: dict[str, LocatedYaml] = {}
    problems: list[Problem] = []
    default_model = ""
    for document in documents:
        problems += document.problems
        if not isinstance(document.data, dict):
            problems.append(document.problem((), "expected the keys 'components' and 'variants'"))
            continue
        for key, section in document.data.items():
            if key == "default_model" and document is documents[0]:
                default_model = section
                continue
            if key not in ("components", "variants"):
                problems.append(document.problem((key,), f"unknown key{nearest(key, ('components', 'variants'))}"))
                continue
            if not isinstance(section, dict):
                problems.append(document.problem((key,), "expected a mapping from names"))
                continue
            for name, value in section.items():
                taken = name in (rows if key == "components" else variants)
                if taken and document is not documents[0]:
                    problems.append(document.problem((key, name), f"'{name}' is taken already; give another name"))
                elif key == "components":
                    row, wrong = _read_row(name, value, document)
                    problems += wrong
                    rows[name] = row
                    if not wrong:
                        row_sources[name] = document
                elif isinstance(value, dict):
                    variants[name] = value
                    sources[name] = document
                else:
                    problems.append(document.problem((key, name), "expected a mapping of arguments"))
    registry = Registry(rows, variants, default_model, sources)
    checker = _Checker(registry)
    for name, document in row_sources.items():
        kind, _, bare = name.partition("/")
        # Here, since a variant of another file may leave them as they are.
        rows[name].defaults = registry.anchored(kind, bare, rows[name].defaults, document.folder)
        for preset in rows[name].presets.values():
            preset.model = registry.anchored(kind, bare, preset.model, document.folder)
        checker.defaults(name, document)
    for name in variants:
        checker.variant(name, sources[name])
    problems += checker.problems
    if not problems:
        # The packaged variants are tried by the tests; what a child inherits whole is its parent's problem.
        for name, source in sources.items():
            if source is not documents[0]:
                tried = checker.impossible("model", checker.variant(name, source)[0], source, ("variants", name))
                problems += [p for p in tried if p.path in source.lines]
    if problems:
        raise ConfigError(problems)
    return registry


@functools.cache
def default_registry() -> Registry:
    """The packaged registry, read once a process."""
    return load_registry()


def create_model(name: str, *, registry: Registry | None = None, **overrides: Any) -> torch.nn.Module:
    """The model of a variant, `create_model("dlkd", decoder={"global": None})`.

    Raises:
        ConfigError: the variant or an override is unknown, of a wrong type or impossible.
    """
    registry = registry or default_registry()
    model: torch.nn.Module = registry.build("model", registry.resolve(name, overrides))
    return model


def list_variants(registry: Registry | None = None) -> list[str]:
    """Names of the variants, in the order of the files."""
    return list((registry or default_registry()).variants)


class _Checker:
    """Completes nodes with defaults and collects what is wrong with them."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.problems: list[Problem] = []
        self._done: dict[str, tuple[Node, set[KeyPath]]] = {}

    def variant(self, name: str, source: LocatedYaml | None, chain: tuple[str, ...] = ()) -> tuple[Node, set[KeyPath]]:
        """A variant with its `extends` followed and everything spelled out, and the paths of what it says itself."""
        if name in self._done:
            return self._done[name]
        source = self.registry._sources.get(name) or source or LocatedYaml("registry", {})
        own = dict(self.registry.variants[name])
        path: KeyPath = ("variants", name)
        parent = own.pop("extends", None)
        if parent is not None:  # a name may be a number to YAML: it is taken as it was written
            parent = source.texts.get((*path, "extends"), parent)
        base: Node = {}
        said: set[KeyPath] = set()
        if parent in (*chain, name):
            cycle = " -> ".join((*chain, name, str(parent)))
            self.problems.append(source.problem((*path, "extends"), f"'extends' runs in a circle: {cycle}"))
        elif parent is not None and (not isinstance(parent, str) or parent not in self.registry.variants):
            known = nearest(str(parent), [v for v in self.registry.variants if v != name])
            self.problems.append(source.problem((*path, "extends"), f"unknown variant '{parent}'{known}"))
        elif parent is not None:
            base, said = self.variant(parent, None, (*chain, name))
        node = self.complete("model", merge(base, own), source, path)
        self._done[name] = node, _said(said, base, own)
        return self._done[name]

    def complete(self, kind: str, node: Any, source: LocatedYaml, path: KeyPath) -> Node:
        """A node with its defaults filled in; problems go to `self.problems`."""
        key_of_name = name_key(kind)
        if isinstance(node, str):
            node = {key_of_name: node}
        if not isinstance(node, dict):
            self._wrong(source, path, f"expected a {kind}'s name or a mapping, got {node!r}")
            return {}
        name = node.get(key_of_name, self.registry.default_model if kind == "model" else None)
        if name not in list_components(kind):
            message = f"unknown {kind} '{name}'" if name else f"a {kind} needs a '{key_of_name}'"
            self._wrong(source, (*path, key_of_name), message + nearest(str(name), list_components(kind)))
            return {key_of_name: name}
        component = get(kind, name)
        row = self.registry.row(kind, name)
        known = {} if kind in PLAIN_KINDS else arguments(component, row)
        full: Node = {key_of_name: name}
        for key in node:
            if key == key_of_name:
                continue
            if key not in known:
                hint = (
                    f"; {kind}/{name} is given it by what encloses it"
                    if python_name(key) in row.given
                    else nearest(key, known)
                )
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
        """Check the defaults that the row of the component `name` states, and what presets mean for it."""
        kind, _, bare = name.partition("/")
        component, row = get(kind, bare), self.registry.rows[name]
        known = arguments(component, row)
        for key, value in row.defaults.items():
            path = ("components", name, "defaults", key)
            if key in row.slots:
                self._slot(row.slots[key], value, known[key], source, path)
            else:
                self._typed(component, key, value, source, path)
        for preset, own in row.presets.items():
            place = ("components", name, "presets", preset, "model")
            self.complete(kind, {name_key(kind): bare, **own.model}, source, place)

    def impossible(self, kind: str, node: Node, source: LocatedYaml, path: KeyPath) -> list[Problem]:
        """What constructors refuse though its type is right (three patches, say), tried without memory."""
        problems: list[Problem] = []
        tried = f"{kind} {json.dumps(node, sort_keys=True, default=repr)}"
        if tried in self.registry._possible:
            return []
        name = node[name_key(kind)]
        row = self.registry.row(kind, name)
        for inner_kind, inner, inside in inner_nodes(row, node):
            problems += self.impossible(inner_kind, inner, source, (*path, *inside))
        if problems:
            return problems
        given = {k: example_value(v, row) for k, v in row.given.items()}
        try:
            with torch.device("meta"), _NoDraws():
                self.registry.build(kind, weightless(node), **given)
            self.registry._possible.add(tried)
        except ValueError as error:
            problems.append(source.problem(path, str(error)))
        except Exception as error:  # whatever a constructor makes of a value that it did not foresee
            message = f"{kind}/{name} cannot be built: {type(error).__name__}: {error}"
            problems.append(source.problem(path, message))
        return problems

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
            value = {name_key(kind): _registered_name(kind, value), **settings}
        elif isinstance(value, dict) and name_key(kind) not in value and parameter.default is not None:
            value = {name_key(kind): _default_name(kind, parameter), **value}
        return self.complete(kind, value, source, path)

    def _slots(self, kind: str, value: Any, source: LocatedYaml, path: KeyPath) -> Node | None:
        """Components by names of one's own; `none` leaves out one that the variant below has."""
        if value in (None, "none"):
            return None
        if not isinstance(value, Mapping):
            self._wrong(source, path, f"expected names with a {kind} each, got {value!r}")
            return {}
        given = {name: one for name, one in value.items() if one not in (None, "none")}
        return {name: self.complete(kind, one, source, (*path, name)) for name, one in given.items()}

    def _typed(self, component: Any, key: str, value: Any, source: LocatedYaml, path: KeyPath) -> Any:
        annotation = type_hints(component).get(python_name(key), Any)
        if isinstance(value, tuple):
            value = list(value)
        try:
            typed = type_adapter(annotation).validate_python(value, strict=True)
            value = typed if isinstance(typed, float) else value  # 2 and 2.0 are one setting
        except pydantic.ValidationError as error:
            expected = "; ".join(dict.fromkeys(e["msg"].removeprefix("Input should be ") for e in error.errors()))
            self._wrong(source, path, f"expected {expected}, got {value!r}")
        if not _finite(value):
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


class _NoDraws(TorchFunctionMode):
    """Leaves out the drawing of first weights: on the meta device there are none, and it takes half of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every function as it is, but those that draw in place, which give their tensor back."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init" or getattr(func, "__name__", "") in (
            "normal_",
            "uniform_",
        ):
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def inner_nodes(row: Row, node: Mapping[str, Any]) -> Iterator[tuple[str, Node, KeyPath]]:
    """Kind, node and path of each component in the slots of a complete node."""
    for key, slot in row.slots.items():
        inside = node.get(key)
        if isinstance(inside, dict) and slot.endswith(MANY):
            yield from ((slot.removesuffix(MANY), each, (key, name)) for name, each in inside.items())
        elif isinstance(inside, dict):
            yield slot, inside, (key,)


def weightless(node: Node) -> Node:
    """The node with teachers that look for no pretrained weights: a check needs none, and they may not be at hand."""
    plain = {k: weightless(v) if isinstance(v, dict) else v for k, v in node.items()}
    return plain | {"weights": "random"} if isinstance(plain.get("weights"), str) else plain


def example_value(spec: Any, row: Row, names: Mapping[str, int] | None = None) -> Any:
    """A number for a `given:` entry: an axis' size in `names` (default: a size its rule allows), or itself."""
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return [example_value(s, row, names) for s in spec]
    if isinstance(spec, str):
        if names is not None:
            return names[spec]
        return next((c for c in (64, 48, 3, 1) if Rule(row.requires.get(spec, ">= 1")).holds(c)), 64)
    return spec


def _read_row(name: str, value: Any, document: LocatedYaml) -> tuple[Row, list[Problem]]:
    path: KeyPath = ("components", name)
    kind, _, bare = name.partition("/")
    if name not in list_components():
        return Row(), [
            document.problem(path, f"no component is registered as '{name}'{nearest(name, list_components())}")
        ]
    try:
        row = Row.model_validate(value or {})
    except pydantic.ValidationError as error:
        return Row(), [document.problem((*path, *e["loc"]), _row_message(e, Row.model_fields)) for e in error.errors()]
    problems = []
    kinds = sorted({key.split("/")[0] for key in list_components()})
    known = arguments(get(kind, bare), row)
    for section in ("defaults", "check_with", "slots"):
        for key in getattr(row, section):
            if key not in known:
                message = f"{name} has no argument '{key}'{nearest(key, known)}"
                problems.append(document.problem((*path, section, key), message))
    for key, slot in row.slots.items():
        if slot.removesuffix(MANY) not in kinds:
            problems.append(document.problem((*path, "slots", key), f"unknown kind '{slot}'{nearest(slot, kinds)}"))
    return row, problems


def _row_message(error: Any, known: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(error['loc'][0]), known)}"
    return str(error["msg"]).removeprefix("Value error, ")


def arguments(component: Any, row: Row) -> dict[str, inspect.Parameter]:
    """Arguments that YAML may set, by the name YAML uses: all but what the enclosing component gives."""
    parameters = inspect.signature(component).parameters
    return {
        name.removesuffix("_") if keyword.iskeyword(name.removesuffix("_")) else name: parameter
        for name, parameter in parameters.items()
        if name not in row.given and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


@functools.cache
def type_hints(component: Any) -> dict[str, Any]:
    """Annotations of a component's constructor (or of a function)."""
    target = component.__init__ if inspect.isclass(component) else component
    return typing.get_type_hints(target)


@functools.cache
def type_adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """What checks a value against an annotation."""
    return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))


def is_path(annotation: Any, value: Any) -> bool:
    """Whether a value is a path: the annotation takes paths, and the value is none of the words that it lists too."""
    options = typing.get_args(annotation)
    paths = [
        o
        for o in options
        if inspect.isclass(typing.get_origin(o) or o) and issubclass(typing.get_origin(o) or o, PathLike)
    ]
    words = {word for o in options if typing.get_origin(o) is typing.Literal for word in typing.get_args(o)}
    return isinstance(value, str) and bool(paths) and value not in words


def optional(parameter: inspect.Parameter) -> bool:
    """Whether a slot may stay empty: its annotation says `| None`, or None is its default."""
    return parameter.default is None or "None" in str(parameter.annotation)


def _default_name(kind: str, parameter: inspect.Parameter) -> str | None:
    """Name of the component that a slot holds where nothing is said of it."""
    return _registered_name(kind, parameter.default) if callable(parameter.default) else None


def _registered_name(kind: str, component: Any) -> str:
    while isinstance(component, functools.partial):
        component = component.func
    for key, registered in _COMPONENTS.items():
        if registered is component and key.startswith(f"{kind}/"):
            return key.split("/", 1)[1]
    raise ValueError(f"{_place(component)} is the default of a {kind} slot but not registered as a {kind}")


def merge(base: Node, over: Node) -> Node:
    """`over` laid on `base`, mappings key by key; a component of another name takes nothing from the old one.

    A bare name stands for that component with its defaults.
    """
    if _renamed("model", base, over):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = dict(value) if _renamed("name", old, value) else merge(old, value)
        else:
            merged[key] = value
    return merged


def _renamed(key: str, old: Node, over: Node) -> bool:
    return key in over and over[key] != old.get(key) and (key != "model" or key in old)


def _said(said: set[KeyPath], base: Node, over: Node) -> set[KeyPath]:
    """Paths of the values that somebody has said, once `over` lies on `base`, of which `said` was said before.

    A component's name says nothing of its arguments, and replaces what was said of those before.
    """
    found: set[KeyPath] = set() if _renamed("model", base, over) else set(said)
    for key, value in over.items():
        old = base.get(key)
        inside = {p[1:] for p in found if p[0] == key and len(p) > 1}
        found = {p for p in found if p[0] != key}
        if isinstance(value, dict):
            kept = isinstance(old, dict) and not _renamed("name", old, value)
            inside = _said(inside if kept else set(), (old or {}) if kept else {}, value)
            found |= {(key, *p) for p in inside}
        found.add((key,))
    return found


def _paths(data: Mapping[str, Any], path: KeyPath = ()) -> list[KeyPath]:
    found: list[KeyPath] = []
    for key, value in data.items():
        found.append((*path, key))
        if isinstance(value, Mapping):
            found += _paths(value, (*path, key))
    return found


def name_key(kind: str) -> str:
    """A variant says `model: dlkd`, since its own name stands above it; everything else says `name:`."""
    return "model" if kind == "model" else "name"


def python_name(key: str) -> str:
    """YAML's `global` is Python's `global_`."""
    return f"{key}_" if keyword.iskeyword(key) else key


def _place(component: Any) -> str:
    module = sys.modules.get(str(getattr(component, "__module__", "")))
    if module is not None and module.__name__.startswith(PREFIX):
        return f"{getattr(component, '__qualname__', repr(component))} of {module.__file__}"
    return f"{getattr(component, '__module__', '?')}.{getattr(component, '__qualname__', repr(component))}"
