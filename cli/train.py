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
    LoggerNames,
    Overrides,
    PresetName,
    RegistryFiles,
    Steps,
    Threads,
)

if TYPE_CHECKING:
    from dlkd.training import TrialResult
    from dlkd.training.train import Plan


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
    loggers: LoggerNames = None,
    overrides: Overrides = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train a variant on one category and score it."""
    from dlkd.registry import read_registry
    from dlkd.registry.assignments import assignments
    from dlkd.training.loggers import check_loggers
    from dlkd.training.train import LOST, plan

    given, training = _split(assignments(overrides))
    typed = {
        "max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size, "workers": workers,
        "precision": precision,
    }  # fmt: skip
    asked = plan(
        read_registry(registry_files, imports), variant, given,
        dataset=dataset, category=category, preset=preset, training=training, given=typed, seed=seed, out=to,
        start=start, place="--set",
    )  # fmt: skip
    check_loggers(loggers or ())
    lost = LOST.format(asked.spec.train.checkpoint_seconds)
    session.if_interrupted(f"{lost}; the same command with --resume continues")
    _say_ended(asked, asked.run(err, threads, resume=resume, bar=err.is_terminal, loggers=loggers or ()))


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `--set` says of the variant, and of the training."""
    training = given.pop("train", {})
    if not isinstance(training, dict):
        raise ValueError(f"--set train: name one of its arguments, as in train.epochs=50, got {training!r}")
    return given, training


def _say_ended(asked: Plan, result: TrialResult) -> None:
    folder = shlex.quote(str(asked.folder))
    print_metrics(result.metrics, result.undefined)
    out.print(str(result.alarm))
    err.print(result.normal.origin)
    err.print(f"weights, spec and result in {asked.folder}; look at it with: dlkd predict {folder} IMAGES")
