"""The definition of a search: what is tuned, over which parameters, on which data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic

from dlkd.ablations.plan.grid import Line
from dlkd.ablations.plan.tuning import Tuning
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.training import PRESETS, TrainConfig


class Search(Tuning):
    """The `search:` of a file.

    Attributes:
        variant: what is tuned.
        overrides: laid over the variant, below the parameters.
    """

    variant: str
    overrides: dict[str, Any] = pydantic.Field(default_factory=dict)


class SearchFile(pydantic.BaseModel):
    """A file with a `search:`; the other keys mean what they mean in a grid."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    title: Line
    search: Search
    datasets: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    preset: str | None = None
    train: dict[str, Any] = {}

    _source: LocatedYaml = pydantic.PrivateAttr(default_factory=lambda: LocatedYaml("search", {}))
    """The file, for messages."""

    def settle(
        self, preset: str | None, datasets: Sequence[str], categories: Sequence[str], train: TrainConfig
    ) -> SearchFile:
        """The same with what was typed in its place, so that a report can say how to go on."""
        name = preset or self.preset or "demo"
        usual = PRESETS[name].train.model_dump(mode="json")
        own = {key: value for key, value in train.model_dump(mode="json").items() if value != usual[key]}
        said = {"datasets": tuple(datasets or self.datasets), "categories": tuple(categories or self.categories)}
        return self.model_copy(update={"preset": name, "train": own, **said})
