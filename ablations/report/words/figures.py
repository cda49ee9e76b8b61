"""The numbers of each figure as a table, for who cannot see the figure."""

from __future__ import annotations

import math
from typing import NamedTuple

from dlkd.ablations.report.example_data import read_examples, score_of
from dlkd.ablations.report.pair_data import Courses, PairPoints
from dlkd.ablations.report.plot_data import Categories, Costs, Curves, Effects, Examples, Profile
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import DASH, number, signed

SCOPES = {"these": "these categories", "like": "categories like these"}


class Numbers(NamedTuple):
    """Heads and lines of a table; each line begins with its own head."""

    heads: list[str]
    lines: list[list[str]]


def numbers_of(
    data: Examples | Effects | PairPoints | Courses | Profile | Categories | Costs | Curves,
) -> Numbers | None:
    """What is drawn from `data`, in numbers; None of costs, which have a table of their own."""
    match data:
        case Examples():
            return _examples(data)
        case Effects():
            return _effects(data)
        case PairPoints():
            return _pairs(data)
        case Courses():
            lines = [
                [row, str(look.seeds), signed(look.estimate), _ends(look.low, look.high), look.verdict]
                for row in data.rows
                for look in data.looks[row]
            ]
            return Numbers(["Row", "seeds", "points", "95% interval", "verdict"], lines)
        case Profile():
            return _profile(data)
        case Categories():
            lines = [
                [row, label(metric), *(cell if isinstance(cell, str) else number(cell, 1) for cell in cells)]
                for metric in data.metrics
                for row, cells in zip(data.rows, data.values[metric], strict=True)
            ]
            return Numbers(["Row", "metric", *map(_place, data.categories)], _filled(lines))
        case Curves():
            lines = [
                [data.rows[i], term, f"{c.steps[0]:g}", number(c.mean[0], 3), f"{c.steps[-1]:g}", number(c.mean[-1], 3)]
                for (i, term), c in data.curves.items()
            ]
            return Numbers(["Row", "term", "first step", "its mean", "last step", "its mean"], lines)
        case _:
            return None


def _examples(data: Examples) -> Numbers:
    """The scores under the maps."""
    kept, chosen = read_examples(data)
    several = len({each.dataset for each in chosen}) > 1
    heads = [
        f"{f'{each.dataset}/' if several else ''}{each.category}, {'anomalous' if each.anomalous else 'normal'}"
        for each in chosen
    ]
    lines = []
    for row in data.rows:
        scores = [score_of(kept, row, each) for each in chosen]
        lines.append([row, *(DASH if score is None else number(score) for score in scores)])
    return Numbers(["Row, scores in units of its own threshold", *heads], lines)


def _effects(data: Effects) -> Numbers:
    """An exploratory metric has its estimate alone."""
    lines = [
        [
            each.name,
            label(each.metric),
            SCOPES.get(each.scope, "exploratory"),
            signed(each.value),
            _ends(each.low, each.high),
            each.verdict,
        ]
        for each in data.estimates
    ]
    return Numbers(["Compared", "metric", "claim", data.unit, "95% interval", "verdict"], _filled(lines))


def _pairs(data: PairPoints) -> Numbers:
    """The bars: the mean of each category."""
    lines = []
    for row in data.rows:
        of_row = [
            [p.value for p in data.points if (p.row, p.category) == (row, i)] for i in range(len(data.categories))
        ]
        lines.append([row, *(signed(sum(found) / len(found)) if found else DASH for found in of_row)])
    return Numbers(["Row, mean in points", *data.categories], lines)


def _profile(data: Profile) -> Numbers:
    """Mean over seeds, with the lowest and the highest."""
    lines = []
    for row in data.rows:
        spreads = [data.values.get((row, i)) for i in range(len(data.categories))]
        lines.append([row, *(f"{s.mean:.2f} ({s.low:.2f} to {s.high:.2f})" if s else DASH for s in spreads)])
    return Numbers(["Row, mean (lowest to highest seed)", *map(_place, data.categories)], lines)


def _place(place: tuple[str, str]) -> str:
    return "/".join(place)


def _ends(low: float, high: float) -> str:
    return f"{signed(low)} to {signed(high)}" if math.isfinite(low) and math.isfinite(high) else DASH


def _filled(lines: list[list[str]]) -> list[list[str]]:
    return [[text or DASH for text in line] for line in lines]
