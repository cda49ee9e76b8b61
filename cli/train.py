"""`dlkd train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out, print_metrics
from dlkd.cli.options import (
    BatchSize,
    DatasetName,
    Epochs,
    ImageSize,
    Imports,
    Overrides,
    PresetName,
    RegistryFiles,
    Steps,
    Threads,
)
from dlkd.files import file_name

if TYPE_CHECKING:
    from dlkd.registry import Registry
    from dlkd.training import TrialResult, TrialSpec


def train(
    variant: Annotated[str, typer.Argument(help="A variant of the registry; `dlkd list` shows them.")],
    dataset: DatasetName = "textures",
    category: Annotated[str | None, typer.Option(help="Category; not needed if the dataset has only one.")] = None,
    preset: PresetName = "demo",
    steps: Steps = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that read images.")] = None,
    threads: Threads = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    seed: Annotated[int, typer.Option(help="Base seed.")] = 0,
    to: Annotated[Path | None, typer.Option("--out", help="Trial folder; default runs/train/...")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the trial in the folder, also with more steps.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="TRIAL", help="Start from the weights of another trial's folder.")
    ] = None,
    overrides: Overrides = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train a variant on one category and score it."""
    from dlkd.data.named import category_of, dataset_node, verify_data
    from dlkd.registry import read_registry
    from dlkd.registry.assignments import assignments
    from dlkd.training import TrialSpec, run_trial
    from dlkd.training.config import named_preset
    from dlkd.training.device import take_threads
    from dlkd.training.trial_folder import WEIGHTS
    from dlkd.training.trial_spec import weights_digest

    registry = read_registry(registry_files, imports)
    given, training = _split(assignments(overrides))
    typed = {"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size}
    chosen = named_preset(preset, training, place="--set", workers=workers, precision=precision, **typed)
    model, settled = chosen.settle(registry, variant, given)
    node = dataset_node(registry, dataset)
    name = category_of(registry, node, category)
    first = None if start is None else start / WEIGHTS
    digest = "" if first is None else weights_digest(first)
    spec = TrialSpec(variant=variant, model=model, dataset=node, category=name, train=settled, seed=seed, start=digest)
    verify_data(registry, [(node, name)], err)
    if note := take_threads(threads):
        err.print(note)
    folder = to or _usual_folder(spec)
    _say_begun(spec, preset, folder)
    result = run_trial(spec, folder, registry, resume=resume, start=first, keep_state=True, bar=err.is_terminal)
    _say_ended(spec, result, folder, registry)


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `--set` says of the variant, and of the training."""
    training = given.pop("train", {})
    if not isinstance(training, dict):
        raise ValueError(f"--set train: name one of its arguments, as in train.epochs=50, got {training!r}")
    return given, training


def _usual_folder(spec: TrialSpec) -> Path:
    from dlkd.data import dataset_label

    label = dataset_label(spec.dataset)
    return Path("runs") / "train" / file_name(f"{spec.variant}-{label}-{spec.category}-seed{spec.seed}")


def _say_begun(spec: TrialSpec, preset: str, folder: Path) -> None:
    from dlkd.data import dataset_label

    label = dataset_label(spec.dataset)
    err.print(f"training {spec.variant} on {label}/{spec.category} with preset {preset}, in {folder}")
    session.if_interrupted(
        f"steps since the last checkpoint are lost (written at the end of an epoch once "
        f"{spec.train.checkpoint_seconds:g} seconds have passed); the same command with --resume goes on"
    )


def _say_ended(spec: TrialSpec, result: TrialResult, folder: Path, registry: Registry) -> None:
    from dlkd.training.predict import squeezed

    test = registry.build("dataset", spec.dataset).load(spec.category).test
    if said := squeezed([sample.image for sample in test], result.normal.proportions):
        err.print(f"note: test images: {said}")
    print_metrics(result.metrics, result.undefined)
    out.print(str(result.alarm))
    err.print(result.normal.origin)
    err.print(f"weights, spec and result in {folder}; look at it with: dlkd predict {shlex.quote(str(folder))} IMAGES")
