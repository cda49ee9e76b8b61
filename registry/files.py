"""Registry files: the packaged one and the user's, read and checked as one registry."""

from __future__ import annotations

import fnmatch
import functools
import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from dlkd.contract import Shape
from dlkd.machine import expanded
from dlkd.registry.components import get, list_components, load_components, load_file
from dlkd.registry.located_yaml import LocatedYaml, parse_yaml, read_yaml
from dlkd.registry.nodes import VARIANT_KIND, Node, merge, name_key, python_name
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.registry.resolve import Registry
from dlkd.registry.rows import MANY, Row, words
from dlkd.registry.signatures import arguments

if TYPE_CHECKING:
    from importlib.abc import Traversable

    from torch import nn

SECTIONS = ("components", "variants")
DEFAULT_MODEL = "default_model"
PACKAGED = "registry.yaml"


def load_registry(*files: Path, whole: bool = False) -> Registry:
    """The packaged registry.yaml, with the user's files after it (or the packaged one among them).

    Args:
        files: of the user.
        whole: check the packaged rows and variants too, as the tests do. Without it, and without files of the user,
            no component is imported.

    Raises:
        ConfigError: all problems of all files, each with file, line and key path.

    >>> registry = load_registry()
    >>> registry.rows["block/gfrb"].requires
    {'c': 'multiple of 4', 'h': '>= 2', 'w': '>= 2'}
    """
    shipped = parse_yaml(_packaged().read_text(encoding="utf-8"), PACKAGED, own=True)
    documents = [shipped, *(read_yaml(f) for f in files if not _is_packaged(f))]
    unchecked = None if whole else shipped
    if whole or documents[1:]:
        load_components()
    contents = _Contents()
    for document in documents:
        contents.add(document, own=document is not shipped, check=document is not unchecked)
    registry = Registry(
        contents.rows, contents.variants, contents.default_model, contents.sources, contents.row_sources
    )
    # What a child inherits whole is its parent's problem.
    rows, variants = (
        {name: source for name, source in sources.items() if source is not unchecked}
        for sources in (contents.row_sources, contents.sources)
    )
    problems = contents.problems + _wrong_nodes(registry, rows, variants)
    if not problems:
        problems = registry.impossible_variants(variants)
    if problems:
        raise ConfigError(problems)
    return registry


@dataclass
class _Contents:
    """The contents of the files, with the file of each row and variant."""

    rows: dict[str, Row] = field(default_factory=dict)
    variants: dict[str, Node] = field(default_factory=dict)
    sources: dict[str, LocatedYaml] = field(default_factory=dict)
    row_sources: dict[str, LocatedYaml] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    default_model: str = ""

    def add(self, document: LocatedYaml, *, own: bool, check: bool) -> None:
        """Add a file's rows and variants; names in a user's own file must not be in use already."""
        self.problems += document.problems
        if not isinstance(document.data, dict):
            self.problems.append(document.problem((), "expected the keys 'components' and 'variants'"))
            return
        for key, section in document.data.items():
            if key == DEFAULT_MODEL and not own:
                self.default_model = section
            elif key not in SECTIONS:
                self.problems.append(document.problem((key,), f"unknown key{nearest(key, SECTIONS)}"))
            elif not isinstance(section, dict):
                self.problems.append(document.problem((key,), "expected a mapping from names"))
            else:
                for name, value in section.items():
                    self._add_one(key, name, value, document, own, check)

    def _add_one(self, section: str, name: str, value: Any, document: LocatedYaml, own: bool, check: bool) -> None:
        if own and name in (self.rows if section == "components" else self.variants):
            self.problems.append(document.problem((section, name), f"'{name}' is in use already; choose another name"))
        elif section == "components":
            row, wrong = _read_row(name, value, document) if check else (Row.model_validate(value), [])
            self.problems += wrong
            self.rows[name] = row
            if not wrong:
                self.row_sources[name] = document
        elif isinstance(value, dict):
            self.variants[name] = value
            self.sources[name] = document
        else:
            self.problems.append(document.problem((section, name), "expected a mapping of arguments"))


def _wrong_nodes(
    registry: Registry, rows: Mapping[str, LocatedYaml], variants: Mapping[str, LocatedYaml]
) -> list[Problem]:
    """Problems in the defaults of rows and in variants, each by name with its file; makes paths in the defaults
    absolute."""
    checker = registry.checker()
    for name, document in rows.items():
        kind, _, bare = name.partition("/")
        # Here, since a variant of another file may leave them as they are.
        row = registry.rows[name]
        row.defaults = registry.anchored(kind, bare, row.defaults, document.folder)
        for preset in row.presets.values():
            preset.model = registry.anchored(kind, bare, preset.model, document.folder)
        checker.defaults(name, document)
    for name, source in variants.items():
        checker.variant(name, source)
    return checker.problems


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
    problems = [document.problem((*path, *where), message) for where, message in _unused(row, get(kind, bare))]
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


def _unused(row: Row, component: Any) -> Iterator[tuple[KeyPath, str]]:
    """Path and message of each unknown name in a row, which would have no effect."""
    known = arguments(component, Row())
    named = [(("given", key), key) for key in row.given]
    named += [(("follows", key), name) for pair in row.follows.items() for key in pair[:1] for name in pair]
    for path, name in named:
        if python_name(name) not in map(python_name, known):
            yield path, f"there is no argument '{name}'{nearest(name, known)}"
    if row.shape is None:
        if row.expected_failures:
            yield ("expected_failures",), "a row without `shape:` has no contract that could fail"
        return
    axes = {*Shape.parse(row.shape).names(), *words(list(row.given.values()))}
    for axis in row.requires:
        if axis not in axes:
            yield ("requires", axis), f"no axis of `shape:` or `given:` is called '{axis}'{nearest(axis, axes)}"


def _row_message(error: Any, known: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(error['loc'][0]), known)}"
    return str(error["msg"]).removeprefix("Value error, ")


def read_registry(files: Iterable[Path] | None = (), imports: Iterable[Path] | None = ()) -> Registry:
    """The registry with the user's own files, once the Python files `imports` have registered their components.

    Raises:
        ConfigError: all problems of all files, each with file, line and key path.
    """
    for path in imports or ():
        load_file(path)
    return load_registry(*files) if files else default_registry()


def names_of(registry: Registry, file: Path) -> tuple[list[str], list[str]]:
    """Names of the components and of the variants that one of a registry's files holds; the file is not read again."""
    stands = PACKAGED if _is_packaged(file) else str(expanded(file))
    rows = [name for name, source in registry._row_sources.items() if source.file == stands]
    return rows, [name for name, source in registry._sources.items() if source.file == stands]


def _packaged() -> Traversable:
    return importlib.resources.files("dlkd").joinpath(PACKAGED)


def _is_packaged(file: Path) -> bool:
    return expanded(file).resolve() == Path(str(_packaged())).resolve()


@functools.cache
def default_registry() -> Registry:
    """The packaged registry, read once per process."""
    return load_registry()


def create_model(
    variant: str, arguments: Mapping[str, Any] | None = None, /, *, registry: Registry | None = None, **overrides: Any
) -> nn.Module:
    """The model of a variant, untrained: a `Detector` with the arguments of the paper.

    Args:
        variant: one of `list_variants()`.
        arguments: laid over the variant, nested as in YAML.
        registry: has the variant; default the packaged one.
        overrides: the same as keywords, laid over `arguments`.

    Raises:
        ConfigError: the variant or an override is unknown, of a wrong type or impossible.

    >>> from dlkd import create_model
    >>> teacher = {"backbone": "test_resnet", "weights": "random"}
    >>> model = create_model("dlkd", {"decoder": {"global": None}}, teacher=teacher)
    """
    registry = registry or default_registry()
    given = merge(dict(arguments or {}), overrides, name_key(VARIANT_KIND))
    model: nn.Module = registry.build(VARIANT_KIND, registry.resolve(variant, given))
    return model


def list_variants(filter: str = "", *, registry: Registry | None = None) -> list[str]:
    """Names of the variants, in the order of the files.

    Args:
        filter: only those that match this pattern, such as "dlkd-*prl", or, without `*`, `?` and `[`, hold this text.
        registry: default the packaged one.

    >>> from dlkd import list_variants
    >>> list_variants("*-lfrb")
    ['dlkd-lfrb']
    """
    names = list((registry or default_registry()).variants)
    pattern = filter if any(mark in filter for mark in "*?[") else f"*{filter}*"
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]
