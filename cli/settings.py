"""What is typed, as the objects that it names: registries, presets, overrides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.cli.console import err
from dlkd.machine import choose_threads

if TYPE_CHECKING:
    from dlkd.registry import Registry
    from dlkd.registry.located_yaml import LocatedYaml
    from dlkd.training import Preset


def read_registry(files: list[Path] | None = None, imports: list[Path] | None = None) -> Registry:
    """The registry of `--registry` files, once the files of `--import` have registered their components."""
    from dlkd.registry import default_registry, load_file, load_registry

    for path in imports or []:
        load_file(path)
    return load_registry(*files) if files else default_registry()


def read_preset(
    name: str, base: dict[str, Any] | None = None, *, place: LocatedYaml | str = "", **typed: Any
) -> Preset:
    """A preset with `base`, training arguments of `place`, and then the typed ones laid over it; None is not typed."""
    from dlkd.registry.located_yaml import LocatedYaml as Document
    from dlkd.registry.problems import nearest
    from dlkd.training import PRESETS

    if name not in PRESETS:
        raise ValueError(f"unknown preset '{name}'{nearest(name, PRESETS)}")
    given = {key: value for key, value in typed.items() if value is not None}
    under = Document(place, {}) if isinstance(place, str) else place
    places = [(under, ("train",)), (Document("command line", {}), ())]
    return PRESETS[name].trained(base or {}, given, places=places)


def assignments(texts: list[str] | None, option: str = "--set") -> dict[str, Any]:
    """["decoder.global=none", "sigma=2"] -> nested overrides, values read as YAML."""
    from dlkd.registry.located_yaml import parse_yaml
    from dlkd.registry.problems import ConfigError

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


def take_threads(asked: int | None) -> None:
    """Set PyTorch's threads, and say where others compute too."""
    import torch

    threads, said = choose_threads(asked)
    torch.set_num_threads(threads)
    if said:
        err.print(said)
