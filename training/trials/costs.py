"""What a trial cost, and what it was computed with."""

from __future__ import annotations

import json
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dlkd.models.detector import Detector
from dlkd.models.flops import image_flops
from dlkd.training.trials.trial_spec import TrialSpec

PACKAGES = ("dlkd", "torch", "lightning", "timm", "numpy", "numba", "ray", "anomalib")


def costs(model: Detector, spec: TrialSpec) -> dict[str, float]:
    """What a model costs: parameters, FLOPs of one image (`image_flops`).

    Time and memory of scoring are not measured here, where other trials run, but alone (`training/speed.py`).
    """
    return {
        "parameters": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
        "flops": float(_flops(model, spec)),
    }


def _flops(model: Detector, spec: TrialSpec) -> int:
    """Counted once per process for all trials of one model, except where they depend on what was fitted."""
    if model.fits:
        return image_flops(model, spec.train.sides)
    # A name may stand for another class in another registry.
    asked = (json.dumps([spec.model, spec.train.sides], sort_keys=True), *map(type, model.modules()))
    if asked not in _counted:
        _counted[asked] = image_flops(model, spec.train.sides)
    return _counted[asked]


_counted: dict[Any, int] = {}


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
