"""What a trial cost, and what it was computed with."""

from __future__ import annotations

import math
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from dlkd.models.detector import Detector
from dlkd.models.flops import image_flops
from dlkd.training.device import device
from dlkd.training.evaluate import Evaluation
from dlkd.training.trials.trial_spec import TrialSpec

PACKAGES = ("dlkd", "torch", "lightning", "timm", "numpy", "numba", "ray")


def costs(model: Detector, spec: TrialSpec, evaluation: Evaluation, train_seconds: float) -> dict[str, float]:
    """What the trial cost: parameters, FLOPs of one image (`image_flops`), time, memory."""
    return {
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "flops": float(image_flops(model, spec.train.sides)),
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
