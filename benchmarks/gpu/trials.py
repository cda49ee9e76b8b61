"""Trials an hour with 1, 2, 4 and 8 trials on one GPU, and with 4 and 8 in one process.

By `dlkd ablate --trials-per-gpu` where Ray is installed, else by as many processes of `dlkd train` at a time, which is
said. All trials of a round start together, on textures that dlkd makes, and train so many steps; from the seconds
that each of them trained follow the steps per second of all, and how many trainings of the paper's length (200 epochs
of 209 images, MVTec AD's bottle) fit in an hour. Start, scoring and reports are not in it; part `table4` has them.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

from figures import Asked, asked

from dlkd.training.trials.trial_folder import RESULT

PAPER_STEPS = 200 * math.ceil(209 / 8)
GRID = """\
title: trials on one GPU
rows:
  - {label: dlkd, variant: dlkd, overrides: {teacher: {backbone: resnet18, weights: random}}}
reference: dlkd
"""


def common(asked: Asked) -> list[str]:
    """What both ways of training are asked for."""
    side, steps = ("32", "2") if asked.dry else ("256", "150")
    return ["--preset", "paper", "--steps", steps, "--image-size", side, "--category", "brick"]


def by_ray(asked: Asked, count: int, folder: Path, *more: str) -> list[Path]:
    """The folders of so many trials, trained by `dlkd ablate`."""
    grid = folder / "grid.yaml"
    grid.write_text(GRID, encoding="utf-8")
    share = 0 if asked.device.type == "cpu" else count
    command = [sys.executable, "-m", "dlkd", "ablate", str(grid), "--dataset", "textures", *common(asked)]
    command += ["--seeds", str(count), "--workers", str(count), "--trials-per-gpu", str(share), "--keep", "results"]
    with (folder / "log").open("w") as log:
        command += ["--store", str(folder / "store"), "--out", str(folder / "run"), *more]
        ended = subprocess.run(command, stdout=log, stderr=log, check=False)
    found = [path.parent for path in (folder / "store").glob(f"*/{RESULT}")]
    if ended.returncode and len(found) < count:
        raise SystemExit(f"dlkd ablate, {count} trials at a time: exit code {ended.returncode}, see {folder / 'log'}")
    return found


def by_processes(asked: Asked, count: int, folder: Path) -> list[Path]:
    """The folders of so many trials, trained by so many processes."""
    folders = [folder / f"seed{seed}" for seed in range(count)]
    base = [sys.executable, "-m", "dlkd", "train", "dlkd", "--dataset", "textures", *common(asked), "--threads", "1"]
    base += ["--set", "teacher.backbone=resnet18", "--set", "teacher.weights=random"]
    with (folder / "log").open("w") as log:
        running = [
            subprocess.Popen([*base, "--seed", str(i), "--out", str(path)], stdout=log, stderr=log)
            for i, path in enumerate(folders)
        ]
        codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit(f"dlkd train, {count} processes at a time: exit codes {codes}, see {folder / 'log'}")
    return folders


def measure(asked: Asked) -> None:
    """All figures."""
    ray = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("optuna") is not None
    way = "dlkd ablate --trials-per-gpu" if ray else "plain processes of dlkd train, as Ray or Optuna is not installed"
    alone = 0.0
    rounds = [(count, False) for count in ((2,) if asked.dry else (1, 2, 4, 8))]
    if ray and asked.device.type == "cuda":  # on CPUs there is no such way
        rounds += [(2, True)] if asked.dry else [(4, True), (8, True)]
    for count, together in rounds:
        folder = asked.out / "trials" / (f"{count}-in-one-process" if together else str(count))
        folder.mkdir(parents=True, exist_ok=True)
        if together:
            found = by_ray(asked, count, folder, "--one-process")
        else:
            found = (by_ray if ray else by_processes)(asked, count, folder)
        speed = 0.0
        for each in found:
            result = json.loads((each / RESULT).read_text(encoding="utf-8"))
            speed += result["curve"][-1]["step"] / result["costs"]["train_seconds"]
        alone = alone or speed
        hourly = 3600 * speed / PAPER_STEPS
        name = f"trials an hour, {count} on the GPU{' in one process' if together else ''}, over 1"
        note = f"{way} --one-process" if together else way
        asked.figures.add(name, hourly, "trials/h", ratio=speed / alone, note=note)


if __name__ == "__main__":
    measure(asked(__doc__))
