"""`dlkd predict` with an exported file: rows, maps and tiles, without PyTorch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.scoring.models import load_scorer
from dlkd.scoring.tiles import Tiled

HELD = {"format": 1, "dlkd": "0.1.0", "written_by": "dlkd export", "threshold": 100.0}
CODE = """
import sys
from dlkd.cli import main
try:
    main()
finally:
    assert not {"torch", "lightning", "timm", "matplotlib", "pandas"} & set(sys.modules), sorted(sys.modules)
"""


def test_an_exported_file_is_a_scorer_with_its_own_threshold_and_maps_at_the_pictures_size(
    mean: Callable[..., Path],
) -> None:
    scorer, note = load_scorer(mean())
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (answer,) = scorer.detect([scorer.prepare(pixels)])
    assert note == ""
    grey = pixels.mean(axis=2)
    assert answer.score == pytest.approx(grey.max(), abs=1e-3)
    assert answer.make_map is not None
    np.testing.assert_allclose(answer.make_map(), grey, atol=1e-3)
    assert scorer.normal.threshold == 100
    assert np.isnan(scorer.normal.level)
    assert scorer.tile is None
    assert load_scorer(mean({**HELD, "tile": [10, 12]}))[0].tile == (10, 12)
    (tiled,) = Tiled(scorer, (10, 10), 0.5).detect([pixels])
    assert tiled.make_map is not None
    np.testing.assert_allclose(tiled.make_map(), grey, atol=1e-3)
    assert tiled.score == answer.score


def test_the_command_takes_it_and_loads_nothing_that_trains(mean: Callable[..., Path], tmp_path: Path) -> None:
    for name, level in (("dark.png", 10), ("bright.png", 250)):
        Image.fromarray(np.full((8, 9, 3), level, np.uint8)).save(tmp_path / name)
    words = ["predict", str(mean()), "-", "--out", "-", "--format", "jsonl", "--fail-on-anomaly"]
    lines = f"{tmp_path}/dark.png\n{tmp_path}/none.png\n{tmp_path}/bright.png\n"
    done = subprocess.run([sys.executable, "-c", CODE, *words], input=lines, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr  # one of them is not there
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(Path(row["image"]).name, row["anomalous"]) for row in rows] == [("dark.png", False), ("bright.png", True)]
    assert "none.png: no such file" in done.stderr
    assert "2 images scored, 1 of them anomalous" in done.stderr


def test_a_reader_that_ended_is_an_error_and_no_anomaly(mean: Callable[..., Path], tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "dark.png")
    words = ["predict", str(mean()), str(tmp_path / "dark.png"), "--out", "-"]
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run([sys.executable, "-c", CODE, *words], stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert done.returncode == 2, done.stderr  # Click has 1
    assert "error: whoever read standard output has ended" in done.stderr
    assert "Exception ignored" not in done.stderr
