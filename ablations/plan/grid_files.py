"""Grids from YAML files: those that come with the package and the user's own, with every problem located."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from dlkd.ablations.plan.factors import KEYS, written_out
from dlkd.ablations.plan.grid import TOTAL, Grid, GridRow
from dlkd.ablations.plan.groups import group_problems
from dlkd.ablations.plan.hosts import host_problems
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.ablations.plan.tuning import Parameter, Tuning
from dlkd.registry import list_components, python_data
from dlkd.registry.located_yaml import LocatedYaml, absolute, parse_yaml, read_yaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.training import METRICS, PRESETS, Preset, TrainConfig
from dlkd.training.trials.trial_result import SEARCHED


def load_grid(name: str) -> Grid:
    """A shipped grid by name, or the file of that path.

    Raises:
        ConfigError: the grid is unknown or wrong; every problem with file, line and key.
    """
    if name in shipped_grids():
        file = importlib.resources.files("dlkd.ablations").joinpath("grids", f"{name}.yaml")
        return _parse(parse_yaml(file.read_text(encoding="utf-8"), f"ablations/grids/{name}.yaml", own=True), name)
    path = Path(name)
    if not path.suffix and not path.exists():
        located = LocatedYaml("ablations", {})
        raise ConfigError([located.problem((), f"unknown grid '{name}'{nearest(name, shipped_grids())}")])
    return _parse(read_yaml(path), path.stem)


def grid_of(data: Mapping[str, Any], name: str = "grid") -> Grid:
    """A grid of plain data, with the keys that a file has; paths are relative to the working folder.

    Args:
        data: what the file would hold.
        name: of the grid.

    Raises:
        ConfigError: the grid is wrong; every problem with its key.
    """
    return _parse(python_data.document(data, name), name)


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
    try:
        document = written_out(document)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    data = as_meant(Grid, document, name)
    if data.pop("tuned", None) is not None:
        problems.append(document.problem(("tuned",), "a run fills it in; say in `tune:` what is tried"))
    try:
        grid = Grid.model_validate({"name": name, **data})
    except pydantic.ValidationError as error:
        raise ConfigError([*problems, *_form_problems(error, data, document)]) from error
    for i, row in enumerate(grid.rows):
        problems += _row_problems(grid, i, row, document)
    problems += _factor_problems(grid, document)
    problems += group_problems(grid, document)
    problems += _metric_problems({("metrics", i): metric for i, metric in enumerate(grid.metrics)}, document)
    if grid.tune is not None:
        metric = grid.tune.metric if "metric" in grid.tune.model_fields_set else grid.primary_metric
        problems += _metric_problems({("tune", "metric"): metric}, document, SEARCHED)
        grid = grid.model_copy(update={"tune": grid.tune.model_copy(update={"metric": metric})})
    if grid.paper_dataset not in (known := list_components("dataset")):
        problems.append(document.problem(("paper_dataset",), f"unknown dataset{nearest(grid.paper_dataset, known)}"))
    if grid.primary_metric not in grid.metrics:
        message = f"'{grid.primary}' is none of this grid's metrics{nearest(str(grid.primary), grid.metrics)}"
        problems.append(document.problem(("primary",), message))
    problems += host_problems(grid, document)
    labels = [row.label for row in grid.rows]
    for i, label in enumerate(grid.segmented):
        if label not in labels:
            message = f"no row is labelled '{label}'{nearest(label, labels)}"
            problems.append(document.problem(("segmented", i), message))
    if problems:
        raise ConfigError(problems)
    grid = grid.model_copy(update={"datasets": tuple(anchored(text, document.folder) for text in grid.datasets)})
    grid._source = document
    return grid


def _form_problems(error: pydantic.ValidationError, data: dict[str, Any], document: LocatedYaml) -> Iterator[Problem]:
    """Keys that are unknown or missing and values of a wrong type."""
    for e in error.errors():
        if e["type"] == "too_short" and data.get("rows"):
            continue  # pydantic counts the rows that are right; those that are not have errors of their own
        known = _known(tuple(e["loc"]))
        unknown = e["type"] == "extra_forbidden"
        message = f"unknown key{nearest(str(e['loc'][-1]), known)}" if unknown else e["msg"]
        yield document.problem(_figure_path(tuple(e["loc"]), document), message)


def _known(path: KeyPath) -> Iterable[str]:
    """The keys that may stand where `path` does."""
    if path[:2] == ("tune", "space"):
        return Parameter.model_fields
    inside: dict[int | str, Iterable[str]] = {"rows": GridRow.model_fields, "tune": Tuning.model_fields}
    return inside.get(path[0], {*Grid.model_fields, *KEYS} - {"tuned"})


def _row_problems(grid: Grid, i: int, row: GridRow, document: LocatedYaml) -> Iterator[Problem]:
    """What is wrong with one row: its label, the paper's figures, its training arguments."""
    if [other.label for other in grid.rows].index(row.label) != i:
        yield document.problem(("rows", i, "label"), f"the label '{row.label}' stands twice")
    for metric, figures in row.paper.items():
        own: KeyPath = ("rows", i, "paper", metric)
        for part, figure in figures.items():
            if not 0 <= figure <= 100:
                message = f"a figure in per cent is from 0 to 100, got {figure}"
                yield document.problem(_figure_path((*own, part), document), message)
        yield from _metric_problems({own: metric}, document)
    for preset in row.narrowed:
        if preset not in PRESETS:
            yield document.problem(("rows", i, "narrowed", preset), f"unknown preset{nearest(preset, PRESETS)}")
    places = [(document, ("train",)), (document, ("rows", i, "train"))]
    try:
        Preset(train=TrainConfig()).trained(grid.train, row.train, places=places)
    except ConfigError as error:
        yield from error.problems


def _figure_path(path: KeyPath, document: LocatedYaml) -> KeyPath:
    """The place of a paper's figure, which has no key of its own where it is the only one of its metric."""
    return path if path in document.lines or path[-1] != TOTAL else path[:-1]


def _metric_problems(
    metrics: dict[KeyPath, str], document: LocatedYaml, known: Sequence[str] = METRICS
) -> Iterator[Problem]:
    """The metrics, by their places in the file, that do not exist, or are not among those that are `known` there."""
    for path, metric in metrics.items():
        if metric not in METRICS:
            yield document.problem(path, f"unknown metric '{metric}'{nearest(metric, METRICS)}")
        elif metric not in known:
            yield document.problem(path, f"{metric} needs an alarm threshold, which a search does not find")


def _factor_problems(grid: Grid, document: LocatedYaml) -> Iterator[Problem]:
    """What keeps a factorial grid from telling the effects of its factors: rows, or whole factors, that are alike."""
    factors = list(dict.fromkeys(name for row in grid.rows for name in row.factors))
    seen: dict[tuple[bool | str, ...], str] = {}
    whole = True
    for i, row in enumerate(grid.rows if factors else ()):
        lacks = [name for name in factors if name not in row.factors]
        for name in lacks:
            other = next(other.label for other in grid.rows if name in other.factors)
            message = f"lacks the factor '{name}' of the row '{other}'; every row says the level of each factor"
            yield document.problem(("rows", i, "factors"), message)
        whole = whole and not lacks
        levels = tuple(row.factors.get(name, False) for name in factors)
        if levels in seen and not lacks:
            message = f"the same as those of the row '{seen[levels]}'; rows differ in one factor at least"
            yield document.problem(("rows", i, "factors"), message)
        seen.setdefault(levels, row.label)
    columns: dict[tuple[int, ...], str] = {}
    for name in factors if whole else ():
        levels_in_order = list(dict.fromkeys(row.factors[name] for row in grid.rows))
        column = tuple(levels_in_order.index(row.factors[name]) for row in grid.rows)
        path = ("rows", 0, "factors", name)
        if not any(column):
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
