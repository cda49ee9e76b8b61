"""A grid: one table of an ablation, with its rows and what it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic_core import PydanticCustomError

from dlkd.ablations.plan.tuning import TunedRow, Tuning
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.text import plain


def one_line(text: str) -> str:
    """`text` with each run of spaces and line breaks as one space. Raises ValueError where it holds no text."""
    text = " ".join(text.split())
    if not text:
        raise ValueError("is empty; give it a text")
    if plain(text) != text:
        raise ValueError(f"holds characters that cannot be printed: '{plain(text)}'")
    return text


Line = Annotated[str, pydantic.AfterValidator(one_line)]
"""Text of tables and figures."""


def _level(value: Any) -> bool | str:
    if not isinstance(value, bool | str):
        raise PydanticCustomError("string_type", "expected true or false, or the name of a level")
    return value


Level = Annotated[bool | str, pydantic.PlainValidator(_level)]
"""Of a factor: whether it is on, or which of several it is."""

TOTAL = "total"
"""The average of all categories, where figures stand by group and category."""


def _by_part(figures: Any) -> Any:
    return figures if isinstance(figures, Mapping) else {TOTAL: figures}


Published = Annotated[dict[str, float], pydantic.BeforeValidator(_by_part)]
"""Figures by category, group and `TOTAL`; a figure alone is the total."""


class GridRow(pydantic.BaseModel):
    """One row of a table.

    Attributes:
        label: what the table calls it.
        variant: name of a variant of the registry.
        overrides: laid over the variant, nested as in YAML.
        train: laid over the training configuration.
        paper: the paper's own figures in per cent, by metric: one of all categories, or by category, group and "total".
        factors: the level of each factor, for factorial grids: true or false, or a name.
        narrowed: what a preset narrows or shortens in the row, by its name; a run's label has it in brackets.
        host: label of the row that this one adds a part to, and is compared with in place of a reference.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    label: Line
    variant: str
    overrides: dict[str, Any] = {}
    train: dict[str, Any] = {}
    paper: dict[str, Published] = {}
    factors: dict[str, Level] = {}
    narrowed: dict[str, Line] = {}
    host: Line | None = None

    def published(self, metric: str, part: str = TOTAL) -> float:
        """The paper's figure in per cent of a category, a group or all; NaN where there is none."""
        return self.paper.get(metric, {}).get(part, float("nan"))


class Grid(pydantic.BaseModel):
    """One table: its rows, and the row that the others are compared with, or for each row its host.

    What is said here of data, seeds and budget stands in for the command line's defaults; what is typed there wins.

    Attributes:
        name: of the grid, from its file.
        title: heading of the table.
        source: where the paper's figures come from.
        paper_dataset: the dataset that they were measured on.
        rows: in the table's order.
        reference: label of the full model's row; None where rows have hosts, which are compared with none.
        stepwise: each row adds a part to the one above it, so that it is compared with that one too.
        segmented: labels of rows whose segmentations and heat maps of test images the report shows, from left to right.
        metrics: those that the report shows; all are measured.
        primary: the metric that decides; the first of `metrics` where nothing is said. The others are exploratory.
        margin: a difference within it, as a fraction, does not matter: 0.005 is half a point.
        datasets: NAME, NAME:PATH or a folder, as `--dataset` takes them.
        categories: only these.
        groups: categories by the name of their group, whose average is shown too; not on data that have none of them.
        seeds: how many base seeds.
        until_decided: comparisons that are open get one more seed each, to so many; p and intervals hold at every look.
        added_to: where seeds were added to a finished run, how many it had; `ablate` writes it into the run's folder.
        preset: "demo" or "paper".
        train: laid over the preset's training configuration, for every row.
        tune: each row is tuned on validation pictures before its cells are trained, all rows with the same budget.
        tuned: what that gave, by row; a run fills it in.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    title: Line
    source: str = ""
    paper_dataset: str = "mvtec"
    rows: tuple[GridRow, ...] = pydantic.Field(min_length=1)
    reference: Line | None = None
    stepwise: bool = False
    segmented: tuple[Line, ...] = ()
    metrics: tuple[str, ...] = pydantic.Field(("image_auroc", "pixel_auroc", "pro"), min_length=1)
    primary: str | None = None
    margin: float = pydantic.Field(0.005, ge=0, lt=1)
    datasets: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = {}
    seeds: int | None = pydantic.Field(None, ge=1)
    until_decided: int | None = pydantic.Field(None, ge=2)
    added_to: int | None = None
    preset: str | None = None
    train: dict[str, Any] = {}
    tune: Tuning | None = None
    tuned: tuple[TunedRow, ...] = ()

    _source: LocatedYaml = pydantic.PrivateAttr(default_factory=lambda: LocatedYaml("grid", {}))
    """The file, for messages and relative paths."""

    @property
    def primary_metric(self) -> str:
        """The metric that the verdicts are about."""
        return self.primary or self.metrics[0]

    @property
    def has_paper(self) -> bool:
        """Whether any row has a figure of the paper's."""
        return any(row.paper for row in self.rows)

    @property
    def by_part(self) -> bool:
        """Whether the grid is about groups or categories, and not the average of all alone."""
        return bool(self.groups) or any({*figures} - {TOTAL} for row in self.rows for figures in row.paper.values())
