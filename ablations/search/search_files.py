"""Searches from YAML files, with every problem located; parameters are tried on the variant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from dlkd.ablations.plan.grid_files import anchored, as_meant
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.ablations.search.definition import Parameter, Search, SearchFile
from dlkd.ablations.search.values import TRAIN, overrides, settled, settled_value, value_at
from dlkd.registry import Registry
from dlkd.registry.located_yaml import LocatedYaml, read_yaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.training import METRICS, PRESETS, Preset, TrainConfig
from dlkd.training.config import elsewhere
from dlkd.training.trials.identity import PLACE_ONLY

NOT_TUNED = {
    **dict.fromkeys(("epochs", "max_steps"), "the rungs share out the budget"),
    **dict.fromkeys(PLACE_ONLY, "it changes no result"),
    "score_at": "scores at different sizes cannot be compared",
}
"""Training arguments that a search may not vary, and why."""


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
    search = settled(_anchored(found.search, document, registry, preset), registry, preset)
    datasets = tuple(anchored(text, document.folder) for text in found.datasets)
    found = found.model_copy(update={"search": search, "datasets": datasets})
    found._source = document
    return found


def _anchored(search: Search, document: LocatedYaml, registry: Registry, preset: Preset) -> Search:
    """The same with paths among the choices absolute; they are relative to the file, as everywhere."""
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None and not key.startswith(TRAIN):
            choice = []
            for value in parameter.choice:
                model, _ = overrides({key: value})
                over = LocatedYaml(document.file, model, folder=document.folder)
                node = preset.settle(registry, search.variant, model, source=over)[0]
                choice.append(_with_paths(value, value_at(key, node, TrainConfig())))
            parameter = parameter.model_copy(update={"choice": tuple(choice)})
        space[key] = parameter
    return search.model_copy(update={"space": space})


def _with_paths(value: Any, settled: Any) -> Any:
    """A value as it was written, with the absolute paths that its resolved form has."""
    if isinstance(value, str) and isinstance(settled, str):
        return settled if Path(settled).is_absolute() else value
    if isinstance(value, dict) and isinstance(settled, dict):
        return {key: _with_paths(inside, settled.get(key)) for key, inside in value.items()}
    if isinstance(value, list) and isinstance(settled, list) and len(value) == len(settled):
        return [_with_paths(*pair) for pair in zip(value, settled, strict=True)]
    return value


def _check(found: SearchFile, document: LocatedYaml, registry: Registry) -> Iterator[Problem]:
    search = found.search
    for path, name, known in (
        (("search", "metric"), search.metric, METRICS),
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
    if search.variant in registry.variants:
        preset = PRESETS.get(found.preset or "", PRESETS["demo"])
        for key, parameter in search.space.items():
            yield from _check_parameter(search, key, parameter, document, registry, preset)


def _check_parameter(
    search: Search, key: str, parameter: Parameter, document: LocatedYaml, registry: Registry, preset: Preset
) -> Iterator[Problem]:
    path: KeyPath = ("search", "space", key)
    if not all(key.split(".")):
        yield document.problem(path, "a key is names with dots between, such as loss.alpha")
        return
    for other in search.space:
        if key.startswith(f"{other}."):
            yield document.problem(path, f"'{other}' is varied as a whole already")
            return
    if parameter.choice is not None:
        settings = [json.dumps(settled_value(search.variant, key, v, registry, preset)) for v in parameter.choice]
        if len(set(settings)) != len(settings):
            yield document.problem((*path, "choice"), "a value stands twice, written in two ways")
            return
    refused = [_refused(search.variant, key, value, registry, preset) for value in parameter.values]
    faults: dict[str, list[tuple[int, str]]] = {}
    for i, messages in enumerate(refused):
        for message in messages:
            faults.setdefault(message.rsplit(", got ", 1)[0], []).append((i, message))
    for found in faults.values():
        # What is wrong with every value is wrong with the key.
        first, message = found[0]
        yield document.problem(path if len(found) == len(refused) else (*path, parameter.kind, first), message)


def _refused(variant: str, key: str, value: Any, registry: Registry, preset: Preset) -> list[str]:
    """What is wrong with a value; nothing where the variant takes it."""
    model, train = overrides({key: value})
    if train:
        name = key.removeprefix(TRAIN)
        if name not in TrainConfig.model_fields:
            return [f"training has no argument '{name}'{elsewhere(name)}"]
        if name in NOT_TUNED:
            return [f"'{name}' is not to be varied: {NOT_TUNED[name]}"]
        try:
            TrainConfig.model_validate(train, strict=not isinstance(value, list))  # 7.3 is no batch size
        except pydantic.ValidationError as error:
            return [f"{e['msg'].removeprefix('Input ')}, got {value!r}" for e in error.errors()]
        return []
    try:
        preset.settle(registry, variant, model)
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []


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
