"""Parameters tried on what is tuned: what is wrong with them, and their paths made absolute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.values import TRAIN, overrides, settle, settled_value, value_at
from dlkd.registry import Registry
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem
from dlkd.training import Preset, TrainConfig
from dlkd.training.config import elsewhere
from dlkd.training.trials.identity import PLACE_ONLY

NOT_TUNED = {
    **dict.fromkeys(("epochs", "max_steps"), "the rungs share out the budget"),
    **dict.fromkeys(PLACE_ONLY, "it changes no result"),
    "score_at": "scores at different sizes cannot be compared",
}
"""Training arguments that a search may not vary, and why."""


def check_keys(space: dict[str, Parameter], document: LocatedYaml, place: KeyPath) -> Iterator[Problem]:
    """What is wrong with the keys of a space alone; `place` is its path in the file."""
    for key in space:
        if not all(key.split(".")):
            yield document.problem((*place, key), "a key is names with dots between, such as loss.alpha")
        for other in space:
            if key.startswith(f"{other}."):
                yield document.problem((*place, key), f"'{other}' is varied as a whole already")
                break


def check_values(
    search: Search, key: str, document: LocatedYaml, place: KeyPath, registry: Registry, preset: Preset
) -> Iterator[Problem]:
    """What is wrong with the values of one parameter; `place` is the path of the space in the file."""
    parameter, path = search.space[key], (*place, key)
    if parameter.choice is not None:
        settings = [json.dumps(settled_value(search, key, v, registry, preset)) for v in parameter.choice]
        if len(set(settings)) != len(settings):
            yield document.problem((*path, "choice"), "a value stands twice, written in two ways")
            return
    refused = [_refused(search, key, value, registry, preset) for value in parameter.values]
    faults: dict[str, list[tuple[int, str]]] = {}
    for i, messages in enumerate(refused):
        for message in messages:
            faults.setdefault(message.rsplit(", got ", 1)[0], []).append((i, message))
    for found in faults.values():
        # What is wrong with every value is wrong with the key.
        first, message = found[0]
        yield document.problem(path if len(found) == len(refused) else (*path, parameter.kind, first), message)


def _refused(search: Search, key: str, value: Any, registry: Registry, preset: Preset) -> list[str]:
    """What is wrong with a value; nothing where the variant takes it."""
    _, train = overrides({key: value})
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
        settle(search, {key: value}, registry, preset)
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []


def with_absolute_choices(search: Search, document: LocatedYaml, registry: Registry, preset: Preset) -> Search:
    """The same with paths among the choices absolute; they are relative to the file, as everywhere."""
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None and not key.startswith(TRAIN):
            choice = []
            for value in parameter.choice:
                node = settle(search, {key: value}, registry, preset, document)[0]
                choice.append(with_paths(value, value_at(key, node, TrainConfig())))
            parameter = parameter.model_copy(update={"choice": tuple(choice)})
        space[key] = parameter
    return search.model_copy(update={"space": space})


def with_paths(value: Any, settled: Any) -> Any:
    """A value as it was written, with the absolute paths that its resolved form has."""
    if isinstance(value, str) and isinstance(settled, str):
        return settled if Path(settled).is_absolute() else value
    if isinstance(value, dict) and isinstance(settled, dict):
        return {key: with_paths(inside, settled.get(key)) for key, inside in value.items()}
    if isinstance(value, list) and isinstance(settled, list) and len(value) == len(settled):
        return [with_paths(*pair) for pair in zip(value, settled, strict=True)]
    return value
