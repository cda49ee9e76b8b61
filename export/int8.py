"""Files of 8 bit: ONNX Runtime's own quantisation of the convolutions, with a threshold of the quantised scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.data import Category, DataError, Sample
from dlkd.data.pictures.images import read_image
from dlkd.export.error import ExportError
from dlkd.export.metadata import Metadata
from dlkd.export.program import quiet
from dlkd.metrics import image_auroc
from dlkd.runtime.engine import Engine
from dlkd.training.prediction.trained_model import TrainedModel

CALIBRATED_ON = 24
"""Normal training images, at most, whose activations give the ranges of 8 bit, with a copy each that has a defect."""

NORMAL = 64
"""Normal training images, at most, whose scores give the threshold: as many as a trial takes."""

LARGEST_FALL = 0.005
"""Of image AUROC on the test images: half a point."""


def quantise(path: Path, category: Category) -> None:
    """Put the file of 8 bit in the place of an .onnx file of float32.

    Convolutions take 8 bit, except those of single channels and those with one output, such as the Gaussian smoothing
    of maps: with these, scores become constant.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = (
                {"pictures": pixels[None], "threshold": np.zeros((), np.float32)}
                for number, normal in enumerate(_pixels(_spaced(category.train, CALIBRATED_ON)))
                for pixels in (normal, spoiled(normal, number))
            )

        def get_next(self) -> Any:
            return next(self._feeds, None)

    chosen = _convolutions(onnx.load(path))
    if not chosen:
        raise ExportError("this model has no convolution that could take 8 bit; export it without int8")
    to = path.with_name(f"int8-{path.name}")
    with quiet():
        quantize_static(
            path, to, Pictures(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True,
            reduce_range=True, nodes_to_quantize=chosen,
        )  # fmt: skip
    to.replace(path)


def calibrated(trained: TrainedModel, engine: Engine, category: Category, metadata: Metadata) -> Metadata:
    """The metadata of a quantised file, with its own threshold and its AUROC.

    Raises ExportError where image AUROC falls by more than `LARGEST_FALL`, or cannot be told.
    """
    normal = list(_pixels(_spaced(category.train, NORMAL)))
    of_model = [score for pixels in normal for score in _model_scores(trained, pixels)]
    of_file = [_file_score(engine, pixels) for pixels in normal]
    labels = np.array([sample.label for sample in category.test])
    scores = np.array([_file_score(engine, pixels) for pixels in _pixels(category.test)], np.float32)
    before = trained.metrics["image_auroc"]
    after = float(image_auroc(scores, labels)) if len(scores) else math.nan
    if not math.isfinite(before) or not math.isfinite(after):
        raise ExportError("int8 needs test images with and without defects, to tell what it costs; this trial has none")
    if before - after > LARGEST_FALL:
        raise ExportError(
            f"image AUROC falls from {before:.4f} to {after:.4f} in 8 bit, by more than {LARGEST_FALL:g}: the file is "
            "not written; export it without int8"
        )
    figures = {"image_auroc": after, "of_float32": before, "normal_images": len(normal)}
    threshold = moved(metadata["threshold"], of_model, of_file)
    origin = f"{metadata['origin']}, moved to the same place among the scores of {len(normal)} images in 8 bit"
    return metadata | {"precision": "int8", "threshold": threshold, "origin": origin, "int8": figures}


def moved(threshold: float, before: Sequence[float], after: Sequence[float]) -> float:
    """The threshold among scores `after` that is as many standard deviations above their mean as among `before`.

    Of a threshold that is the mean + 3 standard deviations of scores it is the same of the others, and it serves any
    other rule too.

    >>> moved(4.0, [1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
    40.0
    """
    spread = float(np.std(before))
    if spread == 0:
        raise ExportError("all normal images have one score, so that 8 bit has no threshold; export without int8")
    return float(np.mean(after) + (threshold - np.mean(before)) / spread * np.std(after))


def spoiled(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """A copy of a picture (h, w, 3) with a black or a white rectangle of a third of each side.

    Ranges of normal images alone end where defects begin: all defects would have one score.
    """
    copy = picture.copy()
    h, w = copy.shape[:2]
    copy[h // 3 : h // 3 + h // 3 + 1, w // 3 : w // 3 + w // 3 + 1] = 255 * (number % 2)
    return copy


def _convolutions(model: Any) -> list[str]:
    """Names of the convolutions of several channels that have weights and several outputs."""
    weights = {each.name: each.dims for each in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type == "Conv" and (dims := weights.get(node.input[1])) is not None:
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            if groups == 1 and dims[0] > 1:
                found.append(node.name)
    return found


def _spaced(samples: Sequence[Sample], most: int) -> list[Sample]:
    return [samples[i] for i in sorted({int(i) for i in np.linspace(0, len(samples) - 1, min(most, len(samples)))})]


def _pixels(samples: Sequence[Sample]) -> Iterator[NDArray[np.uint8]]:
    return (read_image(sample.image) for sample in samples)


def _file_score(engine: Engine, pixels: NDArray[np.uint8]) -> float:
    return float(engine.run(pixels[None], engine.metadata["threshold"]).score[0])


def _model_scores(trained: TrainedModel, pixels: NDArray[np.uint8]) -> Iterator[float]:
    for each in trained.score([pixels], trained.range()):
        assert not isinstance(each, DataError)  # an array is read already
        yield each.score
