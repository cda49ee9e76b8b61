"""The trainable of a search: a worker process that takes one setting after another from rung to rung."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import torch
from ray import tune

from dlkd.ablations.search.records import DIVERGED, DONE, RUNGS, read_rungs
from dlkd.ablations.search.study import Study
from dlkd.data import Category, carve_validation, dataset_labels
from dlkd.files import alone, delete, file_name, write_text
from dlkd.registry import Registry, load_registry, load_same
from dlkd.training import TrainConfig
from dlkd.training.data_module import CategoryData
from dlkd.training.device import device, hide_gpus
from dlkd.training.evaluate import evaluate
from dlkd.training.feature_cache import feature_cache
from dlkd.training.fit import fit_rest, train_by_gradient
from dlkd.training.module import DetectorTask, NonFiniteLossError
from dlkd.training.seeds import derive_seed
from dlkd.training.trials.claim import mend_trial
from dlkd.training.trials.trial_folder import LAST

WORST = 0.0
"""The score of a setting whose loss turns NaN: every metric runs from 0 to 1."""


class SearchWorker(tune.Trainable):
    """Trains the setting `config["parameters"]`: each step takes it to its next rung and scores it.

    Receives plain data only: `study`, the `folder` of the search, `registry` and `imports` files, `threads`, and
    whether it takes a `gpu`. A rung that stands in the trial's folder is not trained again, so that a trial goes on
    where a dead process left it.
    """

    def setup(  # type: ignore[override]  # `tune.with_parameters` gives more than Tune alone
        self, config: dict[str, Any], plain: dict[str, Any]
    ) -> None:
        """Take the study and a setting; called once per process, `reset_config` for the settings after the first."""
        torch.set_num_threads(plain["threads"])
        if not plain.get("gpu"):
            hide_gpus()
        load_same(plain["imports"])
        self.registry = load_registry(*map(Path, plain["registry"]))
        self.study = Study.model_validate(plain["study"])
        self.root = Path(plain["folder"])
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next setting in the same process."""
        self.cleanup()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train to the next rung and score; `status` is set where the trial ends."""
        self.at_rest = False
        result = take_to_rung(self.study, self.parameters, self.rung, self.folder, self.registry)
        self.at_rest = True
        self.rung += 1
        status = DIVERGED if result["note"] else DONE if self.rung == self.study.search.rungs else ""
        resource = self.study.search.reduction ** (self.rung - 1)
        return {**result, "rung": self.rung, "resource": resource, "status": status, "done": bool(status)}

    def cleanup(self) -> None:
        """Drop the checkpoints of a trial that has ended or been stopped; after an error another process has them."""
        if self.at_rest and self.folder.is_dir():
            for place in self.folder.iterdir():
                if place.is_dir() or place.suffix == ".lock":  # a category's folder, and what held it
                    delete(place)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Tune keeps nothing: the checkpoints are in the trial's folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""

    def _begin(self, config: dict[str, Any]) -> None:
        self.parameters = {
            name: p.from_optuna(config["parameters"][name]) for name, p in self.study.search.space.items()
        }
        self.folder = self.root / config["key"]
        self.rung = 0
        self.at_rest = True


def take_to_rung(
    study: Study, parameters: dict[str, Any], rung: int, folder: Path, registry: Registry
) -> dict[str, Any]:
    """Train a setting to `rung` (from 0), in every category, and score it on the carved validation images.

    Returns:
        `score`, the mean of `scores` by category; `steps` trained so far, by category; `seconds` of this rung;
        `note`, why a setting's training ended before its time.
    """
    with alone(folder):
        return _take(study, parameters, rung, folder, registry)


def _take(study: Study, parameters: dict[str, Any], rung: int, folder: Path, registry: Registry) -> dict[str, Any]:
    path = folder / RUNGS
    known = read_rungs(path)
    if known is None:  # broken; how far the checkpoints came is not known
        for left in folder.iterdir():
            delete(left)
        known = []
    if rung < len(known):
        return known[rung]
    begun = perf_counter()
    note = ""
    scores: dict[str, float] = {}
    steps: dict[str, int] = {}
    try:
        labels = dataset_labels([node for node, _ in study.data])
        for label, (node, name) in zip(labels, study.data, strict=True):
            place = f"{label}/{name}"
            category = registry.build("dataset", node).load(name)
            own = folder / file_name(place)
            scores[place], steps[place] = _score(study, parameters, rung, category, own, registry)
        score = sum(scores.values()) / len(scores)
    except NonFiniteLossError as error:
        score, note = WORST, str(error)
    result = {"score": score, "scores": scores, "steps": steps, "seconds": perf_counter() - begun, "note": note}
    write_text(path, json.dumps([*known, result], indent=1))
    return result


def validation(study: Study, category: Category) -> Category:
    """The category that a search sees: no test image is in it."""
    return carve_validation(category, share=study.search.share, seed=study.search.seed)


def rung_config(train: TrainConfig, share: float, steps_an_epoch: int) -> TrainConfig:
    """Training up to a share of the whole; a part of it is whole epochs, and one at least."""
    steps = train.steps(steps_an_epoch)
    epochs = max(1, round(share * steps / steps_an_epoch))
    if share == 1 or epochs * steps_an_epoch >= steps:
        return train
    return train.model_copy(update={"epochs": epochs, "max_steps": -1})


def _score(
    study: Study, parameters: dict[str, Any], rung: int, category: Category, folder: Path, registry: Registry
) -> tuple[float, int]:
    node, train = study.settings(parameters, registry)
    carved = validation(study, category)
    seed = derive_seed(study.search.seed, category.dataset, category.name)
    L.seed_everything(seed, workers=True, verbose=False)
    model = registry.build("model", node)
    data = CategoryData(carved, train, model, seed)
    batches = len(data.train_dataloader())
    config = rung_config(train, study.search.budget(rung), batches)
    features = feature_cache(model.to(device()), data.train_set, train)
    mend_trial(folder)
    folder.mkdir(parents=True, exist_ok=True)
    task = DetectorTask(model, config, seed, features, steps=train.steps(batches))
    curve = train_by_gradient(task, data, folder, more=[_SaveAtEnd(folder)])
    fit_rest(model, data, seed)
    done = int(curve[-1]["step"]) if curve else 0  # a model without gradient has no steps
    return evaluate(model.to(device()), data).metrics[study.search.metric], done


class _SaveAtEnd(L.Callback):
    """Leaves the checkpoint that the next rung goes on from."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LAST

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs or trainer.global_step == trainer.max_steps:
            trainer.save_checkpoint(self.path)
