"""Parts of the page as HTML: pictures, maps, segmentations, rates and curves."""

from __future__ import annotations

import base64
import functools
import importlib.resources
import io
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlkd.app.choices import Report
from dlkd.app.curve import Curve
from dlkd.scoring.drawn import shrunk
from dlkd.scoring.scorer import Map, Normal, Pixels
from dlkd.text import plain
from dlkd.training.prediction.pictures import outline, overlay
from dlkd.training.trials.trial_result import Alarm

LONGEST = 768
"""Pixels of the longer side of a picture on the page."""

COLOUR_ENDS = (0.0, 2.0)
"""Of the one scale of all maps, in units of each model: see `Normal.in_units`."""

Mask = NDArray[np.bool_]


def picture(pixels: Pixels, name: str, label: str, mask: Mask | None) -> str:
    """The picture (h, w, 3), its ground truth (h, w) outlined."""
    shown = outline(pixels, mask) if mask is not None else pixels
    small = shrunk(shown, np.zeros(shown.shape[:2], np.float32), LONGEST)[0]
    return _part("picture", source=_source(small), name=name, label=label, size=small.shape[:2])


def heat_map(model: str, pixels: Pixels, anomaly_map: Map | None, normal: Normal, mask: Mask | None, note: str) -> str:
    """A model's map (h, w) over the picture, on the scale of all models, ground truth outlined."""
    if anomaly_map is None:
        said = "This model gives scores and no maps."
        return _part("heat_map", source="", model=model, size=(0, 0), note=f"{said} {note}".strip())
    small, shown = shrunk(pixels, normal.in_units(anomaly_map), LONGEST)
    drawn = overlay(small, shown, *COLOUR_ENDS, mask=_small_mask(mask, shown.shape))
    return _part("heat_map", source=_source(drawn), model=model, size=drawn.shape[:2], note=note)


def failed(model: str, said: str) -> str:
    """In the place of a map: why there is none."""
    return _part("heat_map", source="", model=model, size=(0, 0), note=said)


def verdict(
    model: str, score: float, normal: Normal, units: float, anomaly_map: Map | None, pixels: Pixels, mask: Mask | None
) -> str:
    """What a model says of the picture at a threshold of so many units, with its segmentation."""
    threshold = normal.from_units(units)
    about: dict[str, Any] = {"source": "", "size": (0, 0), "share": 0.0, "truth": mask is not None}
    if anomaly_map is not None:
        above = shrunk(pixels, anomaly_map, LONGEST)[1] > threshold
        drawn = np.repeat(above[..., None] * np.uint8(255), 3, axis=2)
        if (small := _small_mask(mask, above.shape)) is not None:
            drawn = outline(drawn, small)
        share = float((anomaly_map > threshold).mean())
        about |= {"source": _source(drawn, lossless=True), "size": above.shape, "share": share}
    return _part(
        "verdict", model=model, score=float(normal.in_units(score)), own_score=score, units=units, threshold=threshold,
        **about,
    )  # fmt: skip


def rates(model: str, alarm: Alarm, unread: tuple[str, ...], curve: Curve, units: float) -> str:
    """Precision and recall on the test images at a threshold of so many units, and their curves."""
    return _part("rates", model=model, alarm=alarm, unread=unread, curve=curve, units=units)


def scale() -> str:
    """The colour scale of all maps, in words and as a bar."""
    return _part("scale", colours=_bar())


def status(text: str, *, problem: bool = False) -> str:
    """A line that screen readers announce."""
    return _part("status", text=text, problem=problem)


def report(shown: Report, number: int) -> str:
    """A run's report in a frame, or how to write it."""
    return _part("report", report=shown, number=number, there=shown.file.is_file())


def _small_mask(mask: Mask | None, shape: tuple[int, ...]) -> Mask | None:
    """A mask at the size of a map on the page; a pixel stands for all of its block."""
    if mask is None or mask.shape == shape:
        return mask
    small: Mask = shrunk(np.zeros((*mask.shape, 3), np.uint8), mask.astype(np.float32), LONGEST)[1] > 0
    return small


def _bar() -> list[str]:
    """Colours of the scale over mid grey, as `overlay` lays them over a picture."""
    grey = np.full((1, 21, 3), 128, np.uint8)
    drawn = overlay(grey, np.linspace(*COLOUR_ENDS, 21, dtype=np.float32)[None], *COLOUR_ENDS)[0]
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in drawn.tolist()]


def _source(pixels: Pixels, *, lossless: bool = False) -> str:
    """A picture as a data URL."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "webp", quality=90, method=0, lossless=lossless)
    return "data:image/webp;base64," + base64.b64encode(held.getvalue()).decode("ascii")


def _part(macro: str, /, **values: Any) -> str:
    return str(getattr(_template(), macro)(**values))


@functools.cache
def _template() -> Any:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    source = importlib.resources.files("dlkd.app").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).module
