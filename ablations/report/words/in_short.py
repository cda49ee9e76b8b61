"""The main figures of a picture in a few words, for its alternative text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dlkd.ablations.report.example_data import read_examples, score_of
from dlkd.ablations.report.pair_data import Courses, PairPoints
from dlkd.ablations.report.plot_data import Categories, Costs, Curves, Effects, Examples, Profile
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import number, signed

MOST_ROWS = 4
"""That are named with their figures; the table below a picture has all of them."""


def in_short(
    data: Examples | Effects | PairPoints | Courses | Profile | Categories | Costs | Curves,
) -> str:
    """A sentence with the figures of the first rows; empty where there is no figure."""
    match data:
        case Examples():
            return _sentence("Scores above the row's own threshold", _alarms(data))
        case Effects():
            return _sentence(f"{label(data.primary_metric)}, in {data.unit}", _effects(data))
        case PairPoints():
            return _sentence("Lowest and highest difference in points", _pairs(data))
        case Courses():
            last = (
                f"{row}: {signed(looks[-1].estimate)} with {looks[-1].seeds} seeds ({looks[-1].verdict})"
                for row in data.rows
                if (looks := data.looks[row])
            )
            return _sentence("Points in the end", last)
        case Profile():
            return _sentence("Lowest and highest category in per cent", _profile(data))
        case Categories():
            return _sentence(f"{label(data.metrics[0])}, lowest and highest category in per cent", _categories(data))
        case Costs():
            metric = next(iter(data.metrics))
            found = (
                f"{row.row}: {number(row.milliseconds, 1)} ms, {number(row.metrics[metric][0])}"
                for row in data.rows
                if not math.isnan(row.milliseconds)
            )
            return _sentence(f"Time of an image and {label(metric)} in per cent", found)
        case Curves():
            term = data.terms[0]
            found = (
                f"{row}: {number(curve.mean[0], 3)} to {number(curve.mean[-1], 3)}"
                for i, row in enumerate(data.rows)
                if (curve := data.curves.get((i, term))) is not None
            )
            return _sentence(f"First and last {term} loss", found)


def _sentence(about: str, figures: Iterable[str]) -> str:
    found = list(figures)
    if not found:
        return ""
    more = len(found) - MOST_ROWS
    rest = [f"and {more} more {'row' if more == 1 else 'rows'}"] * (more > 0)
    return f"{about}. {'; '.join([*found[:MOST_ROWS], *rest])}."


def _alarms(data: Examples) -> Iterable[str]:
    kept, chosen = read_examples(data)
    for row in data.rows:
        scored = [(each, score) for each in chosen if (score := score_of(kept, row, each)) is not None]
        counts = []
        for anomalous, said in ((True, "anomalous"), (False, "normal")):
            of = [score for each, score in scored if each.anomalous is anomalous]
            counts += [f"{sum(score > 1 for score in of)} of {len(of)} {said}"] * bool(of)
        if counts:
            yield f"{row}: {' and '.join(counts)}"


def _effects(data: Effects) -> Iterable[str]:
    for each in data.estimates:
        if (each.metric, each.scope) == (data.primary_metric, "these") and not math.isnan(each.value):
            yield f"{each.name}: {signed(each.value)} ({each.verdict})"


def _pairs(data: PairPoints) -> Iterable[str]:
    for row in data.rows:
        if values := [point.value for point in data.points if point.row == row]:
            yield f"{row}: {signed(min(values))} to {signed(max(values))}"


def _profile(data: Profile) -> Iterable[str]:
    names = [category for _, category in data.categories]
    for row in data.rows:
        means = {names[i]: spread.mean for (of, i), spread in data.values.items() if of == row}
        if means:
            yield _ends(row, means)


def _categories(data: Categories) -> Iterable[str]:
    names = [category for _, category in data.categories]
    for row, cells in zip(data.rows, data.values[data.metrics[0]], strict=True):
        means = {name: cell for name, cell in zip(names, cells, strict=True) if not isinstance(cell, str)}
        if means:
            yield _ends(row, means)


def _ends(row: str, means: dict[str, float]) -> str:
    low, high = (end(means, key=means.__getitem__) for end in (min, max))
    if low == high:
        return f"{row}: {number(means[low], 1)} ({low})"
    return f"{row}: {number(means[low], 1)} ({low}) to {number(means[high], 1)} ({high})"
