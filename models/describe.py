"""What flows through a model: the shape at each stage, and where the parameters are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlkd.models.dlkd import DLKD


def describe(model: DLKD, sides: tuple[int, int]) -> tuple[list[tuple[str, str]], list[tuple[str, int]]]:
    """(stage, shape) rows from one run on an image of `sides` (height, width), and (part, parameters) rows."""
    image = torch.zeros(1, 3, *sides)
    with torch.no_grad():
        model.eval()
        features = model.teacher(image)
        noisy = model.pseudo_anomalies(image, features)
        fused = model.fusion(noisy)
        made = model.reconstruct(features, noisy)
        anomaly_map = model(image)
    stages = [
        ("image", _shapes([image])),
        ("T_E, teacher", _shapes(features)),
        ("F_E, pseudo-anomalies", _shapes(noisy)),
        ("fused (MFFM)", _shapes([fused])),
        ("F_CS, coarse decoder", _shapes(made.coarse)),
        ("M_C, coarse maps", _shapes(made.coarse_maps)),
    ]
    if model.refiners is not None:
        stages.append(("F_PS, refined", _shapes(made.precise)))
    stages.append(("anomaly map", _shapes([anomaly_map])))
    parts = {
        "teacher (frozen)": model.teacher,
        "fusion": model.fusion,
        "coarse decoder": model.decoder,
        "refiner": model.refiners,
    }
    counts = [(name, sum(p.numel() for p in m.parameters())) for name, m in parts.items() if m is not None]
    trained = sum(p.numel() for p in model.student_parameters() + model.refiner_parameters())
    return stages, [*counts, ("trained", trained)]


def _shapes(tensors: Sequence[Tensor]) -> str:
    return ", ".join(str(tuple(t.shape)) for t in tensors)
