"""What an exported file says of itself."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import Any, TypeAlias

from dlkd.data import dataset_label
from dlkd.export.asked import WRITER
from dlkd.runtime.engine import FORMAT
from dlkd.training.prediction.trained_model import TrainedModel

Metadata: TypeAlias = dict[str, Any]


def metadata_of(trained: TrainedModel, threshold: float | None = None) -> Metadata:
    """All that is known before the file is compared with the model; docs/deploy.md lists the keys."""
    spec, normal = trained.spec, trained.result.normal
    given = f"the threshold {threshold} was given to the export" if threshold is not None else normal.origin
    return {
        "format": FORMAT,
        "written_by": WRITER,
        "dlkd": version("dlkd"),
        "variant": spec.variant,
        "dataset": dataset_label(spec.dataset),
        "category": spec.category,
        "seed": spec.seed,
        "image_size": list(spec.train.sides),
        "threshold": normal.threshold if threshold is None else threshold,
        "origin": given,
        "level": normal.level,
        "proportions": normal.proportions,
        "tile": None if trained.tile is None else list(trained.tile),
        "metrics": trained.metrics,
        "precision": "float32",
    }


def as_json(metadata: Metadata) -> str:
    """As strict JSON, in which a number that is not finite is null."""
    return json.dumps(_finite(metadata), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
