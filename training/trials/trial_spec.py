"""What decides a trial's result, and its file in the trial's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from dlkd.data import Category, dataset_label
from dlkd.data.digest import category_digest, file_digest
from dlkd.files import write_text
from dlkd.registry import Registry
from dlkd.registry.located_yaml import dump_yaml, parse_yaml
from dlkd.registry.problems import ConfigError
from dlkd.training.config import TrainConfig
from dlkd.training.seeds import derive_seed
from dlkd.training.thresholds.calibration import CalibrationError
from dlkd.training.trials.identity import (
    DATA,
    PLACE_ONLY,
    by_contents,
    file_contents,
    path_arguments,
    placeless_dataset,
)
from dlkd.training.trials.trial_folder import SPEC


class TrialError(ValueError):
    """A trial directory that cannot be used as asked; names it, and says what to do instead."""


class TrialSpec(pydantic.BaseModel):
    """Everything that decides a trial's result, as plain data.

    Attributes:
        variant: name of the variant, for people.
        model: the resolved model node.
        dataset: the completed dataset node.
        category: one of the dataset's.
        train: training configuration.
        seed: base seed; weights, order and noise are seeded from it, the dataset and the category.
        start: digest of the weights that training starts from, empty where it starts from the model's own.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    variant: str
    model: dict[str, Any]
    dataset: dict[str, Any]
    category: str
    train: TrainConfig
    seed: int = 0
    start: str = ""

    @property
    def trial_seed(self) -> int:
        """The same for every variant, so that rows of a table are compared on the same draws."""
        return derive_seed(self.seed, self.dataset["name"], self.category)

    def contents(self, registry: Registry, data: str | None = None) -> dict[str, str]:
        """Digests of what lies outside of the spec: the data, and each file or folder that the model names by its path.

        Args:
            registry: builds the dataset, and knows which arguments are paths.
            data: `category_digest` of the trial's category, where it is known already.

        Raises:
            DataError: a file that cannot be read.
        """
        found = category_digest(load_category(self, registry)) if data is None else data
        return {DATA: found, **file_contents(self.model, path_arguments("model", self.model, registry))}

    def identity(self, contents: Mapping[str, str]) -> dict[str, Any]:
        """All that decides the result, and nothing else: two trials with one identity are the same trial.

        Neither the variant's name nor the place of a file is in it, but the `contents` that were found there.
        """
        plain = self.model_dump(mode="json", exclude={"variant": True, "train": PLACE_ONLY})
        plain["train"]["image_size"] = list(self.train.sides)
        if plain["train"]["calibrate"] is None:  # as before there was such a setting
            del plain["train"]["calibrate"]
        plain["model"] = by_contents(plain["model"], contents)
        plain["dataset"] = placeless_dataset(plain["dataset"], contents.get(DATA, ""))
        return plain


def load_category(spec: TrialSpec, registry: Registry) -> Category:
    """The samples of a trial. Raises ConfigError where its dataset has no place, as that of a saved model."""
    category: Category = registry.build("dataset", registry.complete("dataset", spec.dataset)).load(spec.category)
    return category


def check_held_out(specs: Iterable[TrialSpec], registry: Registry) -> None:
    """Raise TrialError where images that `train.calibrate` holds out are too few; names all such categories."""
    problems: dict[str, None] = {}
    for spec in specs:
        if spec.train.calibrate is not None:
            place = f"{dataset_label(spec.dataset)}/{spec.category}"
            try:
                spec.train.calibrate.check(len(load_category(spec, registry).train), place)
            except CalibrationError as error:
                problems[str(error)] = None
    if problems:
        raise TrialError("\n".join(problems))


def read_trial(folder: Path) -> TrialSpec:
    """The spec of a trial directory. Raises TrialError where there is none."""
    return read_spec(folder)[0]


def read_spec(folder: Path) -> tuple[TrialSpec, dict[str, str]]:
    """The spec of a trial directory, and the contents that it was claimed with."""
    path = folder / SPEC
    try:
        held = parse_yaml(path.read_text(encoding="utf-8"), str(path)).data
        contents = held.pop("contents", {}) if isinstance(held, dict) else {}
        return TrialSpec.model_validate(held), contents
    except FileNotFoundError as error:
        raise TrialError(f"{folder} is no trial: it has no {SPEC}; `dlkd train` makes one") from error
    except (OSError, UnicodeDecodeError, ConfigError, pydantic.ValidationError) as error:
        raise TrialError(f"{path} cannot be read: {error}") from error


def write_spec(folder: Path, spec: TrialSpec, contents: Mapping[str, str]) -> None:
    """Write the spec into a trial's folder, with the contents that it was claimed with."""
    write_text(folder / SPEC, dump_yaml(spec.model_dump(mode="json") | {"contents": dict(contents)}))


def weights_digest(weights: Path) -> str:
    """What `TrialSpec.start` holds of a file of weights: a hash of its contents. Raises TrialError without one."""
    if not weights.is_file():
        raise TrialError(
            f"{weights} does not exist: a finished `dlkd train` leaves it, `ablate --keep results` does not"
        )
    return file_digest(weights)[:16]
