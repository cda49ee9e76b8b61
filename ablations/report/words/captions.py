"""Titles, captions and descriptions of a report's pictures; `in_short` adds the figures to a description."""

from __future__ import annotations

from typing import NamedTuple

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import claimed, label
from dlkd.ablations.report.words.numbers import listed


class Caption(NamedTuple):
    """Title, alternative text and caption of a picture."""

    title: str
    alt: str
    text: str


def captions(table: Table) -> dict[str, Caption]:
    """Of each kind of picture, in the report's order."""
    rows = listed([row.label for row in table.rows])
    without = table.failed_cells + table.not_run
    cells = f"{without} {'' if table.not_run else 'failed '}cell{'s' * (without > 1)}"
    missing = f" {cells} left out; the list above names {'them' if without > 1 else 'it'}." if without else ""
    return {
        "examples": Caption(
            "Anomaly maps of each row",
            f"Test images, their ground truth and the anomaly maps of {rows}.",
            "The same test images for every row, with one colour scale, which begins where the normal images end. Maps "
            "are in units of each row's own threshold, mean + 3 standard deviations of its normal training images' "
            "scores; the number under a map is the image's score, bold where it is above 1. Ground truth is outlined.",
        ),
        "segmentations": Caption(
            "Segmentations and heat maps",
            f"Test images, their ground truth, and the segmentations and heat maps of {listed(table.grid.segmented)}.",
            "As in Figures 3 and 4 of the paper: white where a row's map is above its own threshold, mean + 3 standard "
            "deviations of its normal training images' scores; no test image has a part in it. Heat maps have one "
            "colour scale, in units of the thresholds. Ground truth is outlined.",
        ),
        **_of_comparisons(table, missing),
        **_of_rows(table, missing),
    }


def _of_comparisons(table: Table, missing: str) -> dict[str, Caption]:
    return {
        "effects": Caption(
            "Effects",
            f"Forest plot of the {'factors' if table.effects is not None else 'rows'}' effects with 95% intervals.",
            f"95% intervals after Holm's correction, of {label(table.grid.primary_metric)} alone: thick for "
            f"{claimed(table.new_images)}, thin for categories like these. Filled: the interval of "
            f"these categories excludes zero. The band marks differences that do not matter.{missing}",
        ),
        "pairs": Caption(
            "Differences behind the averages",
            "Points: the differences of rows in every category with every seed.",
            f"A point is one pair of trainings with the same category and seed, by {label(table.grid.primary_metric)}; "
            "a bar is the mean of a category. The band marks differences that do not matter.",
        ),
        "seeds": Caption(
            "Verdicts by number of seeds",
            "Curves: estimate and interval of the differences of rows over the number of seeds.",
            f"Estimate and 95% interval after Holm's correction, by {label(table.grid.primary_metric)}, on these "
            f"categories with so many seeds. A dot marks the verdicts helps and harms. {_looks(table)}",
        ),
    }


def _of_rows(table: Table, missing: str) -> dict[str, Caption]:
    return {
        "profile": Caption(
            "Profile over categories",
            f"Lines: {label(table.primary_shown)} of each row in each category.",
            f"By {label(table.primary_shown)}: means over seeds, with a bar from the lowest seed to the highest. "
            f"Categories are in the order of their mean over rows, those of each data set by themselves.{missing}",
        ),
        "categories": Caption(
            "By category",
            "Heat map: every metric of each row in every category.",
            f"Per cent, averaged over seeds; each metric has its own colour scale.{missing}",
        ),
        "costs": Caption(
            "Benefit over cost",
            "Points: every metric of each row over the time of one image.",
            "Bars: 95% intervals. The grey line joins the rows that no other row beats in both. The time is that of an "
            f"image scored by itself, each row in a process of its own.{missing}",
        ),
        "curves": Caption(
            "Learning curves",
            "Curves: loss terms of each row over training steps.",
            "Mean over trials, band from the lowest to the highest. Rows that lack a term have no line in its panel, "
            f"and totals of different terms are not comparable.{missing}",
        ),
    }


def _looks(table: Table) -> str:
    """What a course says of its verdict."""
    if table.grid.until_decided is None:
        return "An interval that excludes zero and later includes zero again was not reliable."
    return "The level of each look is such that further looks cause no more false verdicts."
