"""What commands and packages import: a command that computes nothing does not wait for what computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity

# Run the commands `dlkd ...`, or import a package; then print which of the libraries are there.
CODE = """
import json, os, sys
names = sys.argv.pop(1).split(",")
if sys.argv[1] == "import":
    __import__(sys.argv[2])
else:
    from dlkd.cli import main
    for words in " ".join(sys.argv[1:]).split(" + "):
        sys.argv[1:] = words.split()
        try:
            main()
        except SystemExit as stop:
            print("exit code", stop.code or 0)
print(json.dumps([[name for name in names if name in sys.modules], os.environ.get("OMP_WAIT_POLICY")]))
"""
TRAINING = ("lightning", "ray", "optuna", "timm", "torchvision", "torchmetrics")
COMPUTING = ("numba", "scipy.sparse", "scipy.ndimage", "skimage", "pandas", "pyarrow", "matplotlib", "torch._dynamo")


GRID = Grid(name="g", title="t", rows=[GridRow(label="a", variant="dlkd")], reference="a")


def loaded_by(words: str, names: tuple[str, ...]) -> tuple[list[str], str]:
    """Which of the libraries are there after the words, and what was printed."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", CODE, ",".join(names), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    loaded, policy = json.loads(done.stdout.splitlines()[-1])
    assert policy == "passive"  # set before PyTorch is loaded, whenever that will be
    return loaded, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "absent", "says"),
    [
        ("--help + ablate --help", ("torch", "numpy", "yaml", *TRAINING, *COMPUTING), "exit code 0"),
        ("import dlkd", ("torch", "numpy", "pydantic", "yaml", "rich", "typer"), ""),
        ("import dlkd.blocks", (*TRAINING, *COMPUTING), ""),
        # The process that plans a grid trains nothing: Ray's start would wait for it.
        ("import dlkd.ablations.run.ray_training", ("lightning", "timm", "torchvision", "matplotlib"), ""),
        # What `dlkd predict` needs beside a model: an exported file is scored without PyTorch.
        ("import dlkd.scoring.score", ("torch", *TRAINING, *COMPUTING), ""),
        ("import dlkd.training.prediction.trained_model", ("lightning", "ray", "timm", "matplotlib", "pandas"), ""),
        ("list + list variants + show dkld", ("torch", *TRAINING, *COMPUTING), "dlkd-lfrb"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(words: str, absent: tuple[str, ...], says: str) -> None:
    loaded, said = loaded_by(words, absent)
    assert says in said
    assert loaded == []


def test_a_report_is_written_without_what_trains_and_an_unchanged_one_without_what_draws(tmp_path: Path) -> None:
    measured = {"dataset": "d", "category": "c", "seed": 0, "metric": "pro", "value": 0.5, "status": "ok", "reason": ""}
    how = {"image_size": 64, "epochs": 1, "max_steps": 1, "pro_limit": 0.3, "score_at": "network", "settings": ""}
    trials = pd.DataFrame([{"table": "g", "row": "a", "variant": "dlkd", "key": "k", **measured, **how}])
    write_run(tmp_path, trials, [GRID], tmp_path, RunIdentity())
    for absent in (("torch", *TRAINING), ("torch", *TRAINING, "matplotlib", "scipy.stats")):
        loaded, said = loaded_by(f"report {tmp_path}", absent)
        assert "wrote" in said
        assert loaded == []


def test_the_command_without_what_it_needs_says_so(tmp_path: Path) -> None:
    """As where dlkd was installed with --no-deps beside numpy, Pillow and onnxruntime."""
    for missing in ("typer", "rich"):
        (tmp_path / missing).mkdir()
        (tmp_path / missing / "__init__.py").write_text(
            f"raise ModuleNotFoundError(name={missing!r})", encoding="utf-8"
        )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    for words in (["--help"], ["predict", "part.onnx", "."]):
        done = subprocess.run(
            [sys.executable, "-m", "dlkd", *words], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "needs the package" in done.stderr
        assert "pip install" in done.stderr
