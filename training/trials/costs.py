"""What a trial cost, and what it was computed with."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dlkd.models.detector import Detector
from dlkd.models.flops import image_flops
from dlkd.training.trials.trial_spec import TrialSpec

PACKAGES = ("dlkd", "torch", "lightning", "timm", "numpy", "numba", "ray", "anomalib")


def costs(model: Detector, spec: TrialSpec, train_seconds: float) -> dict[str, float]:
    """What the trial cost: parameters, FLOPs of one image (`image_flops`), seconds of training.

    Time and memory of scoring are not measured here, where other trials run, but alone (`training/speed.py`).
    """
    return {
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "flops": float(image_flops(model, spec.train.sides)),
        "train_seconds": train_seconds,
    }


def versions() -> dict[str, str]:
    """Versions of what computed a result, and the git revision of the source tree if it is one."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # anomalib is an extra; one trial needs no Ray
            found[name] = version(name)
    git = ["git", "-C", str(Path(__file__).resolve().parents[1]), "rev-parse", "HEAD"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        revision = "not a git checkout"
    return found | {"python": platform.python_version(), "revision": revision}
