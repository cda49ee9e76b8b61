"""The export of a trained model to one file, past the gate."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import torch

from dlkd.data.pictures.picture import Picture
from dlkd.export import int8 as eight_bit
from dlkd.export.asked import SUFFIXES, check_asked
from dlkd.export.error import ExportError
from dlkd.export.formats import FORMATS
from dlkd.export.held_pictures import held_pictures
from dlkd.export.metadata import Metadata, metadata_of
from dlkd.export.network import exportable
from dlkd.export.parity import Parity, check, compare
from dlkd.export.picture_detector import PictureDetector
from dlkd.files import atomic_path
from dlkd.machine import expanded
from dlkd.training.prediction.trained_model import TrainedModel
from dlkd.training.trials.trial_spec import load_category

STEPS = 4
"""How often an export says what it does."""


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: of the file; OpenVINO's weights are beside it, with the suffix .bin.
        parity: how far its results are from the model's.
        metadata: as the file holds it.
    """

    path: Path
    parity: Parity
    metadata: Metadata

    def __str__(self) -> str:
        eight = self.metadata.get("int8")
        fall = f"\nimage AUROC {eight['image_auroc']:.4f}, of float32 {eight['of_float32']:.4f}" if eight else ""
        return (
            f"{self.path}: {self.parity}{fall}\nthreshold {self.metadata['threshold']:.4g}: {self.metadata['origin']}"
        )


def export(
    trained: TrainedModel,
    path: str | PathLike[str],
    *,
    format: str = "onnx",
    threshold: float | None = None,
    int8: bool = False,
    pictures: Sequence[Picture] | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> Exported:
    """Write a trained model as one file, from raw pictures to a verdict, if the file gives the model's results.

    Args:
        trained: the model.
        path: of the file, which ends as the format's do: .onnx, .xml (OpenVINO) or .pt2 (torch). An old one is
            replaced.
        format: "onnx", "openvino" or "torch".
        threshold: the file's own; default the trial's.
        int8: convolutions of 8 bit, of the format onnx alone; needs the trial's data. The file's threshold is moved to
            its own scores.
        pictures: to compare the file and the model on; see `held_pictures` for the default.
        say: called with the name of each of the `STEPS` steps.

    Raises:
        ExportError: what is asked makes no sense, a library is missing, the model cannot be exported, or the file does
            not give the model's results. Nothing is written then.
        DataError: a picture of `pictures` cannot be read.
    """
    place = expanded(path)
    check_asked(place, format, threshold, int8)
    held = held_pictures(trained.spec, trained.registry, pictures)
    category = load_category(trained.spec, trained.registry) if int8 else None
    here = replace(trained, detector=copy.deepcopy(trained.detector).cpu().eval())
    metadata = metadata_of(trained, threshold)
    of = FORMATS[format]
    with tempfile.TemporaryDirectory(prefix="dlkd-export-") as folder:
        made = Path(folder) / f"detector{SUFFIXES[format]}"
        say("tracing the model")
        try:
            of.trace(_from_pictures(here, loops=format != "torch"), made)
        except ExportError as error:
            raise ExportError(f"{trained.spec.variant}: {error}") from error
        say("quantising the file" if int8 else "preparing the file")
        if category is not None:
            eight_bit.quantise(made, category)
            of.describe(made, metadata)
            metadata = eight_bit.calibrated(here, of.engine(made), category, metadata)
        of.describe(made, metadata)
        say("comparing the file with the model")
        parity = compare(here, of.engine(made), held, metadata_of(trained, threshold)["threshold"])
        if not int8:  # whose scores are others; its AUROC was its gate
            check(parity)
        say("writing the file")
        metadata["parity"] = parity.as_dict()
        of.describe(made, metadata)
        _put(made, place)
    return Exported(place, parity, metadata)


def _from_pictures(trained: TrainedModel, *, loops: bool) -> PictureDetector:
    detector = trained.detector
    with torch.inference_mode():
        network = exportable(detector, loops=loops)
        return PictureDetector(network, trained.spec.train.sides, detector.mean, detector.std).eval()


def _put(made: Path, place: Path) -> None:
    """Copy the file, and the weights beside it first, to their place, each atomically."""
    for each in sorted(made.parent.iterdir(), key=lambda each: each == made):
        with atomic_path(place.with_suffix(each.suffix)) as temporary:
            shutil.copyfile(each, temporary)
