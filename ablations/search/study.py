"""The study that a search stands for: all that decides its results, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic

from dlkd.ablations.plan.keys import code_behind, hashed
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.values import settle, settled, value_at
from dlkd.data.digest import Progress, category_digest
from dlkd.registry import Registry
from dlkd.source_code import ROOT
from dlkd.training import Preset, TrainConfig
from dlkd.training.trials.identity import PLACE_ONLY, by_contents, file_contents, path_arguments, placeless_dataset


class Study(pydantic.BaseModel):
    """All that decides a search's results, as plain data.

    Attributes:
        search: what the file says.
        preset: the whole training of a trial that is never stopped, and what lies under the variant.
        data: dataset nodes with a category each; a trial's score is the mean over them.
        digests: of the contents of each of `data`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    search: Search
    preset: Preset
    data: tuple[tuple[dict[str, Any], str], ...]
    digests: tuple[str, ...]

    def settings(self, parameters: dict[str, Any], registry: Registry) -> tuple[dict[str, Any], TrainConfig]:
        """Model node and training configuration of one trial."""
        return settle(self.search, parameters, registry, self.preset)

    def usual(self, registry: Registry) -> dict[str, Any] | None:
        """The parameters that leave the variant as it is; None where the space does not hold them."""
        as_it_is = self.settings({}, registry)
        found = {}
        for name, parameter in self.search.space.items():
            if parameter.choice is None:
                value = value_at(name, *as_it_is)
                values = [float(value)] if parameter.values[0] <= value <= parameter.values[1] else []
            else:
                values = [v for v in parameter.choice if self.settings({name: v}, registry) == as_it_is]
            if not values:
                return None
            found[name] = values[0]
        return found

    def key(self, registry: Registry) -> str:
        """Hash of everything but the number of trials: a longer search continues where a shorter one ended.

        Files count by their contents, not by their place, and the variant by what it is, not by its name.
        """
        decides = self.model_dump(
            mode="json",
            exclude={"search": {"trials", "variant", "overrides"}, "preset": {"train", "said"}, "digests": True},
        )
        decides["model"], train = self.settings({}, registry)
        decides["train"] = train.model_dump(mode="json", exclude=PLACE_ONLY)
        folders = path_arguments("model", decides["model"], registry, "model")
        decides = by_contents(decides, file_contents({key: decides[key] for key in ("search", "model")}, folders))
        data = zip(self.data, self.digests, strict=True)
        decides["data"] = [(placeless_dataset(node, digest), category) for (node, category), digest in data]
        nodes = [self.settings({key: value}, registry)[0] for key, value in self.search.probes()]
        trained = [("model", node) for node in nodes] + [("dataset", node) for node, _ in self.data]
        code = code_behind(trained, registry, ROOT / "ablations" / "search" / "worker.py")
        return hashed([decides, sorted(code.values())])


def search_folder(study: Study, registry: Registry, store: Path) -> Path:
    """Where the search's trials lie."""
    return store / f"search-{study.key(registry)}"


def make_study(
    search: Search,
    registry: Registry,
    data: Sequence[tuple[dict[str, Any], Sequence[str]]],
    preset: Preset,
    progress: Progress | None = None,
) -> Study:
    """The study of a search on completed dataset nodes with their categories.

    Raises:
        ConfigError: a value does not fit the variant with this preset.
        ValueError: the budget is nothing.
        DataError: data cannot be read.
    """
    train = preset.settle(registry, search.variant)[1]
    if train.epochs == 0 or train.max_steps == 0:
        raise ValueError("a search needs training to compare; give --steps or --epochs above 0")
    places = tuple((node, category) for node, categories in data for category in categories)
    loaded = [registry.build("dataset", node).load(category) for node, category in places]
    digests = tuple(category_digest(category, progress=progress) for category in loaded)
    search = settled(search, registry, preset)
    study = Study(search=search, preset=preset, data=places, digests=digests)
    for name, value in search.probes():
        study.settings({name: value}, registry)  # the file was checked with its own preset, not with one that was typed
    return study
