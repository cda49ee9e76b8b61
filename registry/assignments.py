"""KEY=VALUE as it is typed, as nested overrides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dlkd.registry.located_yaml import parse_yaml
from dlkd.registry.problems import ConfigError


def assignments(texts: Iterable[str] | None, option: str = "--set") -> dict[str, Any]:
    """["decoder.global=none", "sigma=2"] -> nested overrides, values read as YAML. Raises ValueError on any other text.

    >>> assignments(["decoder.global=none", "sigma=2"])
    {'decoder': {'global': 'none'}, 'sigma': 2}
    """
    nested: dict[str, Any] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise ValueError(f"{option} takes KEY=VALUE such as decoder.global=none, got '{text}'")
        try:
            parsed = parse_yaml(value, option).data
        except ConfigError as error:
            raise ValueError(f"{option} {key}: cannot read the value '{value}'") from error
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ValueError(f"{option} {key}: '{parent}' is given a value already")
        place[last] = parsed
    return nested
