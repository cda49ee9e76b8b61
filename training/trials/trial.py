"""One trial: one variant trained and scored on one category with one seed, in one directory."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import lightning as L

from dlkd.data.verify import verify
from dlkd.files import alone, delete, write_text
from dlkd.models.detector import Detector
from dlkd.registry import Registry
from dlkd.training.data_module import CategoryData
from dlkd.training.device import device
from dlkd.training.evaluate import alarm, evaluate
from dlkd.training.feature_cache import feature_cache
from dlkd.training.fit import fit_rest, train_by_gradient
from dlkd.training.held_out import held_out_range
from dlkd.training.loggers import Loggers
from dlkd.training.module import DetectorTask
from dlkd.training.normal_images import range_after_training
from dlkd.training.one_process import GENERATORS
from dlkd.training.saved.weights import load_weights, save_weights
from dlkd.training.trials.claim import claim
from dlkd.training.trials.costs import costs, versions
from dlkd.training.trials.identity import differences
from dlkd.training.trials.kept_images import keep_images
from dlkd.training.trials.kept_influences import keep_influences
from dlkd.training.trials.trial_folder import LAST, RESULT, THRESHOLDS, WEIGHTS
from dlkd.training.trials.trial_result import TrialResult, read_result
from dlkd.training.trials.trial_spec import TrialError, TrialSpec, check_held_out, load_category, write_spec


def run_trial(
    spec: TrialSpec,
    folder: Path,
    registry: Registry,
    *,
    resume: bool = False,
    start: Path | None = None,
    keep_state: bool = False,
    bar: bool = False,
    on_epoch: Callable[[float], None] | None = None,
    contents: Mapping[str, str] | None = None,
    loggers: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
) -> TrialResult:
    """Train and score a trial, leaving spec, checkpoint, weights, examples, influences and result in `folder`.

    Args:
        spec: what to run.
        folder: the trial's directory.
        registry: builds the model and the dataset.
        resume: go on from the last checkpoint in `folder`; a finished trial is read, not run again, unless `spec`
            trains longer: it goes on from its last whole epoch, with the bits of an uninterrupted training. Its
            result, weights and spec stay until the longer training has ended.
        start: weights that training starts from; `spec.start` is their `weights_digest`.
        keep_state: leave the last whole epoch's checkpoint, three times the weights, so that the trial can go on.
        bar: show progress bars of training and scoring.
        on_epoch: called with the fraction done after each epoch.
        contents: `spec.contents` as somebody found it who goes by it, as a grid's keys do.
        loggers: names of Lightning's loggers, see `dlkd.training.loggers`.
        rows: grid and row of each table that the trial stands in, for the loggers.

    Raises:
        TrialError: `folder` holds another trial, or one and `resume` is not set; or the data or a file of weights are
            not those of `contents`; or training images are too few for `train.calibrate`.
        MachineError: there is no GPU for `train.compile: graphs`.
        DataError: the data cannot be read.
        KeyboardInterrupt: on Ctrl-C; the last checkpoint stays.
    """
    begun = perf_counter()
    spec.train.check_device(gpu=device().type == "cuda")
    check_held_out([spec], registry)
    found = spec.contents(registry)
    if contents is not None and found != contents:
        what = "; ".join(differences(spec.identity(contents), spec.identity(found)))
        raise TrialError(f"{what} since this run began, or differs on this machine; run the same command again")
    with alone(folder):
        longer = claim(spec, found, folder, resume)
        if (folder / RESULT).exists() and not longer:
            try:
                return read_result(folder)
            except TrialError as error:
                logging.getLogger("dlkd").warning("%s; the trial is run again", error)
                delete(folder / RESULT)
        with Loggers(loggers, folder, spec, rows) as logs:
            return _run(spec, found, folder, registry, start, keep_state, bar, on_epoch, logs, begun)


def _run(
    spec: TrialSpec,
    contents: Mapping[str, str],
    folder: Path,
    registry: Registry,
    start_from: Path | None,
    keep_state: bool,
    bar: bool,
    on_epoch: Callable[[float], None] | None,
    logs: Loggers,
    begun: float,
) -> TrialResult:
    category = load_category(spec, registry)
    verify(category)  # damage in the last test image is found now, not after the training
    with GENERATORS:
        L.seed_everything(spec.trial_seed, workers=True, verbose=False)
        model: Detector = registry.build("model", spec.model)
    if start_from is not None:
        load_weights(model, start_from)
    data = CategoryData(category, spec.train, model, spec.trial_seed)
    features = feature_cache(model.to(device()), data.train_set, spec.train)
    task = DetectorTask(model, spec.train, spec.trial_seed, features)
    start = perf_counter()
    curve = train_by_gradient(
        task, data, folder, bar=bar, on_epoch=on_epoch, keep_state=keep_state, loggers=logs.loggers
    )
    spent = {"train_seconds": perf_counter() - start}
    start = perf_counter()
    halves = model.fits and spec.train.calibrate is None
    held_out = held_out_range(model, data, spec.trial_seed, bar=bar) if halves else None
    spent["normal_seconds"] = perf_counter() - start
    start = perf_counter()
    fit_rest(model, data, spec.trial_seed)
    spent["train_seconds"] += perf_counter() - start
    start = perf_counter()
    normal = held_out or range_after_training(model.to(device()), data, bar=bar)
    spent["normal_seconds"] += perf_counter() - start
    evaluation = evaluate(model.to(device()), data, normal.threshold, bar=bar)
    spent["score_seconds"] = evaluation.seconds
    sizes = costs(model, spec)
    logs.result(evaluation.metrics, normal.threshold, task.steps)
    # The result of a shorter training stands until now; from here on its files are replaced.
    delete(folder / RESULT)
    delete(folder / THRESHOLDS)
    write_spec(folder, spec, contents)
    save_weights(model, folder / WEIGHTS)
    keep_images(folder, evaluation, data, normal)
    keep_influences(folder, evaluation.labels, evaluation.influences)
    spent["other_seconds"] = perf_counter() - begun - sum(spent.values())
    result = TrialResult(
        evaluation.metrics,
        evaluation.undefined,
        sizes | spent,
        curve,
        normal,
        alarm(evaluation, normal.threshold),
        versions(),
    )
    # Written last: a directory with a result is a whole trial.
    write_text(folder / RESULT, json.dumps(asdict(result), indent=1))
    if not keep_state:
        (folder / LAST).unlink(missing_ok=True)
    return result
