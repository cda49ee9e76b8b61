"""Searches: a YAML file that says what to tune, and the study it stands for."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pydantic

from dlkd.ablations.plan.grid import ROOT, Line, anchored, as_meant, code_version, component_sources, shipped_grids
from dlkd.data.digest import Progress, category_digest
from dlkd.located_yaml import ConfigError, KeyPath, LocatedYaml, Problem, nearest, read_yaml
from dlkd.registry import Registry
from dlkd.training import METRICS, PRESETS, Preset, TrainConfig
from dlkd.training.identity import PLACE_ONLY, by_contents, file_contents, placeless_dataset

TRAIN = "train."
NOT_TUNED = {
    **dict.fromkeys(("epochs", "max_steps"), "the rungs share out the budget"),
    **dict.fromkeys(PLACE_ONLY, "it changes no result"),
    "score_at": "scores at different sizes cannot be compared",
}
"""Training arguments that a search may not vary, and why."""


class Parameter(pydantic.BaseModel):
    """What one parameter may be; one of the three is given.

    Attributes:
        log: lowest and highest, even on a logarithmic scale.
        uniform: lowest and highest.
        choice: the values.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    log: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    uniform: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    choice: tuple[Any, ...] | None = None

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Parameter:
        if sum(given is not None for given in (self.log, self.uniform, self.choice)) != 1:
            raise ValueError("give one of log: [lowest, highest], uniform: [lowest, highest] and choice: [values]")
        ends = self.log or self.uniform
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(f"the lowest comes first, got {list(ends)}")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError("a logarithmic scale begins above 0")
        if self.choice is not None and len(set(map(json.dumps, self.choice))) != len(self.choice):
            raise ValueError("a value stands twice")
        if self.choice is not None and len(self.choice) < 2:
            raise ValueError("two values at least")
        return self

    @property
    def kind(self) -> str:
        """log, uniform or choice."""
        return next(name for name in ("log", "uniform", "choice") if getattr(self, name) is not None)

    @property
    def values(self) -> tuple[Any, ...]:
        """Both ends, or all choices."""
        return tuple(getattr(self, self.kind))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same for Optuna, which takes plain choices only: they are JSON there."""
        if self.choice is not None:
            return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in self.choice])
        low, high = self.values
        return optuna.distributions.FloatDistribution(low, high, log=self.log is not None)

    def to_optuna(self, value: Any) -> Any:
        """A value as `distribution` has it."""
        return value if self.choice is None else json.dumps(value)

    def from_optuna(self, value: Any) -> Any:
        """A value that Optuna suggests."""
        return value if self.choice is None else json.loads(value)


class Search(pydantic.BaseModel):
    """The `search:` of a file.

    Attributes:
        variant: what is tuned.
        space: the parameters by key: `loss.alpha` as in YAML, `train.lr` for the training configuration.
        trials: how many settings are tried.
        metric: what is to be as high as can be, on the validation images.
        rungs: how often a trial is compared with the others; behind, it is stopped.
        reduction: one in so many goes on at each rung, with so many times the training.
        share: of the normal training images, what validates: as they are, and once more with planted defects.
        seed: of the suggestions, the split, the weights and the noise.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    variant: str
    space: dict[str, Parameter] = pydantic.Field(min_length=1)
    trials: int = pydantic.Field(20, ge=1)
    metric: str = "image_auroc"
    rungs: int = pydantic.Field(3, ge=1, le=6)
    reduction: int = pydantic.Field(3, ge=2)
    share: float = pydantic.Field(0.2, gt=0, lt=1)
    seed: int = 0

    def budget(self, rung: int) -> float:
        """The part of the whole training after which a trial stands at `rung`, from 0."""
        return float(self.reduction) ** (rung + 1 - self.rungs)


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
        self, preset: str | None, datasets: list[str] | None, categories: list[str] | None, train: TrainConfig
    ) -> SearchFile:
        """The same with what was typed in its place, so that a report can say how to go on."""
        name = preset or self.preset or "demo"
        usual = PRESETS[name].train.model_dump(mode="json")
        own = {key: value for key, value in train.model_dump(mode="json").items() if value != usual[key]}
        said = {"datasets": tuple(datasets or self.datasets), "categories": tuple(categories or self.categories)}
        return self.model_copy(update={"preset": name, "train": own, **said})


class Study(pydantic.BaseModel):
    """All that decides a search's results, as plain data.

    Attributes:
        search: what the file says.
        under: the preset's model, which holds where neither the variant nor a parameter says otherwise.
        train: the whole training configuration of a trial that is never stopped.
        data: dataset nodes with a category each; a trial's score is the mean over them.
        digests: of the contents of each of `data`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    search: Search
    under: dict[str, Any]
    train: TrainConfig
    data: tuple[tuple[dict[str, Any], str], ...]
    digests: tuple[str, ...]

    def settings(self, parameters: dict[str, Any], registry: Registry) -> tuple[dict[str, Any], TrainConfig]:
        """Model node and training configuration of one trial."""
        model, train = overrides(parameters)
        node = registry.resolve(self.search.variant, model, under=self.under)
        return node, Preset(train=self.train).trained(train).train

    def usual(self, registry: Registry) -> dict[str, Any] | None:
        """The parameters that leave the variant as it is; None where the space does not hold them."""
        as_it_is = self.settings({}, registry)
        found = {}
        for name, parameter in self.search.space.items():
            if parameter.choice is None:
                value = _stands(name, *as_it_is)
                values = [float(value)] if parameter.values[0] <= value <= parameter.values[1] else []
            else:
                values = [v for v in parameter.choice if self.settings({name: v}, registry) == as_it_is]
            if not values:
                return None
            found[name] = values[0]
        return found

    def key(self, registry: Registry) -> str:
        """Hash of everything but the number of trials: a longer search goes on where a shorter one ended.

        Files count by their contents, not by their place, and the variant by what it is, not by its name.
        """
        decides = self.model_dump(
            mode="json", exclude={"search": {"trials", "variant"}, "train": PLACE_ONLY, "digests": True}
        )
        decides["model"] = self.settings({}, registry)[0]
        decides = by_contents(decides, file_contents({key: decides[key] for key in ("search", "model")}))
        data = zip(self.data, self.digests, strict=True)
        decides["data"] = [(placeless_dataset(node, digest), category) for (node, category), digest in data]
        nodes = [self.settings({key: value}, registry)[0] for key, value in _probes(self.search)]
        own = {path for node in nodes for path in component_sources(registry, "model", node)}
        own |= {path for node, _ in self.data for path in component_sources(registry, "dataset", node)}
        own.add(ROOT / "ablations" / "search" / "worker.py")
        code = [code_version(), *sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in own)]
        return hashlib.sha256(json.dumps([decides, code], sort_keys=True).encode()).hexdigest()[:16]


def search_folder(study: Study, registry: Registry, store: Path) -> Path:
    """Where the search's trials lie."""
    return store / f"search-{study.key(registry)}"


def trial_key(parameters: dict[str, Any]) -> str:
    """The name of a trial's folder."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]


def overrides(parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """{"loss.alpha": 0.1, "train.lr": 0.2} -> {"loss": {"alpha": 0.1}}, {"lr": 0.2}"""
    model: dict[str, Any] = {}
    train: dict[str, Any] = {}
    for key, value in parameters.items():
        if key.startswith(TRAIN):
            train[key.removeprefix(TRAIN)] = value
        else:
            *parents, last = key.split(".")
            functools.reduce(lambda place, parent: place.setdefault(parent, {}), parents, model)[last] = value
    return model, train


def settled(search: Search, registry: Registry, under: dict[str, Any]) -> Search:
    """The same with each number among the choices as model and training have it: 64 for [64, 64], 2.0 for 2.

    Searches that differ in how a value is written alone are one, and so are their trials. A choice that the variant
    refuses stays as it is.
    """
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None:
            parameter = parameter.model_copy(
                update={"choice": tuple(_settled(search.variant, key, v, registry, under) for v in parameter.choice)}
            )
        space[key] = parameter
    return search.model_copy(update={"space": space})


def _settled(variant: str, key: str, value: Any, registry: Registry, under: dict[str, Any]) -> Any:
    model, train = overrides({key: value})
    if model and type(value) is not int:
        return value  # a resolved variant has it as it was written
    try:
        node = registry.resolve(variant, model, under=under) if model else {}
        found = _stands(key, node, TrainConfig.model_validate(train))
    except (ConfigError, pydantic.ValidationError, KeyError, TypeError):
        return value
    return found if train or isinstance(found, float) else value


def _stands(key: str, node: dict[str, Any], train: TrainConfig) -> Any:
    """The value of a parameter in a model node and a training configuration."""
    place: Any = {**node, "train": train.model_dump(mode="json")}
    return functools.reduce(lambda inside, part: inside[part], key.split("."), place)


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
    search = settled(_anchored(found.search, document, registry, preset.model), registry, preset.model)
    datasets = tuple(anchored(text, document.folder) for text in found.datasets)
    found = found.model_copy(update={"search": search, "datasets": datasets})
    found._source = document
    return found


def _anchored(search: Search, document: LocatedYaml, registry: Registry, under: dict[str, Any]) -> Search:
    """The same with paths among the choices absolute; they are relative to the file, as everywhere."""
    space = {}
    for key, parameter in search.space.items():
        if parameter.choice is not None and not key.startswith(TRAIN):
            choice = []
            for value in parameter.choice:
                model, _ = overrides({key: value})
                over = LocatedYaml(document.file, model, folder=document.folder)
                node = registry.resolve(search.variant, model, under=under, source=over)
                choice.append(_with_paths(value, _stands(key, node, TrainConfig())))
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
    if preset.train.epochs == 0 or preset.train.max_steps == 0:
        raise ValueError("a search needs training to compare; give --steps or --epochs above 0")
    places = tuple((node, category) for node, categories in data for category in categories)
    loaded = [registry.build("dataset", node).load(category) for node, category in places]
    digests = tuple(category_digest(category, progress=progress) for category in loaded)
    search = settled(search, registry, preset.model)
    study = Study(search=search, under=preset.model, train=preset.train, data=places, digests=digests)
    for name, value in _probes(search):
        study.settings({name: value}, registry)  # the file was checked with its own preset, not with one that was typed
    return study


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
        under = PRESETS[found.preset].model if found.preset in PRESETS else PRESETS["demo"].model
        for key, parameter in search.space.items():
            yield from _check_parameter(search, key, parameter, document, registry, under)


def _check_parameter(
    search: Search, key: str, parameter: Parameter, document: LocatedYaml, registry: Registry, under: dict[str, Any]
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
        settings = [json.dumps(_settled(search.variant, key, v, registry, under)) for v in parameter.choice]
        if len(set(settings)) != len(settings):
            yield document.problem((*path, "choice"), "a value stands twice, written in two ways")
            return
    refused = [_refused(search.variant, key, value, registry, under) for value in parameter.values]
    faults: dict[str, list[tuple[int, str]]] = {}
    for i, messages in enumerate(refused):
        for message in messages:
            faults.setdefault(message.rsplit(", got ", 1)[0], []).append((i, message))
    for found in faults.values():
        # What is wrong with every value is wrong with the key.
        first, message = found[0]
        yield document.problem(path if len(found) == len(refused) else (*path, parameter.kind, first), message)


def _refused(variant: str, key: str, value: Any, registry: Registry, under: dict[str, Any]) -> list[str]:
    """What is wrong with a value; nothing where the variant takes it."""
    model, train = overrides({key: value})
    if train:
        name = key.removeprefix(TRAIN)
        if name not in TrainConfig.model_fields:
            return [f"training has no argument '{name}'{nearest(name, TrainConfig.model_fields)}"]
        if name in NOT_TUNED:
            return [f"'{name}' is not to be varied: {NOT_TUNED[name]}"]
        try:
            TrainConfig.model_validate(train, strict=not isinstance(value, list))  # 7.3 is no batch size
        except pydantic.ValidationError as error:
            return [f"{e['msg'].removeprefix('Input ')}, got {value!r}" for e in error.errors()]
        return []
    try:
        registry.resolve(variant, model, under=under)
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []


def _probes(search: Search) -> Iterator[tuple[str, Any]]:
    for key, parameter in search.space.items():
        for value in parameter.values:
            yield key, value


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
