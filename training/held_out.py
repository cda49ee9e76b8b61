"""The range of normal images for models that keep what they were fitted to, such as a memory bank."""

from __future__ import annotations

import copy
import logging

from dlkd.models.detector import Detector
from dlkd.training.data_module import CategoryData
from dlkd.training.fit import fit_rest
from dlkd.training.normal_images import NormalScores, score_normal, spaced
from dlkd.training.trials.trial_result import NormalRange


def held_out_range(
    unfitted: Detector, data: CategoryData, seed: int, *, images: int = 64, bar: bool = False
) -> NormalRange | None:
    """The range of normal training images, each scored by a model that was fitted without it.

    A memory bank holds patches of the very images that it was fitted to, which are at no distance from it: a threshold
    of their scores would call nearly every new image anomalous. So a copy is fitted to every second image and scores
    the others, and another copy the other way round.

    Args:
        unfitted: the model after its training by gradient, before `fit`; it stays as it is.
        data: the category's images.
        seed: as of the fit to all images.
        images: at most so many are scored, evenly spaced.
        bar: show how far it is.

    Returns:
        None where half of the images are too few to fit to: fewer than two, or fewer than the model says. The log tells
        that the threshold will be too low.
    """
    total = len(data.train_set)
    if total < 4:
        _say_too_few(total, "half of them are fewer than two")
        return None
    found = NormalScores()
    chosen = spaced(data, images)
    frozen = [unfitted.get_submodule(name) for name in unfitted.frozen]
    for half in (0, 1):
        model = copy.deepcopy(unfitted, {id(part): part for part in frozen})  # which are large and do not change
        try:
            fit_rest(model, data, seed, only=range(1 - half, total, 2))
        except ValueError as error:  # all images may be enough
            _say_too_few(total, str(error))
            return None
        scored = [i for i in chosen if i % 2 == half]
        found.extend(score_normal(model, data.train_set, scored, data.config.batch_size, bar=bar))
    return found.range()


def _say_too_few(total: int, why: str) -> None:
    """Say that no image can be scored by a model that was fitted without it."""
    logging.getLogger("dlkd").warning(
        "%d training images are too few to hold half of them out (%s): the alarm threshold is of images that the model "
        "was fitted to, so expect false alarms",
        total, why,
    )  # fmt: skip
