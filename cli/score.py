"""`dlkd evaluate` and `dlkd predict`: a trained model on images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out, print_metrics, say_undrawn
from dlkd.cli.options import Imports, RegistryFiles, Threads

if TYPE_CHECKING:
    from dlkd.training.prediction.predict import Predicted

Maps = Literal["npy", "png16"]


def evaluate(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the trial's.")] = None,
    category: Annotated[str | None, typer.Option(help="Another category than the trial's.")] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score a trained model on its category's test images, or on another's."""
    from dlkd.data.named import category_of, dataset_node, verify_data
    from dlkd.data.pictures.images import proportions
    from dlkd.data.pictures.proportions import squeezed
    from dlkd.registry import read_registry
    from dlkd.training import load_model
    from dlkd.training.data_module import CategoryData
    from dlkd.training.device import take_threads
    from dlkd.training.evaluate import alarm
    from dlkd.training.evaluate import evaluate as run_evaluation

    registry = read_registry(registry_files, imports)
    if note := take_threads(threads):
        err.print(note)
    trained = load_model(trial, registry)
    spec, model, normal = trained.spec, trained.detector, trained.result.normal
    node = spec.dataset if dataset is None else dataset_node(registry, dataset)
    name = spec.category if category is None and dataset is None else category_of(registry, node, category)
    verify_data(registry, [(node, name)], err)
    loaded = registry.build("dataset", node).load(name)
    if said := squeezed([proportions(sample.image) for sample in loaded.test], normal.proportions):
        err.print(f"note: {said}")
    session.if_interrupted("an evaluation keeps nothing; the same command starts from the beginning")
    data = CategoryData(loaded, spec.train, model, spec.trial_seed)
    evaluation = run_evaluation(model, data, bar=err.is_terminal)
    print_metrics(evaluation.metrics, evaluation.undefined)
    out.print(str(alarm(evaluation, normal.threshold)))
    err.print(normal.origin)


def predict(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images (its subfolders are searched too).")],
    to: Annotated[
        Path, typer.Option("--out", help="Folder for scores.csv (an old one is replaced), overlays and maps.")
    ] = Path("predictions"),
    threshold: Annotated[
        float | None, typer.Option(help="Image score above which an image counts as anomalous; default the trial's.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per batch; default the trial's.")] = None,
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Draw the maps over the images.")] = True,
    maps: Annotated[
        Maps | None,
        typer.Option(help="Write the anomaly maps too: npy (float32), or png16 with the scale in a .json file."),
    ] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score images: write scores.csv line by line, and an overlay of the anomaly map for each image."""
    from dlkd.data.pictures.images import proportions
    from dlkd.data.pictures.proportions import squeezed
    from dlkd.registry import read_registry
    from dlkd.training import load_model
    from dlkd.training.device import take_threads
    from dlkd.training.prediction.find_images import find_images
    from dlkd.training.prediction.predict import predict_images

    registry = read_registry(registry_files, imports)
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"--threshold must be a number, got {threshold}")
    if note := take_threads(threads):
        err.print(note)
    trained = load_model(trial, registry)
    if said := squeezed(list(map(proportions, find_images(images, to))), trained.result.normal.proportions):
        err.print(f"note: {said}")
    scores = to / "scores.csv"
    if scores.exists():
        err.print(f"note: {scores} of an earlier prediction is replaced")
    session.if_interrupted(
        f"the images scored so far are in {scores}; the same command starts from the beginning and replaces the file"
    )
    done = predict_images(
        trained, images, to,
        threshold=threshold, batch_size=batch_size, overlays=overlays, maps=maps, bar=err.is_terminal,
    )  # fmt: skip
    err.print(f"{done.scored} images scored, {done.anomalous} of them anomalous: {scores}")
    err.print(f"threshold {threshold:.4g}, as given" if threshold is not None else trained.result.normal.origin)
    _say_left_out(done)


def _say_left_out(done: Predicted) -> None:
    """Name the images that could not be drawn. Raises ValueError where some could not be read."""
    for line in done.undrawn[:20]:
        err.print(line)
    if len(done.undrawn) > 20:
        err.print(f"and {len(done.undrawn) - 20} more that are scored and not drawn")
    say_undrawn()
    if done.broken:
        listed = "\n".join(done.broken)
        raise ValueError(f"{len(done.broken)} images could not be read, the others are scored:\n{listed}")
