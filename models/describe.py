"""Description of a model: the shape at each stage, and the number of parameters of each part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlkd.models.detector import Detector


def describe(model: Detector, sides: tuple[int, int]) -> tuple[list[tuple[str, str]], list[tuple[str, int]]]:
    """(stage, shape) rows from one run on an image of `sides` (height, width), and (part, parameters) rows."""
    image = torch.zeros(1, 3, *sides)
    model.eval()
    with torch.no_grad():
        stages = {"image": image, **model.stages(image)}
    frozen = [model.get_submodule(name) for name in model.frozen]
    parts = {
        f"{name} (frozen)" if part in frozen else name: list(part.parameters()) for name, part in model.parts().items()
    }
    parts["the model's own"] = list(model.parameters(recurse=False))
    counts = [(name, sum(p.numel() for p in own)) for name, own in parts.items() if own]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return [(name, _shapes(tensors)) for name, tensors in stages.items()], [*counts, ("trained", trained)]


def _shapes(tensors: Tensor | Sequence[Tensor]) -> str:
    return ", ".join(str(tuple(t.shape)) for t in ([tensors] if isinstance(tensors, Tensor) else tensors))
