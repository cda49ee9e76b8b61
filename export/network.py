"""A detector in the form in which its graph is made."""

from __future__ import annotations

import copy
import keyword

from torch import Tensor, nn

from dlkd.blocks.ss2d import SS2D
from dlkd.models.detector import Detector


class Network(nn.Module):
    """A detector whose call is `detect`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (b, 3, h, w), normalised -> scores (b,) and maps (b, h', w')."""
        scores, maps = self.detector.detect(images)
        return scores, maps


def exportable(detector: Detector, *, loops: bool = True) -> nn.Module:
    """A copy in eval mode that `torch.export` and `torch.onnx.export` take, with batches of any size.

    Its call takes images (b, 3, h, w), normalised, and gives scores (b,) and maps (b, h', w') or None, as
    `Detector.detect` does.

    Args:
        detector: any, fitted.
        loops: an SS2D's scan is a loop, one node of the graph (`blocks/scan/loop.py`), which suits runtimes; otherwise
            it is unrolled in chunks, which suits PyTorch, whose loop is one of Python's.
    """
    network = Network(copy.deepcopy(detector)).eval().requires_grad_(False)
    nameable(network)
    for part in network.modules():
        if isinstance(part, SS2D):
            part.backend = "loop" if loops else "torch"
    return network


def nameable(module: nn.Module) -> None:
    """Give parts that are called by a word of Python, as FRM's `global` is, a name that generated code can have.

    A program of `torch.export` reads parts as attributes, and `self.global` is a syntax error. The parameters of the
    module have other names afterwards, so this is for copies.
    """
    for part in module.modules():
        part._modules = {_nameable(name): child for name, child in part._modules.items()}


def _nameable(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name
