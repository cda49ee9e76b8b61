"""Which training images are held out, and what is said where they are too few."""

from __future__ import annotations

import re

import pydantic
import pytest

from dlkd.training import TrainConfig
from dlkd.training.config import named_preset
from dlkd.training.thresholds.calibrate_config import Calibrate
from dlkd.training.thresholds.calibration import CalibrationError


def test_the_seed_chooses_a_share_and_leaves_one_image_at_least() -> None:
    calibrate = Calibrate(hold_out=0.25)
    assert len(calibrate.held(40, 0)) == calibrate.count(40) == 10
    assert calibrate.held(40, 0) == calibrate.held(40, 0) != calibrate.held(40, 1)
    assert set(calibrate.held(40, 0)) < set(range(40))
    assert [Calibrate(hold_out=0.9).count(n) for n in (0, 1, 2, 3)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("images", "hold_out", "rate"), [(60, 0.2, 0.01), (300, 0.1, 0.01), (7, 0.4, 0.2), (1, 0.5, 0.1)]
)
def test_too_few_images_say_what_would_do(images: int, hold_out: float, rate: float) -> None:
    calibrate = Calibrate(hold_out=hold_out, false_alarm_rate=rate)
    with pytest.raises(
        CalibrationError, match=rf"^train\.calibrate: elpv/mono: of {images} training images, "
    ) as raised:
        calibrate.check(images, "elpv/mono")
    assert "or no `calibrate`" in str(raised.value) or "Take no `calibrate`" in str(raised.value)
    ways = re.findall(r"(hold_out|false_alarm_rate): ([\d.]*\d)", str(raised.value))
    assert len(ways) == (2 if images in (300, 7) else 1 if images == 60 else 0)
    for name, value in ways:
        calibrate.model_copy(update={name: float(value)}).check(images, "elpv/mono")


def test_the_setting_is_read_as_other_settings_are() -> None:
    assert TrainConfig().calibrate is None
    assert TrainConfig.model_validate({"calibrate": "none"}).calibrate is None
    assert TrainConfig.model_validate({"calibrate": {}}).calibrate == Calibrate(hold_out=0.2, false_alarm_rate=0.05)
    read = TrainConfig.model_validate_json(TrainConfig(calibrate=Calibrate(hold_out=0.5)).model_dump_json())
    assert read.calibrate == Calibrate(hold_out=0.5)
    with pytest.raises(ValueError, match=r"calibrate.hold_ou: unknown key; did you mean 'hold_out'\?"):
        named_preset("demo", {"calibrate": {"hold_ou": 0.5}})
    for wrong in ({"hold_out": 0}, {"hold_out": 1.0}, {"false_alarm_rate": 1.5}, True, 0.2):
        with pytest.raises(pydantic.ValidationError, match="calibrate"):
            TrainConfig.model_validate({"calibrate": wrong})
