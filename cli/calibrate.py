"""`dlkd calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out
from dlkd.cli.options import Imports, RegistryFiles, Threads

if TYPE_CHECKING:
    from dlkd.registry import Registry
    from dlkd.training import TrainedModel


def calibrate(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    images: Annotated[
        Path | None,
        typer.Argument(help="Folder of normal images that the model was not trained on; default the test images."),
    ] = None,
    anomalous: Annotated[Path | None, typer.Option(help="Folder of images with defects.")] = None,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Wanted: at most this share of new normal images is a false alarm (0.01).")
    ] = None,
    recall: Annotated[
        float | None, typer.Option(help="Wanted: at least this share of new anomalous images is found (0.95).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Take the test images of another dataset.")] = None,
    category: Annotated[str | None, typer.Option(help="Take the test images of another category.")] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Choose the alarm threshold of a trial for a wanted false-alarm rate or recall, and keep it in its folder."""
    from dlkd.registry import read_registry
    from dlkd.training import load_model
    from dlkd.training.device import take_threads
    from dlkd.training.thresholds.calibration import CalibrationError
    from dlkd.training.trials.kept_thresholds import keep_threshold

    if (false_alarm_rate is None) == (recall is None):
        raise CalibrationError("name one aim: --false-alarm-rate 0.01 or --recall 0.95")
    registry = read_registry(registry_files, imports)
    if note := take_threads(threads):
        err.print(note)
    trained = load_model(trial, registry)
    session.if_interrupted("the threshold stays as it was")
    if images is None and anomalous is None:
        normal, defects, source = _test_images(trained, registry, dataset, category)
        found = trained.calibrate(normal, defects, false_alarm_rate=false_alarm_rate, recall=recall, source=source)
        err.print("note: these are test images; figures of them at this threshold are not of unseen images")
    elif dataset is not None or category is not None:
        raise ValueError("give images, or a dataset whose test images are taken, not both")
    else:
        found = trained.calibrate(images, anomalous, false_alarm_rate=false_alarm_rate, recall=recall)
    kept = keep_threshold(trained.folder, found.result.normal)
    out.print(f"threshold {found.threshold:.6g}, before {trained.threshold:.6g}")
    if (chosen := found.result.normal.calibration) is not None:
        for name, rate in (("false-alarm rate", chosen.false_alarms), ("recall", chosen.recall)):
            out.print(f"{name}: {'not known: no such images were given' if rate is None else rate}")
    err.print(found.origin)
    err.print(f"written into {kept}, which keeps the earlier ones; without the file the training's own is in use")


def _test_images(
    trained: TrainedModel, registry: Registry, dataset: str | None, category: str | None
) -> tuple[list[Path], list[Path], str]:
    """The normal and the anomalous test images of a dataset, the trial's by default, and what they are in words."""
    from dlkd.data import dataset_label
    from dlkd.data.named import category_of, dataset_node

    spec = trained.spec
    node = spec.dataset if dataset is None else dataset_node(registry, dataset)
    name = spec.category if category is None and dataset is None else category_of(registry, node, category)
    loaded = registry.build("dataset", node).load(name)
    normal = [sample.image for sample in loaded.test if sample.label == 0]
    return normal, [sample.image for sample in loaded.anomalies], f"test images of {dataset_label(node)}/{name}"
