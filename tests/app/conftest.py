"""A run of two rows on the tiny folder, trained in seconds, with a report; and models that need no training."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.app.choices import Choice, Offer, Place
from dlkd.app.scored import Scored
from dlkd.registry import default_registry
from dlkd.scoring.scorer import Answer, Normal
from dlkd.training import TrainConfig, TrialSpec, run_trial

TEACHER = {"backbone": "test_resnet", "weights": "random"}
TINY = Place("tiny", "disc")


@pytest.fixture(scope="session")
def run_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows "A" and "<B>" of category disc, seed 0; a third one, "C", was not run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny-run"
    registry = default_registry()
    lines = []
    for i, label in enumerate(("A", "<B>")):
        spec = TrialSpec(
            variant="dlkd-lfrb",
            model=registry.resolve("dlkd-lfrb", {"teacher": TEACHER, "sigma": 1.0 + i}),
            dataset=registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)}),
            category="disc",
            train=TrainConfig(image_size=32, batch_size=4, epochs=2, checkpoint_seconds=0.0),
        )
        run_trial(spec, folder / "store" / f"key{i}", registry)
        lines.append({"row": label, "key": f"key{i}", "status": "ok", "value": 0.5})
    lines.append({"row": "C", "key": "key9", "status": "not run", "value": np.nan})
    place = {"table": "g", "dataset": tiny_folder.name, "category": "disc", "seed": 0, "metric": "pro", "reason": ""}
    how = {"image_size": "32", "epochs": 2, "max_steps": 0, "pro_limit": 0.3, "score_at": "network", "settings": ""}
    grid = Grid(
        name="g", title="t", rows=[GridRow(label=line["row"], variant="dlkd-lfrb") for line in lines], reference="A"
    )
    write_run(
        folder, pd.DataFrame([{**place, **how, **line} for line in lines]), [grid], folder / "store", RunIdentity()
    )
    (folder / "report.html").write_text("<!doctype html><title>r</title><p>the report of g", encoding="utf-8")
    return folder


class Brightness:
    """Scores a picture by its largest pixel (0 to 255), times a factor: models with different units."""

    def __init__(self, times: float = 1.0) -> None:
        self.normal = Normal(threshold=120.0 * times, origin="", level=100.0 * times, proportions=32 / 40)
        self.batch_size, self.tile, self.times, self.scored = 3, None, times, 0

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.mean(axis=2).astype(np.float32) * np.float32(self.times)

    def detect(self, prepared: Sequence[np.ndarray]) -> list[Answer]:
        self.scored += len(prepared)
        return [Answer(float(m.max()), lambda m=m: m) for m in prepared]


@pytest.fixture
def two_models(tiny_folder: Path) -> Scored:
    """Models "one" and "ten", the second with scores ten times as large, and the tiny folder's test images."""
    models = {Path("one"): Brightness(), Path("ten"): Brightness(10)}
    choices = tuple(Choice((path.name,), path, TINY) for path in models)
    data = {TINY: {"name": "folder", "root": str(tiny_folder)}}
    return Scored(Offer(choices), models, default_registry(), data)


@pytest.fixture(scope="session")
def served(run_folder: Path) -> Iterator[str]:
    """The address of `dlkd app` on the tiny run, in a process of its own; Ctrl-C ends it with exit code 0."""
    command = [sys.executable, "-m", "dlkd", "app", str(run_folder), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=run_folder
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said, said
