"""Values of parameters: laid over a variant, read back from it, and shown."""

from __future__ import annotations

import functools
from typing import Any

import pydantic

from dlkd.ablations.search.definition import Search
from dlkd.registry import Node, Registry
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.nodes import VARIANT_KIND, merge, name_key
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


def laid(under: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """Overrides with those of parameters over them; a component that stands there by its name alone stays.

    >>> laid({"optimizer": "sgd", "sigma": 2.0}, {"optimizer": {"lr": 0.1}})
    {'optimizer': {'name': 'sgd', 'lr': 0.1}, 'sigma': 2.0}
    """
    return merge(_spelled_out(under, model), model, name_key(VARIANT_KIND))


def _spelled_out(under: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in under.items():
        over = model.get(key)
        if isinstance(over, dict) and isinstance(value, str):
            found[key] = {"name": value}
        elif isinstance(over, dict) and isinstance(value, dict):
            found[key] = _spelled_out(value, over)
    return found


def settle(
    search: Search, parameters: dict[str, Any], registry: Registry, preset: Preset, file: LocatedYaml | None = None
) -> tuple[Node, TrainConfig]:
    """Model node and training configuration of a setting; paths in it are relative to `file`.

    Raises:
        ConfigError: the variant, the overrides or a parameter is wrong.
    """
    model, train = overrides(parameters)
    over = laid(search.overrides, model)
    source = None if file is None else LocatedYaml(file.file, over, folder=file.folder)
    return preset.trained(train).settle(registry, search.variant, over, source=source)


def settled(search: Search, registry: Registry, preset: Preset) -> Search:
    """The same with each number among the choices as model and training have it: 64 for [64, 64], 2.0 for 2.

    Searches that differ in how a value is written alone are one, and so are their trials. A choice that the variant
    refuses stays as it is.
    """
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None:
            parameter = parameter.model_copy(
                update={"choice": tuple(settled_value(search, key, v, registry, preset) for v in parameter.choice)}
            )
        space[key] = parameter
    return search.model_copy(update={"space": space})


def settled_value(search: Search, key: str, value: Any, registry: Registry, preset: Preset) -> Any:
    """One value as model and training have it."""
    model, train = overrides({key: value})
    if model and type(value) is not int:
        return value  # a resolved variant has it as it was written
    try:
        node = settle(search, {key: value}, registry, preset)[0] if model else {}
        found = value_at(key, node, TrainConfig.model_validate(train))
    except (ConfigError, pydantic.ValidationError, KeyError, TypeError):
        return value
    return found if train or isinstance(found, float) else value


def value_at(key: str, node: dict[str, Any], train: TrainConfig) -> Any:
    """The value of a parameter in a model node and a training configuration."""
    place: Any = {**node, "train": train.model_dump(mode="json")}
    return functools.reduce(lambda inside, part: inside[part], key.split("."), place)
