"""What `dlkd predict` takes: the wait for one picture, as a ratio to `import torch`, and the memory of a large one.

    python benchmarks/bench_predict.py --json predict.json

Each is a process of its own with one thread, on a small network with random weights. The wait is processor time, in
rounds of all beside `python -c "import torch"`, and the figure the median of the ratios within a round. Memory is the
peak of the process with a picture of 8,000x2,000 pixels in tiles of 256, less that with one of 256x256, per pixel:
a picture as Pillow decodes it, as an array, and its map are 11 bytes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from said import counted, say

LARGE = (2000, 8000)
MOST_BYTES = 16.0
MOST_WAIT = 2.8
TRAIN = (
    *("-m", "dlkd", "train", "dlkd-lfrb", "--category", "brick", "--steps", "1", "--image-size", "64"),
    *("--batch-size", "4", "--set", "teacher.backbone=test_resnet", "--set", "teacher.weights=random"),
    *("--out", "trial"),
)
PREDICT = ("-m", "dlkd", "predict", "trial", "--out", "-")


def cost(arguments: tuple[str, ...], folder: Path) -> tuple[float, int]:
    """Seconds of processor time and the peak of memory in bytes of one process of Python; raises where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DLKD_CACHE": str(folder / "cache")}
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def target(what: str, measured: float, most: float) -> dict[str, Any]:
    return {"what": what, "measured": measured, "target": f"<= {most:g}", "met": measured <= most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        say("a small network is trained")
        cost(TRAIN, folder)
        rng = np.random.default_rng(0)
        for name, size in (("small", (256, 256)), ("large", LARGE)):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        rounds = [
            (cost(("-c", "import torch"), folder)[0], cost((*PREDICT, "small.png"), folder)[0])
            for _ in counted("one picture, round", range(arguments.rounds))
        ]
        say("a large picture in tiles")
        tiled = {name: cost((*PREDICT, f"{name}.png", "--tile", "256"), folder) for name in ("small", "large")}
    per_pixel = (tiled["large"][1] - tiled["small"][1]) / (LARGE[0] * LARGE[1] - 256**2)
    figures: dict[str, Any] = {
        "import_torch_seconds": statistics.median(base for base, _ in rounds),
        "predict_seconds": statistics.median(taken for _, taken in rounds),
        "megabytes": {name: peak / 2**20 for name, (_, peak) in tiled.items()},
        "large_seconds": tiled["large"][0],
        "targets": [
            target("one picture / import torch", statistics.median(b / a for a, b in rounds), MOST_WAIT),
            target("bytes per pixel of a tiled picture", per_pixel, MOST_BYTES),
        ],
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
