"""What the page offers: models by name, category and seed, and the reports of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlkd.ablations.ablation import Ablation, load_ablation
from dlkd.ablations.stored.run_folder import TRIALS
from dlkd.data import dataset_label
from dlkd.scoring.models import OfFile, OfTrial
from dlkd.scoring.scorer import Scorer
from dlkd.training.trials.trial_folder import RESULT, WEIGHTS

REPORT = "report.html"


@dataclass(frozen=True)
class Place:
    """A category of a dataset, as the dataset's label."""

    dataset: str
    category: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.category}"


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Attributes:
        names: the same model from the shortest name to the longest.
        path: what `load_scorer` takes.
        place: what it was trained on; None where that is not known: it is offered in every category.
        seed: of a run's row; None of a model, which is offered with every seed.
    """

    names: tuple[str, ...]
    path: Path
    place: Place | None
    seed: int | None = None

    @property
    def name(self) -> str:
        """The shortest of its names."""
        return self.names[0]


@dataclass(frozen=True)
class Report:
    """The report of a run: its name and its file, which may not be there."""

    name: str
    file: Path


@dataclass(frozen=True)
class Offer:
    """What the page offers.

    Attributes:
        choices: in the order of the command line, and of each run's rows; names are unique within a place and a seed.
        reports: of the runs.
        notes: what was left out, in sentences.
    """

    choices: tuple[Choice, ...]
    reports: tuple[Report, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> list[Place | None]:
        """The categories that are offered; None alone where no model names one."""
        return list(dict.fromkeys(c.place for c in self.choices if c.place is not None)) or [None]

    def seeds(self, place: Place | None) -> list[int]:
        """The seeds of the rows in a category, sorted."""
        return sorted({c.seed for c in self.choices if c.place == place and c.seed is not None})

    def at(self, place: Place | None, seed: int | None) -> dict[str, Choice]:
        """The models that can be chosen in a category and with a seed, by their names on the page."""
        return {c.name: c for c in self.choices if c.place in (place, None) and c.seed in (seed, None)}


def is_run(path: Path) -> bool:
    """Whether a path of the command line is a run's folder."""
    return (path / TRIALS).exists()


def place_of(scorer: Scorer) -> Place | None:
    """What a model was trained on; None where it does not say."""
    if isinstance(scorer, OfTrial):
        spec = scorer.trained.spec
        return Place(dataset_label(spec.dataset), spec.category)
    if isinstance(scorer, OfFile):
        about = scorer.detector.metadata
        if about.get("dataset") and about.get("category"):
            return Place(str(about["dataset"]), str(about["category"]))
    return None


def offer(models: Mapping[Path, Scorer], runs: Iterable[Path], scored_on: Place | None = None) -> Offer:
    """What models and runs have to choose from.

    Args:
        models: that are loaded, by their paths.
        runs: folders of ablations.
        scored_on: the category that the models are compared on, whatever they were trained on.

    Raises:
        ValueError: the models are of several categories, or a run cannot be read or has no trained row.
    """
    alone = [
        Choice((path.name, str(path)), path, place_of(scorer) if scored_on is None else scored_on)
        for path, scorer in models.items()
    ]
    _refuse_several_places(alone)
    rows, reports, notes = [], [], []
    for folder in runs:
        found, note = _rows(load_ablation(folder))
        rows += found
        notes += [note] if note else []
        reports.append(Report(folder.name or str(folder), folder / REPORT))
    return Offer(tuple(_named_apart([*rows, *alone])), tuple(reports), tuple(notes))


def _refuse_several_places(models: Sequence[Choice]) -> None:
    """Raise ValueError where models that are not a run's were trained on different categories."""
    places = {c.place: c for c in models if c.place is not None}
    if len(places) > 1:
        (one, first), (other, second), *_ = places.items()
        raise ValueError(
            f"{first.path} was trained on {one} and {second.path} on {other}; models side by side are of one category. "
            "Give models of one category, or the folder of a run, whose categories can be chosen on the page; or name "
            "the test images that all are to be compared on: --dataset NAME --category NAME"
        )


def _rows(run: Ablation) -> tuple[list[Choice], str]:
    """The rows of a run whose weights are here, and a note on the others."""
    lines = run.scores.drop_duplicates(["table", "label", "dataset", "category", "seed"])
    finished = lines[lines["status"].isin(["ok", "undefined"])]
    found = []
    for line in finished.to_dict("records"):
        folder, label, table = run.store / line["key"], str(line["label"]), line["table"]
        if (folder / WEIGHTS).exists() and (folder / RESULT).exists():
            names = (label, f"{table}: {label}", f"{run.folder.name}, {table}: {label}")
            place = Place(str(line["dataset"]), str(line["category"]))
            found.append(Choice(names, folder, place, int(line["seed"])))
    if not found:
        raise ValueError(
            f"{run.folder} has no trained row to show: {len(finished)} of its {len(lines)} trials are finished, none "
            f"has its weights in {run.store}. Trials that `dlkd ablate --keep results` made have none"
        )
    missing = len(lines) - len(found)
    note = f"{run.folder}: {missing} of {len(lines)} trials are not offered: not finished, or without weights"
    return found, note if missing else ""


def _named_apart(choices: Sequence[Choice]) -> list[Choice]:
    """The same choices, each called by the shortest name that no other one has beside it on the page."""
    found = list(choices)
    for _ in range(max((len(c.names) for c in found), default=1) - 1):
        called: dict[str, list[Choice]] = {}
        for c in found:
            called.setdefault(c.name, []).append(c)
        found = [
            replace(c, names=c.names[1:])
            if len(c.names) > 1 and any(_beside(c, other) for other in called[c.name] if other is not c)
            else c
            for c in found
        ]
    return found


def _beside(a: Choice, b: Choice) -> bool:
    """Whether two models can be chosen together."""
    return (a.place == b.place or None in (a.place, b.place)) and (a.seed == b.seed or None in (a.seed, b.seed))
