"""Values of parameters: laid over a variant, read back from it, and shown."""

from __future__ import annotations

import functools
from typing import Any

import pydantic

from dlkd.ablations.search.definition import Search
from dlkd.registry import Registry
from dlkd.registry.located_yaml import dump_yaml
from dlkd.registry.problems import ConfigError
from dlkd.training import Preset, TrainConfig

TRAIN = "train."
"""Begins the key of a training argument; the others are the model's."""


def overrides(parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What parameters lay over a variant's model and over the training configuration.

    >>> overrides({"loss.alpha": 0.1, "train.batch_size": 2})
    ({'loss': {'alpha': 0.1}}, {'batch_size': 2})
    """
    model: dict[str, Any] = {}
    train: dict[str, Any] = {}
    for key, value in parameters.items():
        if key.startswith(TRAIN):
            train[key.removeprefix(TRAIN)] = value
        else:
            *parents, last = key.split(".")
            functools.reduce(lambda place, parent: place.setdefault(parent, {}), parents, model)[last] = value
    return model, train


def settled(search: Search, registry: Registry, preset: Preset) -> Search:
    """The same with each number among the choices as model and training have it: 64 for [64, 64], 2.0 for 2.

    Searches that differ in how a value is written alone are one, and so are their trials. A choice that the variant
    refuses stays as it is.
    """
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None:
            parameter = parameter.model_copy(
                update={
                    "choice": tuple(settled_value(search.variant, key, v, registry, preset) for v in parameter.choice)
                }
            )
        space[key] = parameter
    return search.model_copy(update={"space": space})


def settled_value(variant: str, key: str, value: Any, registry: Registry, preset: Preset) -> Any:
    """One value as model and training have it."""
    model, train = overrides({key: value})
    if model and type(value) is not int:
        return value  # a resolved variant has it as it was written
    try:
        node = preset.settle(registry, variant, model)[0] if model else {}
        found = value_at(key, node, TrainConfig.model_validate(train))
    except (ConfigError, pydantic.ValidationError, KeyError, TypeError):
        return value
    return found if train or isinstance(found, float) else value


def value_at(key: str, node: dict[str, Any], train: TrainConfig) -> Any:
    """The value of a parameter in a model node and a training configuration."""
    place: Any = {**node, "train": train.model_dump(mode="json")}
    return functools.reduce(lambda inside, part: inside[part], key.split("."), place)


def shown(value: Any) -> str:
    """A parameter's value for people: 0.0123, gfrb, {name: gfrb, scan: hilbert8}."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text: str = dump_yaml(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
