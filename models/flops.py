"""FLOPs of a model on one image."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from dlkd.blocks.gated_depthwise.flops import register_formula as register_gate
from dlkd.blocks.scan.flops import register_formula as register_scan
from dlkd.models.detector import Detector


def image_flops(model: Detector, sides: tuple[int, int]) -> int:
    """FLOPs of the scores and maps of one image of `sides` (height, width), frozen parts such as a teacher included.

    By PyTorch's counter: two per multiply-add of convolutions and products of matrices, and those of `scan_flops`.
    Elementwise operators, norms and resizing are not counted. The model is in eval mode afterwards.
    """
    register_gate()
    register_scan()
    image = torch.zeros(1, 3, *sides, device=model.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval().detect(image)
    return int(counter.get_total_flops())
