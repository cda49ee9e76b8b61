"""The registry: rows and variants; this module turns a variant's YAML into a model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlkd.registry.build import factory
from dlkd.registry.built import remember_built, was_built
from dlkd.registry.checker import Checker
from dlkd.registry.components import get, list_components
from dlkd.registry.located_yaml import LocatedYaml, absolute
from dlkd.registry.nodes import VARIANT_KIND, Node, key_paths, merge, name_key, python_name, said_paths
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.registry.rows import MANY, Row, RowPreset, at, row_of
from dlkd.registry.signatures import arguments, default_name, is_path, type_hints


@dataclass(frozen=True)
class Registry:
    """Component rows and variants of one or more files, all checked."""

    rows: dict[str, Row]
    variants: dict[str, Node]
    default_model: str = ""
    """The model of a variant that names none."""
    _sources: dict[str, LocatedYaml] = field(repr=False, default_factory=dict)
    _row_sources: dict[str, LocatedYaml] = field(repr=False, default_factory=dict)
    _possible: set[str] = field(repr=False, default_factory=set)
    """What was built without memory before: most nodes of a grid's rows and a search's settings are the same."""

    def row(self, kind: str, name: str) -> Row:
        """The row of `kind/name`; an empty one for a component that no file describes."""
        return row_of(self.rows, kind, name)

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
        """The variant with all names and arguments filled in, as plain data.

        Args:
            variant: name of a variant.
            overrides: merged over it, nested as in YAML.
            preset: name of a preset. Its arguments in the model's row win over the rows' defaults, and lose to the
                variant, to the variants that it extends and to `overrides`. A component of another name inherits
                nothing from the preset.
            under: arguments of the model with the same low priority, winning over those of the preset.
            source: the file of the overrides, for messages and for relative paths.
            path: path of the overrides in that file.

        Raises:
            ConfigError: the variant or anything in `overrides` is unknown, of a wrong type or impossible.

        >>> from dlkd.registry import default_registry
        >>> default_registry().resolve("dlkd", {"refiner": {"depth": 1}})["refiner"]["depth"]
        1
        """
        if variant not in self.variants:
            message = f"unknown variant '{variant}'{nearest(variant, self.variants)}"
            where = Problem("registry", 0, (), message)
            raise ConfigError([where if source is None else source.problem((*path[:-1], "variant"), message)])
        checker = self.checker()
        place: KeyPath = ("variants", variant)
        stands = self._sources.get(variant, LocatedYaml("registry", {}))
        node, said = checker.variant(variant, stands)
        key = name_key(VARIANT_KIND)
        if overrides:
            over = dict(overrides)
            stands = source or LocatedYaml("overrides", over, dict.fromkeys([(), *key_paths(over)], 0))
            place, said = path, said_paths(said, node, over, key)
            node = checker.complete(VARIANT_KIND, merge(node, over, key), stands, path)
        lies = {} if checker.problems else merge(self.preset(node, preset).model, dict(under or {}))
        if lies:
            more = self._unsaid(VARIANT_KIND, node, lies, said, ())
            node = checker.complete(VARIANT_KIND, merge(node, more, key), LocatedYaml("preset", more), ())
        problems = checker.problems or self._impossible(node, stands, place)
        if problems:
            raise ConfigError(problems)
        return node

    def preset(self, node: Mapping[str, Any], name: str) -> RowPreset:
        """The arguments of a preset for a model node."""
        return self.row(VARIANT_KIND, node[name_key(VARIANT_KIND)]).presets.get(name, RowPreset())

    def row_source(self, name: str) -> LocatedYaml:
        """The file with the row of the component `name`, for messages."""
        return self._row_sources.get(name, LocatedYaml(f"row of {name}", {}))

    def shown(self, node: Mapping[str, Any]) -> str:
        """The text with which reports describe a model node, as its row says: "teacher resnet18.tv_in1k"."""
        row = self.row(VARIANT_KIND, node[name_key(VARIANT_KIND)])
        found = []
        for name, path in row.shown.items():
            with contextlib.suppress(KeyError):  # a variant may have something else in that slot
                found.append(f"{name} {at(node, path)}")
        return ", ".join(found)

    def checker(self) -> Checker:
        """A checker of nodes against these rows and variants."""
        return Checker(self.rows, self.variants, self._sources, self.default_model)

    def _impossible(self, node: Node, source: LocatedYaml, path: KeyPath) -> list[Problem]:
        if was_built(self.rows, VARIANT_KIND, node):
            return []
        from dlkd.registry.possible import impossible  # loads PyTorch

        problems = impossible(self.rows, VARIANT_KIND, node, source, path, self._possible)
        if not problems:
            remember_built(self.rows, VARIANT_KIND, node)
        return problems

    def impossible_variants(self, sources: Mapping[str, LocatedYaml]) -> list[Problem]:
        """Values in variants that constructors refuse; a value that a variant does not set itself is its parent's
        problem."""
        checker = self.checker()
        problems: list[Problem] = []
        for name, source in sources.items():
            tried = self._impossible(checker.variant(name, source)[0], source, ("variants", name))
            problems += [p for p in tried if p.path in source.lines]
        return problems

    def _unsaid(self, kind: str, node: Node, under: Mapping[str, Any], said: set[KeyPath], path: KeyPath) -> Node:
        """The part of `under`, a node of the same component as `node`, that applies because nothing else sets it."""
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
            default = default_name(row.slots[key], known[key])
            if inside.get(name_key(row.slots[key]), default) == node[key][name_key(row.slots[key])]:
                found[key] = self._unsaid(row.slots[key], node[key], inside, said, place)
            elif not any(p[: len(place)] == place for p in said):
                found[key] = value
        return found

    def anchored(self, kind: str, name: str, given: Node, folder: Path) -> Node:
        """Arguments of a component in a file of `folder`, with all paths in it made absolute."""
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
                inside = value.get(name_key(slot), default_name(slot, known[key]))
                if inside in list_components(slot):
                    found[key] = self.anchored(slot, str(inside), value, folder)
        return found

    def build(self, kind: str, node: Mapping[str, Any], **given: Any) -> Any:
        """The component that a resolved node describes.

        Args:
            kind: kind of the component.
            node: name and arguments, as `resolve` or `complete` return them.
            given: arguments that the enclosing component would give.

        >>> from dlkd.registry import default_registry
        >>> block = default_registry().build("block", {"name": "lfrb", "patches": 1}, channels=8)
        >>> type(block).__name__, block.patches
        ('LFRB', 1)
        """
        return factory(self.rows, kind, node)(**given)

    def complete(self, kind: str, node: Mapping[str, Any] | str) -> Node:
        """A node of any kind (a dataset, say) checked and with its defaults filled in.

        Raises:
            ConfigError: a name or argument is unknown or of a wrong type.
        """
        checker = self.checker()
        plain = {name_key(kind): node} if isinstance(node, str) else dict(node)
        full = checker.complete(kind, plain, LocatedYaml(f"{kind} {plain.get(name_key(kind), '')}".strip(), plain), ())
        if checker.problems:
            raise ConfigError(checker.problems)
        return full
