"""One trial: one variant trained and scored on one category with one seed, in one directory."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import pydantic
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch.utils.flop_counter import FlopCounterMode

from dlkd.data import Category
from dlkd.data.digest import category_digest, file_digest
from dlkd.data.verify import verify
from dlkd.files import alone, delete, write_text
from dlkd.models.detector import Detector
from dlkd.registry import Registry
from dlkd.registry.located_yaml import dump_yaml, parse_yaml
from dlkd.registry.problems import ConfigError
from dlkd.training.checkpoint import (
    LAST,
    WEIGHTS,
    AtomicCheckpointIO,
    CheckpointError,
    SaveLast,
    load_weights,
    save_weights,
    trained,
)
from dlkd.training.config import TrainConfig
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import METRICS, Alarm, Evaluation, NormalRange, alarm, evaluate, normal_range
from dlkd.training.examples import save_examples
from dlkd.training.feature_cache import feature_cache
from dlkd.training.identity import DATA, PLACE_ONLY, by_contents, differences, file_contents, placeless_dataset
from dlkd.training.memory import kept_memory
from dlkd.training.module import STEPS, DetectorTask, LossCurve, compiled, derive_seed
from dlkd.training.step_bar import StepBar, StopAfter, planned_steps

SPEC = "trial.yaml"
RESULT = "result.json"
PACKAGES = ("dlkd", "torch", "lightning", "timm", "numpy", "numba", "ray")


class TrialError(ValueError):
    """A trial directory that cannot be used as asked; names it and the way out."""


class TrialSpec(pydantic.BaseModel):
    """Everything that decides a trial's result, as plain data.

    Attributes:
        variant: name of the variant, for people.
        model: the resolved model node.
        dataset: the completed dataset node.
        category: one of the dataset's.
        train: training configuration.
        seed: base seed; weights, order and noise are seeded from it, the dataset and the category.
        start: digest of the weights that training starts from, empty where it starts from the model's own.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    variant: str
    model: dict[str, Any]
    dataset: dict[str, Any]
    category: str
    train: TrainConfig
    seed: int = 0
    start: str = ""

    @property
    def trial_seed(self) -> int:
        """The same for every variant, so that rows of a table are compared on the same draws."""
        return derive_seed(self.seed, self.dataset["name"], self.category)

    def contents(self, registry: Registry, data: str | None = None) -> dict[str, str]:
        """Digests of what lies outside of the spec: the data, and each file that the model names by its path.

        Args:
            registry: builds the dataset.
            data: `category_digest` of the trial's category, where it is known already.

        Raises:
            DataError: a file that cannot be read.
        """
        found = category_digest(load_category(self, registry)) if data is None else data
        return {DATA: found, **file_contents(self.model)}

    def identity(self, contents: Mapping[str, str]) -> dict[str, Any]:
        """All that decides the result, and nothing else: two trials with one identity are the same trial.

        Neither the variant's name nor the place of a file is in it, but the `contents` that were found there.
        """
        plain = self.model_dump(mode="json", exclude={"variant": True, "train": PLACE_ONLY})
        plain["train"]["image_size"] = list(self.train.sides)
        plain["model"] = by_contents(plain["model"], contents)
        plain["dataset"] = placeless_dataset(plain["dataset"], contents.get(DATA, ""))
        return plain


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial measured; see `result.json`.

    Attributes:
        metrics: value of each metric, NaN where undefined.
        undefined: why a metric has no value.
        costs: see `costs`.
        curve: mean of each loss, by epoch.
        normal: range of the normal training images: threshold and colour scale.
        alarm: how good the alarm at that threshold is on the test images.
        versions: see `versions`.
    """

    metrics: dict[str, float]
    undefined: dict[str, str]
    costs: dict[str, float]
    curve: list[dict[str, float]]
    normal: NormalRange
    alarm: Alarm
    versions: dict[str, str] = field(default_factory=dict)


_RESULTS = pydantic.TypeAdapter(TrialResult)


def run_trial(
    spec: TrialSpec,
    folder: Path,
    registry: Registry,
    *,
    resume: bool = False,
    start: Path | None = None,
    keep_state: bool = False,
    bar: bool = False,
    on_epoch: Callable[[float], None] | None = None,
    contents: Mapping[str, str] | None = None,
) -> TrialResult:
    """Train and score a trial, leaving spec, checkpoint, weights, examples and result in `folder`.

    Args:
        spec: what to run.
        folder: the trial's directory.
        registry: builds the model and the dataset.
        resume: go on from the last checkpoint in `folder`; a finished trial is read, not run again, unless `spec`
            trains longer: it goes on from its last whole epoch, with the bits of an uninterrupted training. Its
            result, weights and spec stay until the longer training has ended.
        start: weights that training starts from; `spec.start` is their `weights_digest`.
        keep_state: leave the last whole epoch's checkpoint, three times the weights, so that the trial can go on.
        bar: show progress bars of training and scoring.
        on_epoch: called with the fraction done after each epoch.
        contents: `spec.contents` as somebody found it who goes by it, as a grid's keys do.

    Raises:
        TrialError: `folder` holds another trial, or one and `resume` is not set; or the data or a file of weights are
            not those of `contents`.
        DataError: the data cannot be read.
        KeyboardInterrupt: on Ctrl-C; the last checkpoint stays.
    """
    found = spec.contents(registry)
    if contents is not None and found != contents:
        what = "; ".join(differences(spec.identity(contents), spec.identity(found)))
        raise TrialError(f"{what} since this run began, or differs on this machine; run the same command again")
    with alone(folder):
        longer = _claim(spec, found, folder, resume)
        if (folder / RESULT).exists() and not longer:
            try:
                return read_result(folder)
            except TrialError as error:
                logging.getLogger("dlkd").warning("%s; the trial is run again", error)
                delete(folder / RESULT)
        return _run(spec, found, folder, registry, start, keep_state, bar, on_epoch)


def _run(
    spec: TrialSpec,
    contents: Mapping[str, str],
    folder: Path,
    registry: Registry,
    start_from: Path | None,
    keep_state: bool,
    bar: bool,
    on_epoch: Callable[[float], None] | None,
) -> TrialResult:
    category = load_category(spec, registry)
    verify(category)  # damage in the last test image is found now, not after the training
    L.seed_everything(spec.trial_seed, workers=True, verbose=False)
    model: Detector = registry.build("model", spec.model)
    if start_from is not None:
        load_weights(model, start_from)
    data = CategoryData(category, spec.train, model, spec.trial_seed)
    features = feature_cache(model.to(device()), data.train_set, spec.train)
    task = DetectorTask(model, spec.train, spec.trial_seed, features)
    start = perf_counter()
    curve = fit(task, data, folder, bar=bar, on_epoch=on_epoch, keep_state=keep_state)
    seconds = perf_counter() - start
    evaluation = evaluate(model.to(device()), data, bar=bar)
    normal = normal_range(model, data, bar=bar)
    result = TrialResult(
        evaluation.metrics,
        evaluation.undefined,
        costs(model, spec, evaluation, seconds),
        curve,
        normal,
        alarm(evaluation, normal.threshold),
        versions(),
    )
    # The result of a shorter training stands until now; from here on its files are replaced.
    delete(folder / RESULT)
    write_text(folder / SPEC, _spec_text(spec, contents))
    save_weights(model, folder / WEIGHTS)
    save_examples(folder, evaluation, data, normal)
    # Written last: a directory with a result is a whole trial.
    write_text(folder / RESULT, json.dumps(asdict(result), indent=1))
    if not keep_state:
        (folder / LAST).unlink(missing_ok=True)
    return result


def fit(
    task: DetectorTask,
    data: CategoryData,
    folder: Path,
    *,
    bar: bool = False,
    on_epoch: Callable[[float], None] | None = None,
    keep_state: bool = False,
    more: Sequence[L.Callback] = (),
) -> list[dict[str, float]]:
    """Train, and then let the model `fit` what needs no gradient; the loss curve by epoch.

    Training goes on from the last checkpoint in `folder` if there is one.
    """
    model, config = task.model, task.config
    curve: list[dict[str, float]] = []
    if config.epochs and config.max_steps and model.optimizers():
        curve = _train(task, data, folder, bar, on_epoch, keep_state, more)
    fit_rest(model, data, task.seed)
    return curve


def fit_rest(model: Detector, data: CategoryData, seed: int) -> None:
    """Let the model `fit` what needs no gradient."""
    if type(model).fit is Detector.fit:
        return
    L.seed_everything(derive_seed(seed, "fit"), workers=True, verbose=False)
    with torch.no_grad():
        model.to(device()).eval().fit(data.train_batches(device()))


def _train(
    task: DetectorTask,
    data: CategoryData,
    folder: Path,
    bar: bool,
    on_epoch: Callable[[float], None] | None,
    keep_state: bool,
    more: Sequence[L.Callback],
) -> list[dict[str, float]]:
    """Train with Lightning; the loss curve by epoch."""
    config = task.config
    if config.compile and not task.model.compiled:
        raise TrialError("train.compile: this model names nothing that is to be compiled; leave `compile` out")
    batches = data.train_dataloader()
    task.steps = task.steps or config.steps(len(batches))
    curve = LossCurve()
    callbacks: list[L.Callback] = [
        curve,
        SaveLast(folder, config.checkpoint_seconds, keep=keep_state, max_steps=config.max_steps),
        *more,
    ]
    if config.max_steps > 0:
        callbacks.append(StopAfter(config.max_steps))
    if bar:
        callbacks.append(StepBar(config.max_steps))
    if on_epoch is not None:
        callbacks.append(_Tell(on_epoch, config.max_steps))
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Lightning's advice on worker counts and loggers, and torch's on its own internals, say nothing to a user.
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            max_epochs=config.epochs,
            precision=config.precision,
            accelerator="gpu" if device().type == "cuda" else "cpu",
            deterministic=device().type == "cpu",  # bilinear upsampling has no deterministic CUDA backward
            devices=1,
            logger=False,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO(), LightningEnvironment()],  # one process, whatever job it is part of
            enable_checkpointing=False,
            enable_progress_bar=False,  # Lightning's shows epochs of a number never reached; StepBar, steps
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        try:
            with kept_memory(), compiled(task.model) if config.compile else nullcontext():
                trainer.fit(task, train_dataloaders=batches, ckpt_path=_checkpoint(task, folder))
        except SystemExit as error:  # Lightning turns Ctrl-C into sys.exit(1)
            raise KeyboardInterrupt from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrialError(
                f"a batch of one image of {config.size_text} pixels leaves batch normalisation a single value a "
                "channel; take larger images (64 pixels are enough), a batch size that leaves no image over, "
                "or `norm: layer`"
            ) from error
    return curve.epochs


def _checkpoint(task: DetectorTask, folder: Path) -> Path | None:
    """The checkpoint that a training goes on from, if any."""
    last = folder / LAST
    if not last.exists():
        return None
    if task.model.paced and AtomicCheckpointIO().load_checkpoint(last).get(STEPS) != task.steps:
        said = "%s is of a training of another length, by which this model sets rates or stages: it begins anew"
        logging.getLogger("dlkd").warning(said, last)
        return None
    return last


class _Tell(L.Callback):
    def __init__(self, tell: Callable[[float], None], max_steps: int) -> None:
        self.tell = tell
        self.max_steps = max_steps

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        del pl_module
        self.tell(min(1.0, trainer.global_step / max(1, planned_steps(trainer, self.max_steps))))


def load_category(spec: TrialSpec, registry: Registry) -> Category:
    """The samples of a trial."""
    category: Category = registry.build("dataset", spec.dataset).load(spec.category)
    return category


def read_trial(folder: Path) -> TrialSpec:
    """The spec of a trial directory. Raises TrialError where there is none."""
    return _read_spec(folder)[0]


def _read_spec(folder: Path) -> tuple[TrialSpec, dict[str, str]]:
    """The spec of a trial directory, and the contents that it was claimed with."""
    path = folder / SPEC
    try:
        held = parse_yaml(path.read_text(encoding="utf-8"), str(path)).data
        contents = held.pop("contents", {}) if isinstance(held, dict) else {}
        return TrialSpec.model_validate(held), contents
    except FileNotFoundError as error:
        raise TrialError(f"{folder} is no trial: it has no {SPEC}; `dlkd train` makes one") from error
    except (OSError, UnicodeDecodeError, ConfigError, pydantic.ValidationError) as error:
        raise TrialError(f"{path} cannot be read: {error}") from error


def read_result(folder: Path) -> TrialResult:
    """The result of a finished trial. Raises TrialError where it is not finished, or its result is broken."""
    path = folder / RESULT
    try:
        result = _RESULTS.validate_python(json.loads(path.read_text(encoding="utf-8")))
        return replace(result, metrics={name: result.metrics[name] for name in METRICS})
    except FileNotFoundError as error:
        raise TrialError(f"{folder} has no {RESULT}: the trial is not finished") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise TrialError(f"{path} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except KeyError as error:
        raise TrialError(f"{path} cannot be read: the metric {error} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise TrialError(f"{path} cannot be read: {error}") from error


def load_model(folder: Path, registry: Registry) -> tuple[TrialSpec, Detector]:
    """The spec and the trained model of a trial directory, in eval mode.

    Raises TrialError where the trial is not finished or was kept without its weights, CheckpointError where they are
    broken.
    """
    spec = read_trial(folder)
    if not (folder / RESULT).exists():
        raise TrialError(f"the trial in {folder} is not finished: it has no {RESULT}; go on with `dlkd train --resume`")
    if not (folder / WEIGHTS).exists():
        raise TrialError(
            f"{folder} has no {WEIGHTS}: the trial was kept without its weights (`dlkd ablate --keep results`); "
            "train it again with `dlkd train`"
        )
    with torch.random.fork_rng():
        torch.manual_seed(spec.trial_seed)  # a teacher with random weights is the one that it was in training
        model: Detector = registry.build("model", spec.model)
    load_weights(model, folder / WEIGHTS)
    return spec, model.eval().to(device())


def device() -> torch.device:
    """Where models train and score: the first GPU that this process sees, else the CPU.

    CUDA_VISIBLE_DEVICES is read anew: CUDA itself reads it once only.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    return torch.device("cuda" if not hidden and torch.cuda.is_available() else "cpu")


def hide_gpus() -> None:
    """From here on this process sees no GPU: `device` is the CPU."""
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        os.environ[name] = ""


def costs(model: Detector, spec: TrialSpec, evaluation: Evaluation, train_seconds: float) -> dict[str, float]:
    """What the trial cost: parameters, FLOPs of one image (torch's count; the scan is not in it), time, memory."""
    image = torch.zeros(1, 3, *spec.train.sides, device=device())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval().detect(image)
    return {
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "flops": float(counter.get_total_flops()),
        "train_seconds": train_seconds,
        "images_per_second": len(evaluation.scores) / evaluation.seconds if evaluation.seconds else math.nan,
        "peak_memory_bytes": float(torch.cuda.max_memory_allocated() if device().type == "cuda" else _peak_memory()),
    }


def _peak_memory() -> int:
    """The most bytes that this process has held; earlier trials in it count too."""
    import resource  # not on every system, and nothing else here needs it

    # In KiB on Linux and in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def versions() -> dict[str, str]:
    """Versions of what computed a result, and the git revision of the source tree if it is one."""
    found = {name: version(name) for name in PACKAGES}
    git = ["git", "-C", str(Path(__file__).resolve().parents[1]), "rev-parse", "HEAD"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        revision = "not a git checkout"
    return found | {"python": platform.python_version(), "revision": revision}


def _spec_text(spec: TrialSpec, contents: Mapping[str, str]) -> str:
    return dump_yaml(spec.model_dump(mode="json") | {"contents": dict(contents)})


def _claim(spec: TrialSpec, contents: Mapping[str, str], folder: Path, resume: bool) -> bool:
    """Make `folder` this trial's, or refuse it; whether a result in it is that of a shorter training.

    Then its spec stays too, until the longer training has ended.
    """
    text = _spec_text(spec, contents)
    if not (folder / SPEC).exists():
        write_text(folder / SPEC, text)
        return False
    held, before = _read_spec(folder)
    if not resume:
        raise TrialError(f"{folder} holds a trial already; go on with --resume, or name another --out")
    length = {"epochs": held.train.epochs, "max_steps": held.train.max_steps}
    as_long = spec.model_copy(update={"train": spec.train.model_copy(update=length)})
    one, other = held.identity(before), as_long.identity(contents)
    if one != other:
        keys = ", ".join(sorted(key for key in other if one[key] != other[key]))
        raise TrialError(
            f"{folder} holds another trial: {keys} differ ({'; '.join(differences(one, other))}); name another --out"
        )
    longer = as_long != spec
    if longer:
        _check_longer(held.train, spec.train, folder)
    finished = longer and (folder / RESULT).exists()
    if not finished and (held, before) != (spec, contents):
        write_text(folder / SPEC, text)  # the data may have been moved
    return finished


def _check_longer(held: TrainConfig, wanted: TrainConfig, folder: Path) -> None:
    """Raise TrialError where a training of that length cannot go on from what is in `folder`."""
    unlimited = wanted.max_steps < 0
    longer = wanted.epochs >= held.epochs and (unlimited or 0 <= held.max_steps <= wanted.max_steps)
    now = f"{wanted.epochs} epochs" + ("" if unlimited else f", at most {wanted.max_steps} steps")
    if not longer:
        was = f"{held.epochs} epochs" + (f", at most {held.max_steps} steps" if held.max_steps >= 0 else "")
        raise TrialError(
            f"{folder} holds another trial: train differ: it trains {was}, asked for are {now}; a trial can be made "
            "longer, not shorter: name another --out"
        )
    if (folder / LAST).exists():  # it may be that of a still longer training, which was interrupted
        epochs, steps = trained(folder / LAST)
        if epochs > wanted.epochs or (not unlimited and steps > wanted.max_steps):
            raise TrialError(
                f"{folder / LAST} has {epochs} epochs and {steps} steps of a longer training, which was interrupted; "
                f"asked for are {now}: ask for at least as many, or name another --out"
            )
    elif (folder / RESULT).exists() and held.epochs and held.max_steps:
        logging.getLogger("dlkd").warning("%s kept no %s: the longer training begins anew", folder, LAST)


def mend_trial(folder: Path) -> str:
    """Delete spec and checkpoint of an unfinished trial that cannot go on by them; in words why, or nothing.

    For folders whose name says what they hold. Raises HeldError where another process works in it.
    """
    if not folder.is_dir():
        return ""
    with alone(folder, wait=False):
        for name, read in ((SPEC, lambda: read_trial(folder)), (LAST, lambda: trained(folder / LAST))):
            if os.path.lexists(folder / name):
                try:
                    read()
                except (TrialError, CheckpointError) as error:
                    delete(folder / SPEC)
                    delete(folder / LAST)
                    return str(error)
    return ""


def weights_digest(weights: Path) -> str:
    """What `TrialSpec.start` holds of a file of weights: a hash of its contents. Raises TrialError without one."""
    if not weights.is_file():
        raise TrialError(
            f"{weights} does not exist: a finished `dlkd train` leaves it, `ablate --keep results` does not"
        )
    return file_digest(weights)[:16]
