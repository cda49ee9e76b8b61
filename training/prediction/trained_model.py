"""A trained model from its trial's folder, and its predictions for images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from dlkd.data import DataError, dataset_label
from dlkd.data.dataset import normalised
from dlkd.data.pictures.picture import Picture, rgb_of
from dlkd.data.pictures.proportions import proportions_of, squeezed
from dlkd.data.pictures.resize import resize
from dlkd.machine import expanded
from dlkd.models.detector import Detector
from dlkd.registry import Registry, default_registry, read_registry
from dlkd.training.device import device, exact_float32
from dlkd.training.prediction.calibrate import Given, calibrated_range, refuse_trained_on
from dlkd.training.prediction.find_images import find_images
from dlkd.training.prediction.prediction import Prediction
from dlkd.training.pretrained.hub import OnTheHub
from dlkd.training.pretrained.saved_model import CONFIG
from dlkd.training.saved.weights import load_weights
from dlkd.training.thresholds.calibration import CalibrationError
from dlkd.training.trials.kept_thresholds import keep_threshold, threshold_in_use
from dlkd.training.trials.trial_folder import RESULT, SPEC, WEIGHTS
from dlkd.training.trials.trial_result import NormalRange, TrialResult, read_result
from dlkd.training.trials.trial_spec import TrialError, TrialSpec, read_trial

if TYPE_CHECKING:
    import pandas as pd

ON_THE_HUB = "hub:"
"""Begins the name of a model on the Hugging Face hub where a folder could stand."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of a trained model for several images, computed batch by batch during iteration, and not stored.

    So a folder of any size needs the memory of one batch; `list(predictions)` keeps all, with maps at the network's
    size.
    """

    model: TrainedModel
    pictures: Sequence[Picture]
    normal: NormalRange
    batch_size: int

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Prediction]:
        for start in range(0, len(self), self.batch_size):
            for found in self.model.score(self.pictures[start : start + self.batch_size], self.normal):
                if isinstance(found, DataError):
                    raise found
                yield found

    def to_frame(self) -> pd.DataFrame:
        """Score all: picture (its path, or its place in the list), score, threshold, label."""
        import pandas as pd

        lines = [
            {"picture": name, "score": each.score, "threshold": each.threshold, "label": each.label}
            for name, each in zip(self._names(), self, strict=True)
        ]
        return pd.DataFrame(lines, columns=["picture", "score", "threshold", "label"])

    def _names(self) -> list[str | int]:
        return [str(p) if isinstance(p, str | PathLike) else i for i, p in enumerate(self.pictures)]

    def __repr__(self) -> str:
        return f"Predictions of {len(self)} pictures, made as they are iterated; see .to_frame()"


@dataclass(frozen=True, eq=False)
class TrainedModel(OnTheHub):
    """A trained model with the preprocessing, threshold and result of its trial.

    `save_pretrained(folder)` and `push_to_hub("organisation/name")` give it to others, `from_pretrained` reads it.

    Attributes:
        folder: of the trial, or of the saved model.
        spec: what was trained: variant, data, training arguments, seed.
        detector: the network, in eval mode. Its `forward` takes images that are resized and normalised already.
        result: metrics, costs, loss curve and threshold.
        registry: built the network; knows its components.
        files: names of files that a saved model's training read, by argument; a trial names its own in `spec`.

    >>> model = dlkd.load_model("runs/train/dlkd-textures-brick-seed0")   # doctest: +SKIP
    >>> found = model.predict("part.png")                                # doctest: +SKIP
    >>> found.score, found.label, found.map.shape                        # doctest: +SKIP
    (2.585, 'normal', (480, 640))
    """

    folder: Path
    spec: TrialSpec
    detector: Detector
    result: TrialResult
    registry: Registry = field(default_factory=default_registry, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """The image score above which a picture counts as anomalous; `origin` says where it comes from."""
        return self.result.normal.threshold

    @property
    def origin(self) -> str:
        """Where the threshold comes from, in words."""
        return self.result.normal.origin

    @property
    def tile(self) -> tuple[int, int] | None:
        """Height and width of the tiles that it was trained on (dataset `tiles`); None of whole pictures."""
        data = self.spec.dataset
        return (data["size"], data["size"]) if data.get("name") == "tiles" else None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the test images, as fractions; NaN where undefined. SegF1 is at the threshold of the training."""
        return dict(self.result.metrics)

    def calibrate(
        self,
        normal: Given = None,
        anomalous: Given = None,
        *,
        false_alarm_rate: float | None = None,
        recall: float | None = None,
        source: str = "",
        keep: bool = False,
    ) -> TrainedModel:
        """The same model with a threshold for a wanted false-alarm rate or a wanted recall.

        Of n normal pictures, the threshold is the score above which a new one lies with a probability of
        `false_alarm_rate` at most; of n anomalous ones, the score below which a new one lies with a probability of
        1 - `recall` at most. This holds for pictures of any distribution, if new ones come from the same.
        `origin` and `result.normal.calibration` have both rates with their intervals.

        Args:
            normal: normal pictures that the model was not trained on: a folder, or a list as `predict` takes it.
            anomalous: pictures with defects.
            false_alarm_rate: wanted; needs `normal`.
            recall: wanted; needs `anomalous`.
            source: what the pictures are, for `origin`: "pictures of line 2"; default the folder.
            keep: write the threshold into the trial's folder too, so that `load_model` and all commands take it.

        Raises:
            CalibrationError: the pictures are too few, or the model was trained on them, or on tiles.
            TrialError: `keep` is set and the model is not in a trial's folder.
            DataError: a file or folder is not there or damaged.
        """
        if self.tile is not None:
            raise CalibrationError(
                "this model was trained on tiles; a threshold of whole pictures is not that of tiles"
            )
        refuse_trained_on(self.spec, self.registry, normal)
        size = self.spec.train.batch_size
        found = calibrated_range(
            lambda pictures: [each.score for each in Predictions(self, pictures, self.result.normal, size)],
            self.result.normal, normal, anomalous,
            false_alarm_rate=false_alarm_rate, recall=recall, source=source,
        )  # fmt: skip
        if keep:
            keep_threshold(self.folder, found)
        return replace(self, result=replace(self.result, normal=found))

    @overload
    def predict(
        self, pictures: list[Any] | tuple[Any, ...], *, threshold: float | None = None, batch_size: int | None = None
    ) -> Predictions: ...
    @overload
    def predict(
        self, pictures: Picture, *, threshold: float | None = None, batch_size: int | None = None
    ) -> Prediction | Predictions: ...
    def predict(
        self,
        pictures: Picture | list[Any] | tuple[Any, ...],
        *,
        threshold: float | None = None,
        batch_size: int | None = None,
    ) -> Prediction | Predictions:
        """Score a picture, or several, with the preprocessing of the training: the numbers of `dlkd predict`.

        Warns where pictures have other proportions than the training's, since they are squeezed.

        Args:
            pictures: a file, a picture of Pillow's, uint8 RGB (h, w, 3) or grey (h, w); a list of such; or a folder, in
                which `find_images` looks.
            threshold: score above which a picture is called anomalous; default the trial's own.
            batch_size: pictures at a time, where there are several; default the training's. Scores of another batch
                size differ by rounding alone.

        Returns:
            Of one picture a `Prediction` (score, map, label, threshold); of a list or a folder `Predictions`, which are
            made batch by batch while they are iterated.

        Raises:
            DataError: a file or folder is not there, damaged or without pictures; of several pictures, once it is
                their turn.
            ValueError: it is no picture.
        """
        normal = self.range(threshold)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is 1 at least, got {batch_size}")
        size = batch_size or self.spec.train.batch_size
        folder = expanded(pictures) if isinstance(pictures, str | PathLike) else None
        if folder is not None and folder.is_dir():
            pictures = find_images(folder)
        given: Sequence[Picture] = pictures if isinstance(pictures, list | tuple) else [pictures]
        predicted = Predictions(self, given, normal, size)
        found = predicted if given is pictures else next(iter(predicted))
        if said := squeezed(list(map(proportions_of, given)), self.result.normal.proportions):
            warnings.warn(said, stacklevel=2)
        return found

    def range(self, threshold: float | None = None) -> NormalRange:
        """The range of normal images, with another threshold where one is given."""
        normal = self.result.normal
        return normal if threshold is None else NormalRange(normal.level, threshold)

    def score(self, pictures: Sequence[Picture], normal: NormalRange) -> list[Prediction | DataError]:
        """Predictions of one batch, in order; in the place of a picture that cannot be read its error."""
        read: list[tuple[Picture, tuple[int, int]] | DataError] = []
        batch = []
        for picture in pictures:
            try:
                pixels = rgb_of(picture)
            except DataError as error:
                read.append(error)
                continue
            read.append((picture, pixels.shape[:2]))
            batch.append(self.prepared(pixels))
        detected = iter(self.detect(batch))
        return [
            each if isinstance(each, DataError) else Prediction(*each, normal, *next(detected))  # in order
            for each in read
        ]

    def export(self, path: str | PathLike[str], *, format: str = "onnx", **more: Any) -> Any:
        """Write the model as one file that takes raw pictures of any size, and runs without dlkd: `dlkd.export.write`.

        Args:
            path: of the file: .onnx, .xml (OpenVINO) or .pt2 (torch).
            format: "onnx", "openvino" or "torch".
            more: see `dlkd.export.write.export`.

        Returns:
            `dlkd.export.write.Exported`, with the figures of the comparison with this model.

        Raises:
            ExportError: it cannot be exported, or the file does not give this model's results.
        """
        # By its name, as dlkd's own names are found: export/ imports this module.
        return import_module("dlkd.export.write").export(self, path, format=format, **more)

    def prepared(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """A picture (h, w, 3) as the network gets it: (3, h', w') of the training's image size, normalised."""
        return normalised(resize(pixels, self.spec.train.sides), self.detector.mean, self.detector.std)

    def detect(self, batch: Sequence[torch.Tensor]) -> list[tuple[float, torch.Tensor | None]]:
        """Score and map (h', w') of each prepared image of a batch; no map from a model that gives none."""
        if not batch:
            return []
        with torch.inference_mode(), exact_float32():
            detected = self.detector.detect(torch.stack(list(batch)).to(self.detector.device))
            scores = [float(score) for score in detected.scores]
            maps = [None] * len(scores) if detected.maps is None else list(detected.maps.float().cpu())
        return list(zip(scores, maps, strict=True))

    def __repr__(self) -> str:
        spec = self.spec
        place = f"{dataset_label(spec.dataset)}/{spec.category}"
        return f"TrainedModel({spec.variant} on {place}, seed {spec.seed}; in {self.folder})"


def load_model(
    folder: str | PathLike[str],
    registry: Registry | None = None,
    *,
    registry_files: Sequence[str | PathLike[str]] = (),
    imports: Sequence[str | PathLike[str]] = (),
) -> TrainedModel:
    """The trained model of a trial's folder, as `dlkd train`, `dlkd.train` or an ablation left it, or a saved model.

    Args:
        folder: of the trial, or one that `save_pretrained` made; or "hub:organisation/name" or, at one revision,
            "hub:organisation/name@revision", on the Hugging Face hub.
        registry: builds the model; default the packaged one with the files below.
        registry_files: YAML files of your own that the trial was trained with.
        imports: Python files that register your own components.

    Raises:
        TrialError: there is no trial, it is not finished, or it was kept without its weights.
        CheckpointError: its weights are broken.
        ConfigError, HubError: of a saved model, see `TrainedModel.from_pretrained`.

    >>> import dlkd
    >>> dlkd.load_model("runs/none")
    Traceback (most recent call last):
    dlkd.training.trials.trial_spec.TrialError: runs/none is no trial: it has no trial.yaml; `dlkd train` makes one
    """
    registry = registry or read_registry(list(map(expanded, registry_files)), list(map(expanded, imports)))
    if fspath(folder).startswith(ON_THE_HUB):
        name, _, revision = fspath(folder).removeprefix(ON_THE_HUB).partition("@")
        return TrainedModel.from_pretrained(name, revision=revision or None, registry=registry)
    path = expanded(folder)
    if (path / CONFIG).is_file() and not (path / SPEC).exists():
        return TrainedModel.from_pretrained(path, registry=registry)
    spec = read_trial(path)
    if not (path / RESULT).exists():
        raise TrialError(f"the trial in {path} is not finished: it has no {RESULT}; go on with `dlkd train --resume`")
    if not (path / WEIGHTS).exists():
        raise TrialError(
            f"{path} has no {WEIGHTS}: the trial was kept without its weights (`dlkd ablate --keep results`); "
            "train it again with `dlkd train`"
        )
    with torch.random.fork_rng():
        torch.manual_seed(spec.trial_seed)  # a teacher with random weights is the one that it was in training
        detector: Detector = registry.build("model", spec.model)
    load_weights(detector, path / WEIGHTS)
    result = read_result(path)
    result = replace(result, normal=threshold_in_use(path) or result.normal)
    return TrainedModel(path, spec, detector.eval().to(device()), result, registry)
