"""Lightning's loggers on request."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dlkd.registry import default_registry
from dlkd.training import TrialSpec, run_trial
from dlkd.training.loggers import LOGS, check_loggers

MakeSpec = Callable[..., TrialSpec]
REGISTRY = default_registry()


@pytest.mark.filterwarnings("ignore")  # tensorboardX's own
def test_losses_and_metrics_are_logged_and_change_nothing(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    result = run_trial(
        spec, tmp_path / "t", REGISTRY, loggers=["csv", "tensorboard"], rows=[("table4", "LFRB")], keep_state=True
    )
    alone = run_trial(spec, tmp_path / "alone", REGISTRY)
    assert (result.metrics, result.curve, result.normal) == (alone.metrics, alone.curve, alone.normal)

    written = tmp_path / "t" / LOGS / "csv" / "version_0"
    table = pd.read_csv(written / "metrics.csv")
    trained = table.dropna(subset="loss")
    assert list(trained["step"]) == list(range(6))  # 3 epochs of two batches: a short training logs each step
    terms = [column for column in table if column.startswith("train/")]
    assert terms
    assert trained["loss"].iloc[0] != trained["loss"].iloc[-1]
    last = table.iloc[-1]
    assert last["test/image_auroc"] == result.metrics["image_auroc"]
    assert last["test/threshold"] == result.normal.threshold
    about = yaml.safe_load((written / "hparams.yaml").read_text())
    assert about["variant"] == spec.variant
    assert about["grid/table4"] == "LFRB"
    assert any((tmp_path / "t" / LOGS / "tensorboard").glob("events.*"))

    longer = make_spec(epochs=4)  # what is logged stays
    run_trial(longer, tmp_path / "t", REGISTRY, resume=True, loggers=["csv"])
    assert len(pd.read_csv(written / "metrics.csv")) == len(table)
    assert (written.parent / "version_1" / "metrics.csv").exists()


def test_an_unknown_logger_and_a_missing_package_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    check_loggers(["csv", "csv"])
    with pytest.raises(ValueError, match=r"--logger excel: known loggers are csv, tensorboard, wandb, mlflow"):
        check_loggers(["csv", "excel"])
    monkeypatch.setattr("dlkd.training.loggers.find_spec", lambda name: importlib.util.find_spec("no_such_package"))
    with pytest.raises(ValueError, match=r"--logger wandb: the package is not installed: pip install wandb"):
        check_loggers(["wandb"])
