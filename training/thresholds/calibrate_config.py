"""The setting `train.calibrate`: normal training images that are held out for the alarm threshold."""

from __future__ import annotations

import math

import numpy as np
import pydantic

from dlkd.training.seeds import derive_seed
from dlkd.training.thresholds.calibration import CalibrationError, check_goal
from dlkd.training.thresholds.order_statistics import least_images, least_rate

HELD = "normal training images that were held out"


class Calibrate(pydantic.BaseModel):
    """How many normal training images are held out, and the false-alarm rate that the threshold is for.

    Attributes:
        hold_out: share of the training images; nothing is trained on them or fitted to them.
        false_alarm_rate: of new normal images, at most.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    hold_out: float = pydantic.Field(0.2, gt=0, lt=1)
    false_alarm_rate: float = pydantic.Field(0.05, gt=0, lt=1)

    def held(self, images: int, seed: int) -> list[int]:
        """Numbers of the held out ones of so many training images, rising; chosen by the seed."""
        order = np.random.default_rng(derive_seed(seed, "calibrate")).permutation(images)
        return sorted(int(i) for i in order[: self.count(images)])

    def count(self, images: int) -> int:
        """How many of so many training images are held out; one at least is left."""
        return max(0, min(images - 1, round(self.hold_out * images)))

    def check(self, images: int, place: str) -> None:
        """Raise CalibrationError where so many training images of a category, `place`, do not support the rate."""
        held, rate = self.count(images), self.false_alarm_rate
        needed = least_images(rate)
        if held >= needed:
            return
        ways = []
        if needed < images:
            ways.append(f"hold_out: {math.ceil(1000 * (needed - 0.5) / images) / 1000:g}")
        if held:
            ways.append(f"false_alarm_rate: {math.ceil(1000 * least_rate(held)) / 1000:g}")
        ways.append("no `calibrate`, and then `dlkd calibrate` with more images")
        try:
            check_goal("false_alarm_rate", rate, held, HELD, remedy=f". Take {', or '.join(ways)}")
        except CalibrationError as error:
            raise CalibrationError(f"train.calibrate: {place}: of {images} training images, {error}") from None
