"""Trains one variant on one category, for the command `dlkd train` and for `dlkd.train` in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from dlkd.data import dataset_label
from dlkd.data.named import category_of, dataset_node, refuse_pictures, verify_data
from dlkd.files import file_name
from dlkd.machine import expanded
from dlkd.progress import messages
from dlkd.registry import Registry, read_registry
from dlkd.text import Terminal
from dlkd.training.config import named_preset
from dlkd.training.device import device, take_threads
from dlkd.training.loggers import check_loggers
from dlkd.training.prediction.trained_model import TrainedModel, load_model
from dlkd.training.trials.trial import run_trial
from dlkd.training.trials.trial_folder import WEIGHTS
from dlkd.training.trials.trial_result import TrialResult
from dlkd.training.trials.trial_spec import TrialSpec, weights_digest


@dataclass(frozen=True)
class Plan:
    """A training before it begins.

    Attributes:
        spec: what is trained.
        preset: name of its preset.
        registry: builds it.
        folder: of the trial.
        start: weights that training starts from.
    """

    spec: TrialSpec
    preset: str
    registry: Registry
    folder: Path
    start: Path | None = None

    @property
    def place(self) -> str:
        """The dataset and category, for people."""
        return f"{dataset_label(self.spec.dataset)}/{self.spec.category}"

    def run(self, terminal: Terminal, threads: int | None, **options: Any) -> TrialResult:
        """Read the data, take the threads and train; options are those of `run_trial`."""
        verify_data(self.registry, [(self.spec.dataset, self.spec.category)], terminal)
        if said := take_threads(threads):
            terminal.print(said)
        if said := self.spec.train.slow_on(gpu=device().type == "cuda"):
            terminal.print(said)
        terminal.print(
            f"training {self.spec.variant} on {self.place} with preset {self.preset}, in {self.folder}", soft_wrap=True
        )
        return run_trial(self.spec, self.folder, self.registry, start=self.start, keep_state=True, **options)


def plan(
    registry: Registry,
    variant: str,
    overrides: Mapping[str, Any],
    *,
    dataset: str | PathLike[str] | Mapping[str, Any],
    category: str | None,
    preset: str,
    training: Mapping[str, Any],
    given: Mapping[str, Any],
    seed: int,
    out: Path | None,
    start: Path | None,
    place: str,
) -> Plan:
    """A training as it was asked for.

    Args:
        registry: has the variant.
        variant: its name.
        overrides: laid over it.
        dataset: as `dataset_node` takes it.
        category: may be left out where there is one only.
        preset: name of one.
        training: laid over the preset's training arguments; `place` says where they stand, for messages.
        given: laid over these; None is not given.
        seed: base seed.
        out: folder of the trial; default runs/train and what it is.
        start: folder of a trial whose weights training starts from.
        place: see above.

    Raises:
        ValueError: a name or value is wrong; names it, and says what to do instead.
    """
    chosen = named_preset(preset, training, place=place, **given)
    model, settled = chosen.settle(registry, variant, overrides)
    node = dataset_node(registry, dataset)
    name = category_of(registry, node, category)
    first = None if start is None else start / WEIGHTS
    digest = "" if first is None else weights_digest(first)
    spec = TrialSpec(variant=variant, model=model, dataset=node, category=name, train=settled, seed=seed, start=digest)
    usual = Path("runs") / "train" / file_name(f"{variant}-{dataset_label(node)}-{name}-seed{seed}")
    refuse_pictures(out or usual, node, [name])
    return Plan(spec, preset, registry, out or usual, first)


def train(
    variant: str,
    *,
    dataset: str | PathLike[str] | Mapping[str, Any] = "textures",
    category: str | None = None,
    preset: str = "demo",
    steps: int | None = None,
    epochs: int | None = None,
    image_size: int | tuple[int, int] | str | None = None,
    batch_size: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    start: str | PathLike[str] | None = None,
    resume: bool = True,
    threads: int | None = None,
    loggers: Sequence[str] = (),
    registry_files: Sequence[str | PathLike[str]] = (),
    imports: Sequence[str | PathLike[str]] = (),
    progress: bool = True,
) -> TrainedModel:
    """Train a variant on one category, score it, and give the trained model.

    A trial that is finished in `out` is read and not trained again. An interrupted trial continues, and so does a trial
    with more steps than before, from its last complete epoch.

    Args:
        variant: one of `list_variants()`.
        dataset: "textures", "mvtec:PATH", "elpv,train_limit=200", a folder in MVTec's layout, or a node.
        category: may be left out where the dataset has one only.
        preset: "demo" (CPU-sized) or "paper".
        steps: stop after so many.
        epochs: passes over the training images.
        image_size: side in pixels, or (height, width).
        batch_size: images per step.
        overrides: laid over the variant, nested as in YAML: {"decoder": {"global": None}}.
        training: any arguments of `TrainConfig`, by name.
        seed: base seed.
        out: folder of the trial; default runs/train/ and what it is.
        start: folder of a trial whose weights training starts from.
        resume: False refuses a folder that holds a trial.
        threads: CPU threads; default the cores that are free.
        loggers: of "csv", "tensorboard", "wandb" and "mlflow".
        registry_files: YAML files with components and variants of your own.
        imports: Python files that register your own components.
        progress: show what is done.

    Returns:
        The trained model: `predict`, `metrics`, `threshold`, `detector`.

    Raises:
        ValueError: a name or value is wrong (ConfigError), or the folder holds another trial (TrialError).
        DataError: files of the dataset are damaged.
        KeyboardInterrupt: on Ctrl-C; the last checkpoint stays.

    >>> import dlkd
    >>> model = dlkd.train("dlkd-lfrb", dataset="textures", category="brick", steps=40)   # doctest: +SKIP
    >>> model.metrics["image_auroc"]                                                     # doctest: +SKIP
    """
    terminal = messages(progress)
    given = {"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size}
    asked = plan(
        read_registry(list(map(expanded, registry_files)), list(map(expanded, imports))), variant, overrides or {},
        dataset=dataset, category=category, preset=preset, training=training or {}, given=given, seed=seed,
        out=None if out is None else expanded(out), start=None if start is None else expanded(start), place="training",
    )  # fmt: skip
    check_loggers(loggers)
    bar = terminal.is_terminal and progress
    try:
        asked.run(
            terminal, threads, resume=resume, bar=bar, on_epoch=None if bar else _tenths(terminal), loggers=loggers
        )
    except KeyboardInterrupt:
        terminal.print(f"interrupted: {LOST.format(asked.spec.train.checkpoint_seconds)}; the same call goes on")
        raise
    return load_model(asked.folder, asked.registry)


LOST = "steps since the last checkpoint are lost (written at the end of an epoch once {:g} seconds have passed)"
"""What Ctrl-C costs a training."""


def _tenths(terminal: Terminal) -> Callable[[float], None]:
    """Says each tenth of the training that is done."""
    said = [0]

    def tell(fraction: float) -> None:
        if int(10 * fraction) > said[0]:
            said[0] = int(10 * fraction)
            terminal.print(f"training: {said[0]}0% of the steps done")

    return tell
