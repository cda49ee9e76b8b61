"""A threshold for a trained model from pictures that it was not trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Any, TypeAlias, cast

from dlkd.data import DataError
from dlkd.data.digest import file_digest
from dlkd.data.pictures.picture import Picture
from dlkd.machine import expanded
from dlkd.registry import Registry
from dlkd.training.prediction.find_images import find_images
from dlkd.training.thresholds.calibration import CalibrationError, check_goal, for_false_alarm_rate, for_recall
from dlkd.training.trials.trial_result import NormalRange
from dlkd.training.trials.trial_spec import TrialSpec, load_category

Given: TypeAlias = "Picture | Sequence[Any] | None"
"""A folder, a list of pictures, one picture, or nothing."""


def calibrated_range(
    score: Callable[[Sequence[Picture]], list[float]],
    before: NormalRange,
    normal: Given,
    anomalous: Given,
    *,
    false_alarm_rate: float | None,
    recall: float | None,
    source: str = "",
) -> NormalRange:
    """`before` with the threshold for a wanted rate; see `TrainedModel.calibrate`.

    Args:
        score: gives the scores of pictures, in order.
        before: its colour scale and proportions stay.
        normal: normal pictures that the model was not trained on.
        anomalous: pictures with defects.
        false_alarm_rate: wanted of new normal pictures; or
        recall: wanted of new anomalous ones.
        source: what the pictures are, in words; default their folder.

    Raises:
        CalibrationError: the pictures are too few for the wanted rate, or of the wrong kind.
        DataError: a file or folder is not there or damaged.
    """
    if (false_alarm_rate is None) == (recall is None):
        raise CalibrationError("name one aim: a false-alarm rate (0.01) or a recall (0.95)")
    pictures = {"normal": pictures_of(normal), "anomalous": pictures_of(anomalous)}
    sources = {kind: _source(kind, given, source) for kind, given in (("normal", normal), ("anomalous", anomalous))}
    if false_alarm_rate is not None:
        check_goal("false_alarm_rate", false_alarm_rate, len(pictures["normal"]), sources["normal"])
    elif recall is not None:
        check_goal("recall", recall, len(pictures["anomalous"]), sources["anomalous"])
    scores = {kind: score(found) if found else [] for kind, found in pictures.items()}
    if false_alarm_rate is not None:
        threshold, found = for_false_alarm_rate(
            scores["normal"], false_alarm_rate, sources["normal"], scores["anomalous"]
        )
    elif recall is not None:
        threshold, found = for_recall(scores["anomalous"], recall, sources["anomalous"], scores["normal"])
    return before.calibrated(threshold, found)


def pictures_of(given: Given) -> list[Picture]:
    """The pictures of a folder, of a list, or the one that is given."""
    if given is None:
        return []
    if isinstance(given, str | PathLike) and expanded(given).is_dir():
        return list(find_images(expanded(given)))
    found: list[Picture] = list(given) if isinstance(given, list | tuple) else [cast(Picture, given)]
    return found


def refuse_trained_on(spec: TrialSpec, registry: Registry, normal: Given) -> None:
    """Raise CalibrationError where normal pictures are, by their contents, among those that a trial was trained on.

    The log tells where the trial's data are not to be found.
    """
    files = [expanded(p) for p in pictures_of(normal) if isinstance(p, str | PathLike)]
    try:
        samples = load_category(spec, registry).train if files else ()
        calibrate = spec.train.calibrate
        held = set(calibrate.held(len(samples), spec.trial_seed)) if calibrate else set()
        seen = {file_digest(sample.image) for i, sample in enumerate(samples) if i not in held}
    except (DataError, OSError) as error:
        logging.getLogger("dlkd").warning("whether the model was trained on these pictures cannot be told: %s", error)
        return
    if known := [file for file in files if file_digest(file) in seen]:
        raise CalibrationError(
            f"{len(known)} of {len(files)} normal pictures are among those that the model was trained on, such as "
            f"{known[0]}; their scores are too low for a threshold: take other pictures"
        )


def _source(kind: str, given: Given, source: str) -> str:
    where = f"pictures in {fspath(given)}" if isinstance(given, str | PathLike) else "pictures"
    return f"{kind} {source or where}"
