"""The folder of a saved model: `config.json`, plain data that decide all of it, and `model.safetensors`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch

from dlkd.files import write_text
from dlkd.models.detector import Detector
from dlkd.registry import ConfigError, Registry, list_components, weightless
from dlkd.registry.located_yaml import LocatedYaml, read_yaml
from dlkd.registry.problems import KeyPath, Problem, nearest
from dlkd.training.pretrained.tensors import read_tensors, write_tensors
from dlkd.training.pretrained.without_files import places, problems, without_files, without_places
from dlkd.training.trials.trial_result import TrialResult
from dlkd.training.trials.trial_spec import TrialError, TrialSpec

FORMAT = 1
"""Of `config.json`. It rises with any change of what a saved model means, of its resizing too."""

CONFIG = "config.json"
"""Written last: a folder with one is a whole model."""

TENSORS = "model.safetensors"
MODEL: KeyPath = ("trial", "model")
DATASET: KeyPath = ("trial", "dataset")

STRANGE = (
    "a component that is not dlkd's own is registered by its author's Python file, which runs: give it as imports= or "
    "--import, its registry file as registry_files= or --registry, and only where you trust both"
)


class Preprocessing(pydantic.BaseModel):
    """What a picture goes through before the network: resized as `dlkd.data.pictures.resize` does, then normalised.

    Attributes:
        height: of the network's images, in pixels.
        width: likewise.
        mean: taken off each channel in [0, 1].
        std: what each channel is divided by.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SavedConfig(pydantic.BaseModel):
    """`config.json` of a saved model.

    Attributes:
        format: see `FORMAT`.
        dlkd: the version that wrote it.
        trial: what was trained; its model names no file, its dataset no place.
        result: metrics, threshold and range of normal images, without the loss curve.
        preprocessing: what a picture goes through before the network.
        files: names of files that the training read and the saved model does not need, by the key of their argument.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    dlkd: str
    trial: TrialSpec
    result: TrialResult
    preprocessing: Preprocessing
    files: dict[str, str]

    @property
    def plain(self) -> dict[str, Any]:
        """As the file holds it: lists, and numbers that are not finite as text, since JSON has none."""
        found: dict[str, Any] = _plain(self.model_dump())
        return found


def saved_config(
    spec: TrialSpec, detector: Detector, result: TrialResult, registry: Registry, files: Mapping[str, str]
) -> SavedConfig:
    """What `config.json` says of a trained model. Raises ConfigError where it would name a file or hold any type."""
    model, read = without_files(registry, "model", spec.model)
    wrong = list(problems(registry, "model", model, LocatedYaml("cannot be saved", {}), ("model",)))
    if wrong:
        raise ConfigError(wrong)
    return SavedConfig(
        format=FORMAT,
        dlkd=version("dlkd"),
        trial=spec.model_copy(update={"model": model, "dataset": without_places(spec.dataset)}),
        result=TrialResult(**{**vars(result), "curve": []}),
        preprocessing=_preprocessing(spec, detector),
        files={**files, **read},
    )


def write_saved(config: SavedConfig, detector: Detector, folder: Path) -> None:
    """Write both files, `config.json` last. Raises CheckpointError or OSError (a full disk, say)."""
    write_tensors(detector, folder / TENSORS)
    write_text(folder / CONFIG, json.dumps(config.plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_saved(folder: Path, registry: Registry) -> tuple[SavedConfig, Detector]:
    """The model of a folder, which may come from a stranger: no code of it is run, and it opens no other file.

    Args:
        folder: holds both files.
        registry: knows the model's components.

    Raises:
        TrialError: the folder has no `config.json`.
        ConfigError: the file is of another format; a key is unknown, missing or has a value that it cannot have; a
            component is not registered; a value leads to a file. Each with file, line and key.
        CheckpointError: tensors cannot be read, or are not those of the model.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise TrialError(
            f"{folder} is no saved model: it has no {CONFIG}; `save_pretrained` of a trained model makes one"
        )
    located = read_yaml(path)  # of which JSON is a part; it refuses keys that stand twice
    config = _validated(located)
    detector = _built(config.trial, registry, located)
    if wrong := list(_differences(_plain(_preprocessing(config.trial, detector)), located, ("preprocessing",))):
        raise ConfigError(wrong)
    read_tensors(detector, folder / TENSORS)
    return config, detector.eval()


def _validated(located: LocatedYaml) -> SavedConfig:
    if located.problems:
        raise ConfigError(located.problems)
    data = located.data
    if not isinstance(data, dict) or "format" not in data:
        raise ConfigError([located.problem((), "not of dlkd: a saved model of it begins with `format`")])
    if data["format"] != FORMAT:
        said = f"a saved model of format {data['format']!r}, and this dlkd reads {FORMAT}; `dlkd` names its version"
        raise ConfigError([located.problem(("format",), said)])
    try:
        config = SavedConfig.model_validate(data)
    except pydantic.ValidationError as error:
        found = [located.problem(tuple(e["loc"]), str(e["msg"])) for e in error.errors()]
        raise ConfigError(found) from error
    # pydantic fills in what is missing and reads "1" as 1.
    if wrong := list(_differences(config.plain, located, ())):
        raise ConfigError(wrong)
    return config


def _built(spec: TrialSpec, registry: Registry, located: LocatedYaml) -> Detector:
    """The model with weights that are not read yet; those of frozen parts are random, as the file brings them."""
    checker = registry.checker()
    full = checker.complete("model", spec.model, located, MODEL)
    if found := [*checker.problems, *_wrong_dataset(spec, registry, located)]:
        hint = [Problem(located.file, 0, (), STRANGE)] if any("unknown" in p.message for p in found) else []
        raise ConfigError([*found, *hint])
    # The checker makes paths absolute, so that a path differs here too; `problems` says it better.
    wrong = list(problems(registry, "model", full, located, MODEL)) or list(_differences(full, located, MODEL))
    if wrong:
        raise ConfigError(wrong)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(spec.trial_seed)
            detector: Detector = registry.build("model", weightless(full))
    except Exception as error:  # whatever a constructor makes of a value that it did not foresee
        message = f"the model cannot be built: {type(error).__name__}: {error}"
        raise ConfigError([located.problem(MODEL, message)]) from error
    return detector


def _wrong_dataset(spec: TrialSpec, registry: Registry, located: LocatedYaml) -> Iterator[Problem]:
    """Its name must be known, since labels and seeds come of it; the data themselves are not needed."""
    name, known = str(spec.dataset.get("name")), list_components("dataset")
    if name not in known:
        yield located.problem((*DATASET, "name"), f"unknown dataset '{name}'{nearest(name, known)}")
        return
    kept = without_places(spec.dataset)
    for key in [key for key in spec.dataset if key not in kept]:
        yield located.problem((*DATASET, key), "names a place of files; a saved model has none")
    checker = registry.checker()
    somewhere = dict.fromkeys(places("dataset", name), ".")
    full = without_places(checker.complete("dataset", kept | somewhere, located, DATASET))
    yield from checker.problems or _unlike(kept, full, located, DATASET)


def _preprocessing(spec: TrialSpec, detector: Detector) -> Preprocessing:
    height, width = spec.train.sides
    return Preprocessing(height=height, width=width, mean=tuple(detector.mean), std=tuple(detector.std))


def _plain(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, Mapping):
        return {key: _plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _differences(wanted: Any, located: LocatedYaml, path: KeyPath) -> Iterator[Problem]:
    """Where the file differs from `wanted` below `path`: keys that are unknown or missing, other values."""
    given = located.data
    for key in path:
        given = given[key]
    yield from _unlike(given, wanted, located, path)


def _unlike(given: Any, wanted: Any, located: LocatedYaml, path: KeyPath) -> Iterator[Problem]:
    if isinstance(given, dict) and isinstance(wanted, dict):
        for key in [key for key in given if key not in wanted]:
            yield located.problem((*path, key), f"unknown key{nearest(str(key), map(str, wanted))}")
        for key in [key for key in wanted if key not in given]:
            yield located.problem(path, f"the key '{key}' is missing")
        for key in [key for key in wanted if key in given]:
            yield from _unlike(given[key], wanted[key], located, (*path, key))
    elif isinstance(given, list) and isinstance(wanted, list) and len(given) == len(wanted):
        for i, (one, other) in enumerate(zip(given, wanted, strict=True)):
            yield from _unlike(one, other, located, (*path, i))
    elif given != wanted or isinstance(given, bool) != isinstance(wanted, bool):
        yield located.problem(path, f"expected {wanted!r}, got {given!r}")
