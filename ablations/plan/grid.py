"""Grids: a YAML file of rows, and the cells (row x dataset x category x seed) it stands for."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pydantic

from dlkd.data import dataset_label
from dlkd.data.digest import Progress, category_digest
from dlkd.located_yaml import ConfigError, LocatedYaml, Problem, absolute, nearest, parse_yaml, read_yaml
from dlkd.registry import Node, Registry, component_files, list_components, name_key
from dlkd.text import plain
from dlkd.training import METRICS, Preset, TrainConfig, TrialSpec
from dlkd.training.trial import load_category

ROOT = Path(str(importlib.resources.files("dlkd")))

CODE_FOLDERS = ("blocks", "losses", "models", "training", "data", "metrics")
"""Packages whose source decides a trial's result."""


def _one_line(text: str) -> str:
    """`text` with each run of spaces and line breaks as one space. Raises ValueError where it holds no text."""
    text = " ".join(text.split())
    if not text:
        raise ValueError("is empty; give it a text")
    if plain(text) != text:
        raise ValueError(f"holds characters that cannot be printed: '{plain(text)}'")
    return text


Line = Annotated[str, pydantic.AfterValidator(_one_line)]
"""Text of tables and figures."""


class GridRow(pydantic.BaseModel):
    """One row of a table.

    Attributes:
        label: what the table calls it.
        variant: name of a variant of the registry.
        overrides: laid over the variant, nested as in YAML.
        train: laid over the training configuration.
        paper: the paper's own figures in per cent, by metric.
        factors: which factors are on, for factorial grids.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    label: Line
    variant: str
    overrides: dict[str, Any] = {}
    train: dict[str, Any] = {}
    paper: dict[str, float] = {}
    factors: dict[str, bool] = {}


class Grid(pydantic.BaseModel):
    """One table: its rows, and the row that the others are compared with.

    What is said here of data, seeds and budget stands in for the command line's defaults; what is typed there wins.

    Attributes:
        name: of the grid, from its file.
        title: heading of the table.
        source: where the paper's figures come from.
        rows: in the table's order.
        reference: label of the full model's row.
        stepwise: each row adds a part to the one above it, so that it is compared with that one too.
        metrics: those that the report shows; all are measured.
        datasets: NAME, NAME:PATH or a folder, as `--dataset` takes them.
        categories: only these.
        seeds: how many base seeds.
        preset: "demo" or "paper".
        train: laid over the preset's training configuration, for every row.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    title: Line
    source: str = ""
    rows: tuple[GridRow, ...] = pydantic.Field(min_length=1)
    reference: Line
    stepwise: bool = False
    metrics: tuple[str, ...] = pydantic.Field(("image_auroc", "pixel_auroc", "pro"), min_length=1)
    datasets: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    seeds: int | None = pydantic.Field(None, ge=1)
    preset: str | None = None
    train: dict[str, Any] = {}

    _source: LocatedYaml = pydantic.PrivateAttr(default_factory=lambda: LocatedYaml("grid", {}))
    """The file, for messages and relative paths."""

    @property
    def has_paper(self) -> bool:
        """Whether any row has a figure of the paper's."""
        return any(row.paper for row in self.rows)


@dataclass(frozen=True)
class Cell:
    """One trial of a grid, and every table row that it stands in.

    Attributes:
        key: hash of all that decides the result; names the trial's folder.
        spec: what to run.
        rows: (grid name, row label) of each place it stands in.
        contents: digests of the data and of the files that the spec names, as the key was made of them.
    """

    key: str
    spec: TrialSpec
    rows: tuple[tuple[str, str], ...]
    contents: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people: "LFRB + GFRB, textures/brick, seed 0"."""
        return f"{self.rows[0][1]}, {dataset_label(self.spec.dataset)}/{self.spec.category}, seed {self.spec.seed}"


def shipped_grids() -> list[str]:
    """Names of the grids that come with the package."""
    folder = importlib.resources.files("dlkd.ablations").joinpath("grids")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_grid(name: str) -> Grid:
    """A shipped grid by name, or the file of that path.

    Raises:
        ConfigError: the grid is unknown or wrong; every problem with file, line and key.
    """
    if name in shipped_grids():
        file = importlib.resources.files("dlkd.ablations").joinpath("grids", f"{name}.yaml")
        return _parse(parse_yaml(file.read_text(encoding="utf-8"), f"ablations/grids/{name}.yaml"), name)
    path = Path(name)
    if not path.suffix and not path.exists():
        located = LocatedYaml("ablations", {})
        raise ConfigError([located.problem((), f"unknown grid '{name}'{nearest(name, shipped_grids())}")])
    return _parse(read_yaml(path), path.stem)


def as_meant(kind: type[pydantic.BaseModel], document: LocatedYaml, name: str) -> dict[str, Any]:
    """A document's data with the text as it was written wherever `kind` asks for text: `label: 16`, `[01, 02]`."""
    try:
        kind.model_validate({"name": name, **document.data})
    except pydantic.ValidationError as error:
        wanted = [tuple(e["loc"]) for e in error.errors() if e["type"] == "string_type"]
        data: dict[str, Any] = document.as_written(wanted)
        return data
    return dict(document.data)


def _parse(document: LocatedYaml, name: str) -> Grid:
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        raise ConfigError([*problems, document.problem((), "expected the keys 'title', 'rows' and 'reference'")])
    data = as_meant(Grid, document, name)
    grid = None
    try:
        grid = Grid.model_validate({"name": name, **data})
    except pydantic.ValidationError as error:
        for e in error.errors():
            if e["type"] == "too_short" and data.get("rows"):
                continue  # pydantic counts the rows that are right; those that are not have errors of their own
            known = GridRow.model_fields if e["loc"][0] == "rows" else Grid.model_fields
            unknown = e["type"] == "extra_forbidden"
            message = f"unknown key{nearest(str(e['loc'][-1]), known)}" if unknown else e["msg"]
            problems.append(document.problem(tuple(e["loc"]), message))
    if grid is not None:
        labels = [row.label for row in grid.rows]
        for i, row in enumerate(grid.rows):
            if labels.index(row.label) != i:
                problems.append(document.problem(("rows", i, "label"), f"the label '{row.label}' stands twice"))
            for metric, figure in row.paper.items():
                if not 0 <= figure <= 100:
                    message = f"a figure in per cent is from 0 to 100, got {figure}"
                    problems.append(document.problem(("rows", i, "paper", metric), message))
                if metric not in METRICS:
                    message = f"unknown metric '{metric}'{nearest(metric, METRICS)}"
                    problems.append(document.problem(("rows", i, "paper", metric), message))
            places = [(document, ("train",)), (document, ("rows", i, "train"))]
            try:
                Preset(train=TrainConfig()).trained(grid.train, row.train, places=places)
            except ConfigError as error:
                problems += error.problems
        problems += _factor_problems(grid, document)
        for i, metric in enumerate(grid.metrics):
            if metric not in METRICS:
                message = f"unknown metric '{metric}'{nearest(metric, METRICS)}"
                problems.append(document.problem(("metrics", i), message))
        if grid.reference not in labels:
            message = f"no row is labelled '{grid.reference}'{nearest(grid.reference, labels)}"
            problems.append(document.problem(("reference",), message))
    if problems or grid is None:
        raise ConfigError(problems)
    grid = grid.model_copy(update={"datasets": tuple(anchored(text, document.folder) for text in grid.datasets)})
    grid._source = document
    return grid


def _factor_problems(grid: Grid, document: LocatedYaml) -> Iterator[Problem]:
    """What keeps a factorial grid from telling the effects of its factors: rows, or whole factors, that are alike."""
    factors = list(dict.fromkeys(name for row in grid.rows for name in row.factors))
    seen: dict[tuple[bool, ...], str] = {}
    whole = True
    for i, row in enumerate(grid.rows if factors else ()):
        lacks = [name for name in factors if name not in row.factors]
        for name in lacks:
            other = next(other.label for other in grid.rows if name in other.factors)
            message = f"lacks the factor '{name}' of the row '{other}'; every row says true or false of each factor"
            yield document.problem(("rows", i, "factors"), message)
        whole = whole and not lacks
        levels = tuple(row.factors.get(name, False) for name in factors)
        if levels in seen and not lacks:
            message = f"the same as those of the row '{seen[levels]}'; rows differ in one factor at least"
            yield document.problem(("rows", i, "factors"), message)
        seen.setdefault(levels, row.label)
    columns: dict[tuple[bool, ...], str] = {}
    for name in factors if whole else ():
        column = tuple(row.factors[name] == grid.rows[0].factors[name] for row in grid.rows)
        path = ("rows", 0, "factors", name)
        if all(column):
            yield document.problem(path, f"the factor '{name}' is the same in every row, so it has no effect to tell")
        elif column in columns:
            message = f"the factor '{name}' changes wherever '{columns[column]}' does, so their effects are one"
            yield document.problem(path, message)
        columns.setdefault(column, name)


def anchored(dataset: str, folder: Path) -> str:
    """`NAME:PATH` or a folder's path, as `datasets:` of a file in `folder` has it, with the path absolute."""
    place, comma, settings = dataset.partition(",")
    name, _, root = place.partition(":")
    if name in list_components("dataset"):
        return f"{name}:{absolute(root, folder)}{comma}{settings}" if root else dataset
    own = absolute(dataset, folder)
    return own if Path(own).is_dir() else dataset


def make_cells(
    grid: Grid,
    registry: Registry,
    datasets: Sequence[tuple[dict[str, Any], Sequence[str]]],
    seeds: Sequence[int],
    preset: Preset,
    progress: Progress | None = None,
) -> list[Cell]:
    """Every cell of a grid, identical ones once.

    Args:
        grid: the table.
        registry: resolves variants.
        datasets: completed dataset nodes, each with its categories.
        seeds: base seeds.
        preset: training configuration that the rows' lies on, and the model settings under their variants'.
        progress: called with (files done, files in all) while the data of a category are read for their digest.

    Raises:
        ConfigError: a row names what does not exist.
        DataError: data or a file of weights cannot be read.
    """
    cells = []
    digests: dict[str, str] = {}
    settled: list[tuple[GridRow, Node, TrainConfig]] = []
    problems: list[Problem] = []
    source = grid._source
    for i, row in enumerate(grid.rows):
        model: Node = {}
        train = preset.train
        try:
            model = registry.resolve(
                row.variant,
                row.overrides,
                under=preset.model,
                source=source,
                path=("rows", i, "overrides"),
            )
        except ConfigError as error:
            problems += error.problems
        try:
            train = preset.trained(row.train, places=[(source, ("rows", i, "train"))]).train
        except ConfigError as error:
            problems += error.problems
        settled.append((row, model, train))
    if problems:
        raise ConfigError(problems)
    for row, model, train in settled:
        for dataset, categories in datasets:
            for category, seed in itertools.product(categories, seeds):
                spec = TrialSpec(
                    variant=row.variant, model=model, dataset=dataset, category=category, train=train, seed=seed
                )
                place = json.dumps([dataset, category], sort_keys=True)
                if place not in digests:
                    digests[place] = category_digest(load_category(spec, registry), progress=progress)
                contents = spec.contents(registry, digests[place])
                key = cell_key(spec, contents, registry)
                cells.append(Cell(key, spec, ((grid.name, row.label),), contents))
    return unique(cells)


def unique(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with identical ones as one, which stands in all their places."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.key in found:
            # Once each: two datasets may be copies of one.
            cell = replace(found[cell.key], rows=tuple(dict.fromkeys((*found[cell.key].rows, *cell.rows))))
        found[cell.key] = cell
    return list(found.values())


def cell_key(spec: TrialSpec, contents: Mapping[str, str], registry: Registry) -> str:
    """Hash of the trial's identity and of the code that computes the result."""
    own = component_sources(registry, "model", spec.model) | component_sources(registry, "dataset", spec.dataset)
    code = [code_version(), *sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in own)]
    return hashlib.sha256(json.dumps([spec.identity(contents), code], sort_keys=True).encode()).hexdigest()[:16]


def component_sources(registry: Registry, kind: str, node: dict[str, Any]) -> set[Path]:
    """Source files of the components of a node that are not DLKD's own, and what those import."""
    name = node[name_key(kind)]
    found = component_files(kind, name)
    for key, slot in registry.row(kind, name).slots.items():
        if isinstance(node.get(key), dict):
            found |= component_sources(registry, slot, node[key])
    return found


@functools.cache
def code_version() -> str:
    """Hash of the sources that decide a trial's result."""
    digest = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
