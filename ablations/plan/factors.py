"""A grid whose rows are the product of its factors: the rows are written out before the grid is read.

variant: dlkd
factors:
  loss: {all: {}, distillation: {loss: {contrast: none, anomaly_similarity: none}}}
  depth: {1: {refiner: {depth: 1}}, 2: {}, 4: {refiner: {depth: 4}}}
exclude: [{loss: distillation, depth: 4}]
reference: {loss: all, depth: 2}

A level may name a variant of its own, in the place of the grid's: {network: {small: {variant: dlkd-lfrb}, whole: {}}}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import Any

from dlkd.ablations.plan.grid import Grid, one_line
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.nodes import Node, key_paths
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest, show_path

KEYS = ("factors", "variant", "exclude")
"""Of a grid's file that has no rows of its own."""
OF_THE_ROW = ("train", "variant")
"""What a level may say of its rows beside arguments of the model."""
MOST_ROWS = 1000
"""Of a product: each is a training for every category and seed."""
ON, OFF = {"true", "yes", "on"}, {"false", "no", "off"}

Combination = dict[str, str]
"""The level of each factor."""


def written_out(document: LocatedYaml) -> LocatedYaml:
    """The document with `rows:` in the place of `factors:`; itself where it has no factors.

    The last factor changes fastest. A row is labelled "loss=all, depth=2". A problem of a row is shown where the level
    stands that causes it.

    Raises:
        ConfigError: a factor or a level is empty, two levels override the same key, or the product is too large.
    """
    _refuse(_wrong_keys(document))
    if "factors" not in document.data:
        return document
    _refuse(_wrong_factors(document))
    names = {factor: list(levels) for factor, levels in document.data["factors"].items()}
    _refuse([*_wrong_exclusions(document, names), *_wrong_reference(document, names)])
    excluded = range(len(document.data.get("exclude") or []))
    every = [dict(zip(names, levels, strict=True)) for levels in product(*names.values())]
    kept = [one for one in every if not any(_within(one, document, i) for i in excluded)]
    if not kept:
        _refuse([document.problem(("exclude",), "leaves no combination")])
    _refuse(problem for one in kept for problem in _collisions(document, one))
    return _with_rows(document, kept)


def _refuse(problems: Iterable[Problem]) -> None:
    if found := list(problems):
        raise ConfigError(found)


def _wrong_keys(document: LocatedYaml) -> Iterator[Problem]:
    data = document.data
    if "factors" not in data:
        for key in KEYS[1:]:
            if key in data:
                yield document.problem((key,), "stands beside `factors:`, which this grid does not have")
        if "rows" not in data and data.keys() <= {*Grid.model_fields, *KEYS}:  # else one is mistyped
            yield document.problem((), "a grid needs `rows:`, or `factors:` of which rows are made")
        return
    if "rows" in data:
        yield document.problem(("rows",), "a grid has either rows or factors, of which its rows are made; drop one")
    if not isinstance(data.get("variant"), str) and ("variant" in data or not _says_variants(data["factors"])):
        message = "a grid with factors needs the variant that its levels are laid on, here or in each level of a factor"
        yield document.problem(("variant",), message)


def _says_variants(factors: Any) -> bool:
    """Whether each level of a factor names a variant."""
    named = factors.values() if isinstance(factors, Mapping) else ()
    return any(
        isinstance(levels, Mapping)
        and all(isinstance(level, Mapping) and isinstance(level.get("variant"), str) for level in levels.values())
        for levels in named
    )


def _wrong_factors(document: LocatedYaml) -> Iterator[Problem]:
    factors = document.data["factors"]
    if not isinstance(factors, Mapping) or not factors:
        yield document.problem(("factors",), "expected factors by name, each with its levels: {depth: {1: {}, 2: {}}}")
        return
    for factor, levels in factors.items():
        path: KeyPath = ("factors", factor)
        yield from _wrong_name(document, path, factor)
        if not isinstance(levels, Mapping) or len(levels) < 2:
            yield document.problem(path, "a factor needs two levels or more: {1: {refiner: {depth: 1}}, 2: {}}")
            continue
        for level, overrides in levels.items():
            yield from _wrong_name(document, (*path, level), level)
            if overrides is not None and not isinstance(overrides, Mapping):
                message = f"expected what the level overrides, {{sigma: 2}}, or {{}} for nothing, got {overrides!r}"
                yield document.problem((*path, level), message)
            elif overrides and not isinstance(overrides.get("train", {}), Mapping):
                yield document.problem((*path, level, "train"), "expected training arguments: {epochs: 2}")
    count = math.prod(len(levels) for levels in factors.values() if isinstance(levels, Mapping))
    if count > MOST_ROWS:
        message = f"the product has {count:,} rows, each with a cell per category and seed; {MOST_ROWS:,} at most"
        yield document.problem(("factors",), message)


def _wrong_name(document: LocatedYaml, path: KeyPath, name: str) -> Iterator[Problem]:
    try:
        one_line(name)
    except ValueError as error:
        yield document.problem(path, f"a name in labels {error}")


def _wrong_exclusions(document: LocatedYaml, names: Mapping[str, list[str]]) -> Iterator[Problem]:
    excluded = document.data.get("exclude") or []
    if not isinstance(excluded, list):
        yield document.problem(("exclude",), "expected a list of combinations: [{depth: 4, loss: all}]")
        return
    for i, one in enumerate(excluded):
        yield from _wrong_levels(document, ("exclude", i), one, names)


def _wrong_reference(document: LocatedYaml, names: Mapping[str, list[str]]) -> Iterator[Problem]:
    reference = document.data.get("reference")
    if not isinstance(reference, Mapping):
        return
    yield from _wrong_levels(document, ("reference",), reference, names)
    for factor in names:
        if factor not in reference:
            yield document.problem(("reference",), f"lacks the level of the factor '{factor}'")


def _wrong_levels(
    document: LocatedYaml, path: KeyPath, levels: Any, names: Mapping[str, list[str]]
) -> Iterator[Problem]:
    if not isinstance(levels, Mapping) or not levels:
        yield document.problem(path, f"expected levels by factor, got {levels!r}")
        return
    for factor in levels:
        place = (*path, factor)
        if factor not in names:
            yield document.problem(place, f"unknown factor '{factor}'{nearest(factor, names)}")
        elif (level := _level(document, place)) not in names[factor]:
            yield document.problem(place, f"unknown level '{level}'{nearest(level, names[factor])}")


def _level(document: LocatedYaml, path: KeyPath) -> str:
    """The level at `path`, as it was written: 1 and yes are names like others."""
    value = document.data
    for key in path:
        value = value[key]
    return document.texts.get(path, str(value))


def _within(combination: Combination, document: LocatedYaml, i: int) -> bool:
    """Whether the `i`-th exclusion speaks of a combination."""
    return all(combination[f] == _level(document, ("exclude", i, f)) for f in document.data["exclude"][i])


def _collisions(document: LocatedYaml, combination: Combination) -> Iterator[Problem]:
    """Keys that levels of two factors override, or of which one holds the other."""
    factors = document.data["factors"]
    for (factor, level), (other, its) in combinations(combination.items(), 2):
        mine, theirs = (_leaves(factors[f][x] or {}) for f, x in ((factor, level), (other, its)))
        for leaf in theirs:
            if any(leaf[: len(m)] == m or m[: len(leaf)] == leaf for m in mine):
                message = f"overrides what {show_path(('factors', factor, level))} does; exclude the two together"
                yield document.problem(("factors", other, its, *leaf), message)


def _leaves(overrides: Node) -> list[KeyPath]:
    paths = key_paths(overrides)
    return [path for path in paths if not any(p[:-1] == path for p in paths)]


def _with_rows(document: LocatedYaml, combinations: list[Combination]) -> LocatedYaml:
    data = {key: value for key, value in document.data.items() if key not in KEYS}
    lines, places = dict(document.lines), {**document.places}
    factors = document.data["factors"]
    data["rows"] = []
    for i, combination in enumerate(combinations):
        overrides: Node = {}
        places |= {("rows", i, key): ("factors",) for key in ("label", "overrides", "train", "factors")}
        for factor, level in combination.items():
            said = factors[factor][level] or {}
            overrides = _joined(overrides, said)
            for path in key_paths(said):
                made: KeyPath = ("rows", i, *(path if path[0] in OF_THE_ROW else ("overrides", *path)))
                places.setdefault(made, ("factors", factor, level, *path))
                lines.setdefault(made, document.line(("factors", factor, level, *path)))
        places.setdefault(("rows", i, "variant"), ("variant",))
        row = {"label": _label(combination), "variant": overrides.pop("variant", document.data.get("variant"))}
        row |= {"train": overrides.pop("train", {}), "overrides": overrides}
        row["factors"] = {f: _known(level, factors[f]) for f, level in combination.items()}
        data["rows"].append(row)
    reference = data.get("reference")
    if isinstance(reference, Mapping):
        data["reference"] = _label({factor: _level(document, ("reference", factor)) for factor in factors})
    return replace(document, data=data, lines=lines, places=places)


def _joined(one: Node, other: Node) -> Node:
    """Overrides of two factors, which have no key in common."""
    both = dict(one)
    for key, value in other.items():
        both[key] = _joined(both[key], value) if isinstance(both.get(key), dict) and isinstance(value, dict) else value
    return both


def _label(combination: Combination) -> str:
    return ", ".join(f"{factor}={level}" for factor, level in combination.items())


def _known(level: str, levels: Mapping[str, Any]) -> bool | str:
    """A level as rows name it: on and off of a factor with these two are true and false."""
    written = {name.lower() for name in levels}
    if len(levels) == 2 and written & ON and written & OFF:
        return level.lower() in ON
    return level
