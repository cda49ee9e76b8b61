"""Searches from YAML files, with every problem located; parameters are tried on the variant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from dlkd.ablations.plan.grid_files import anchored, as_meant
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.definition import Search, SearchFile
from dlkd.ablations.search.parameters import check_keys, check_values, with_absolute_choices, with_paths
from dlkd.ablations.search.values import settled
from dlkd.registry import Registry
from dlkd.registry.located_yaml import LocatedYaml, read_yaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.training import PRESETS, Preset, TrainConfig
from dlkd.training.trials.trial_result import SEARCHED

SPACE: KeyPath = ("search", "space")
OVERRIDES: KeyPath = ("search", "overrides")


def find_search(name: str, registry: Registry) -> SearchFile | None:
    """The search in a file; None for a grid's name or a file without a `search:`.

    Raises:
        ConfigError: every problem of the file, with line and key; parameters are tried on the variant.
    """
    path = Path(name)
    if name in shipped_grids() or not path.is_file():
        return None
    document = read_yaml(path)
    if not isinstance(document.data, dict) or "search" not in document.data:
        return None
    problems = list(document.problems)
    data = as_meant(SearchFile, document, path.stem)
    if "rows" in data:
        problems.append(document.problem(("rows",), "a grid has `rows:` or a `search:`; make two files of them"))
        del data["rows"]
    try:
        found = SearchFile.model_validate({"name": path.stem, **data})
    except pydantic.ValidationError as error:
        raise ConfigError([*problems, *(_located(document, e) for e in error.errors())]) from error
    problems += _check(found, document, registry)
    if problems:
        raise ConfigError(problems)
    preset = PRESETS[found.preset or "demo"]
    search = found.search
    node = preset.settle(registry, search.variant, search.overrides, source=document, path=OVERRIDES)[0]
    search = search.model_copy(update={"overrides": with_paths(search.overrides, node)})
    search = settled(with_absolute_choices(search, document, registry, preset), registry, preset)
    datasets = tuple(anchored(text, document.folder) for text in found.datasets)
    found = found.model_copy(update={"search": search, "datasets": datasets})
    found._source = document
    return found


def _check(found: SearchFile, document: LocatedYaml, registry: Registry) -> Iterator[Problem]:
    search = found.search
    for path, name, known in (
        (("search", "metric"), search.metric, SEARCHED),
        (("search", "variant"), search.variant, tuple(registry.variants)),
        (("preset",), found.preset, (None, *PRESETS)),
    ):
        if name not in known:
            near = nearest(str(name), [k for k in known if k is not None])
            yield document.problem(path, f"unknown {path[-1]} '{name}'{near}")
    try:
        Preset(train=TrainConfig()).trained(found.train, places=[(document, ("train",))])
    except ConfigError as error:
        yield from error.problems
    misnamed = list(check_keys(search.space, document, SPACE))
    yield from misnamed
    if search.variant not in registry.variants:
        return
    preset = PRESETS.get(found.preset or "", PRESETS["demo"])
    try:
        preset.settle(registry, search.variant, search.overrides, source=document, path=OVERRIDES)
    except ConfigError as error:
        yield from error.problems
        return
    for key in search.space:
        if all(problem.path != (*SPACE, key) for problem in misnamed):
            yield from check_values(search, key, document, SPACE, registry, preset)


def _located(document: LocatedYaml, error: Any) -> Problem:
    """One of pydantic's errors, at its place in the file."""
    path = tuple(error["loc"])
    if error["type"] != "extra_forbidden":
        return document.problem(path, str(error["msg"]).removeprefix("Value error, "))
    inside = Parameter if path[:2] == ("search", "space") else Search if path[0] == "search" else SearchFile
    known = TrainConfig if path[0] == "train" else inside
    return document.problem(
        path, f"unknown key{nearest(str(path[-1]), [f for f in known.model_fields if f != 'name'])}"
    )
