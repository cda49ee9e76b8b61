"""Main effects and two-way interactions of the factors of a grid, over the settings that have both sides."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from dlkd.ablations.statistics.pairs import Pairs, Table

Level = Hashable
Corner = tuple[int, ...]
"""Rows of a setting: on and off for a main effect; both on, the first, the second, and neither for an interaction."""
SIGNS: dict[str, tuple[int, ...]] = {"main": (1, -1), "interaction": (1, -1, -1, 1)}


@dataclass(frozen=True)
class Effect:
    """What a factor adds, or how much more one adds with another on than with it off; or the difference of two rows.

    Attributes:
        name: the factor, "factor=level" where it has several, "a x b" for an interaction; of a difference, the row.
        kind: "main", "interaction" or "row".
        pairs: its value of every category and seed, averaged over the settings.
        rows: labels of the rows that it is made of.
        settings: settings of the other factors over which the average goes.
        left_out: settings that lack a side in some category, in words.
    """

    name: str
    kind: str
    pairs: Pairs
    rows: frozenset[str]
    settings: int
    left_out: tuple[str, ...]


def factorial_effects(
    trials: pd.DataFrame, factors: pd.DataFrame, baseline: Mapping[str, Level] | None = None
) -> list[Effect]:
    """Effects of a grid whose rows have factors; `trials` as in `verdict.verdicts`.

    A main effect is the difference between two levels of a factor, averaged over the settings of the others where both
    are there in every category; an interaction likewise over complete squares. No cell is ever made up: where a
    combination is missing, the effect is another quantity, and says over which settings it is (`left_out`).

    Args:
        trials: a line per training; rows that `factors` lacks take no part.
        factors: level of each factor (column) of each row (index).
        baseline: the level of each factor that the others are compared with; False, or else the first.

    Raises ValueError on a row that is there twice.
    """
    if factors.index.has_duplicates:
        raise ValueError(f"factors has rows twice: {factors.index[factors.index.duplicated()].tolist()}")
    table = Table.of(trials[trials["row"].isin(factors.index)])
    rows = {tuple(levels): table.rows.index(row) for row, *levels in factors.itertuples(name=None) if row in table.rows}
    contrasts = [c for name in factors for c in _contrasts(factors, name, baseline or {})]
    effects = [_effect(table, rows, list(factors), [one]) for one in contrasts]
    pairs = [pair for pair in combinations(contrasts, 2) if pair[0].factor != pair[1].factor]
    effects += [_effect(table, rows, list(factors), list(pair)) for pair in pairs]
    return effects


@dataclass(frozen=True)
class _Contrast:
    factor: str
    on: Level
    off: Level
    name: str


def _contrasts(factors: pd.DataFrame, name: str, baseline: Mapping[str, Level]) -> list[_Contrast]:
    levels = list(dict.fromkeys(factors[name].tolist()))
    plain = set(levels) <= {True, False}
    off = False if plain else baseline.get(name, levels[0])
    return [_Contrast(name, on, off, name if plain else f"{name}={on}") for on in levels if on != off]


def _effect(table: Table, rows: dict[tuple[Level, ...], int], names: list[str], contrasts: list[_Contrast]) -> Effect:
    kind = "main" if len(contrasts) == 1 else "interaction"
    corners: dict[tuple[Level, ...], Corner] = {}
    lacking = []
    places = [names.index(contrast.factor) for contrast in contrasts]
    for setting in dict.fromkeys(_without(levels, places) for levels in rows):
        wanted = [_with(setting, places, levels) for levels in _corners(contrasts)]
        if all(levels in rows for levels in wanted):
            corners[setting] = tuple(rows[levels] for levels in wanted)
        else:
            lacking.append(setting)
    others = [name for name in names if name not in {contrast.factor for contrast in contrasts}]
    used = {setting: corner for setting, corner in corners.items() if _enough(table, corner)}
    lacking += [setting for setting in corners if setting not in used]
    name = " x ".join(contrast.name for contrast in contrasts)
    averaged = list((used or corners).values())
    return Effect(
        name=name,
        kind=kind,
        pairs=_averaged(table, averaged, kind, name),
        rows=frozenset(table.rows[row] for corner in averaged for row in corner),
        settings=len(averaged),
        left_out=tuple(_words(others, setting) for setting in lacking),
    )


def _corners(contrasts: list[_Contrast]) -> list[tuple[Level, ...]]:
    """The levels of the contrasted factors at each corner, in the order of SIGNS."""
    first = contrasts[0]
    if len(contrasts) == 1:
        return [(first.on,), (first.off,)]
    second = contrasts[1]
    return [(first.on, second.on), (first.on, second.off), (first.off, second.on), (first.off, second.off)]


def _without(levels: tuple[Level, ...], places: Sequence[int]) -> tuple[Level, ...]:
    return tuple(level for place, level in enumerate(levels) if place not in places)


def _with(setting: tuple[Level, ...], places: Sequence[int], levels: tuple[Level, ...]) -> tuple[Level, ...]:
    full = list(setting)
    for place, level in sorted(zip(places, levels, strict=True)):
        full.insert(place, level)
    return tuple(full)


def _words(names: list[str], setting: tuple[Level, ...]) -> str:
    on = [name for name, level in zip(names, setting, strict=True) if level is True]
    levels = [f"{n}={level}" for n, level in zip(names, setting, strict=True) if not isinstance(level, bool)]
    return " + ".join(on + levels) or "all others off"


def _enough(table: Table, corner: Corner) -> bool:
    """Whether each category has two complete seeds at this setting, or all where fewer were asked for."""
    corner_rows = list(corner)
    complete = np.isfinite(table.values[corner_rows]).all(axis=0).sum(axis=1)
    asked = table.asked[corner_rows].all(axis=0).sum(axis=1)
    return bool((asked > 0).any() and (complete >= np.minimum(asked, 2))[asked > 0].all())


def _averaged(table: Table, corners: Sequence[Corner], kind: str, name: str) -> Pairs:
    """The effect of each category and seed that has every corner of every setting."""
    weights: dict[int, float] = {}
    for corner in corners:
        for row, sign in zip(corner, SIGNS[kind], strict=True):
            weights[row] = weights.get(row, 0.0) + sign / len(corners)
    return table.contrast(weights, name, "")
