"""A process that measures time and memory of one model and does nothing else.

    python -m dlkd.ablations.run.alone JOB ANSWER

Both are JSON files. The job: `spec` of a trial, `folder` of the trial, `registry` and `imports` files, `threads`, and
whether it takes a `gpu`. The answer: what `measure` gives; `operations`; `device`, the name of what it ran on; and
`elsewhere`, in how many threads other programs computed meanwhile.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from dlkd.files import write_text
from dlkd.machine import processor, running_elsewhere
from dlkd.models.detector import Detector
from dlkd.registry import Registry, load_registry, load_same
from dlkd.training import TrialSpec
from dlkd.training.device import device, hide_gpus
from dlkd.training.saved.weights import load_weights
from dlkd.training.speed import measure, operations
from dlkd.training.trials.trial_folder import WEIGHTS


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Build the model, with the trial's weights where these were kept, and measure it."""
    torch.set_num_threads(job["threads"])
    if not job["gpu"]:
        hide_gpus()
    load_same(job["imports"])
    spec = TrialSpec.model_validate(job["spec"])
    model = model_of(spec, Path(job["folder"]) / WEIGHTS, load_registry(*map(Path, job["registry"])))
    before = running_elsewhere()
    found = measure(model.eval().to(device()), spec.train.sides)
    name = torch.cuda.get_device_name() if device().type == "cuda" else processor()
    elsewhere = max(before, running_elsewhere())
    return found | {"operations": operations(model, spec.train.sides), "device": name, "elsewhere": elsewhere}


def model_of(spec: TrialSpec, weights: Path, registry: Registry) -> Detector:
    """The model of a trial, with its weights where these were kept: time does not depend on what was trained.

    Raises ValueError where the model fits something and it was not kept, as its time depends on that.
    """
    torch.manual_seed(spec.trial_seed)
    model: Detector = registry.build("model", spec.model)
    if weights.exists():
        load_weights(model, weights)
    elif model.fits:
        raise ValueError(f"what the model fitted was not kept: {weights} is missing (--keep results)")
    return model


if __name__ == "__main__":
    write_text(Path(sys.argv[2]), json.dumps(answer(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
