"""Focal loss of DRAEM and DeSTSeg: places that are told apart well already count little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register


@register("loss", "focal")
class Focal(nn.Module):
    """Mean over places of -w (1 - p)^gamma log p, where p is the probability of the class that is true there.

    Lin et al., ICCV 2017. The defaults are DRAEM's (`loss.py`); DeSTSeg has gamma 4 and no smoothing. anomalib's DRAEM
    has alpha 1 and no smoothing, so that normal places count for nothing.

    Args:
        gamma: exponent; with 0 it is the cross entropy.
        alpha: the weight w of anomalous places; normal ones have 1 - alpha. None: all have 1.
        smoothing: the true class counts 1 - smoothing and the other one smoothing, and this is added to p once more.

    Raises:
        ContractError: the shapes do not fit.
        ValueError: `gamma` is negative, `alpha` not from 0 to 1, or `smoothing` not from 0 to below 0.5.

    >>> Focal(gamma=1, smoothing=0)(torch.full((2, 2, 4, 4), 0.5), torch.ones(2, 1, 4, 4))
    tensor(0.3466)
    """

    def __init__(self, *, gamma: float = 2.0, alpha: float | None = None, smoothing: float = 1e-5) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"focal: gamma must be at least 0, got {gamma}")
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"focal: alpha must be from 0 to 1, got {alpha}")
        if not 0 <= smoothing < 0.5:
            raise ValueError(f"focal: smoothing must be from 0 to below 0.5, got {smoothing}")
        self.gamma = gamma
        self.alpha = alpha
        self.smoothing = smoothing

    def forward(self, probabilities: Tensor, masks: Tensor) -> Tensor:
        """Of normal and anomalous at each place, (b, 2, h, w), and masks of 0 and 1, (b, 1, h, w) -> scalar."""
        b, _, h, w = masks.shape
        if probabilities.shape != (b, 2, h, w) or masks.shape[1] != 1:
            raise ContractError(
                f"focal: expected probabilities (b, 2, h, w) and masks (b, 1, h, w), "
                f"got {tuple(probabilities.shape)} and {tuple(masks.shape)}"
            )
        p = probabilities.to(torch.promote_types(probabilities.dtype, torch.float32))
        anomalous = (1 - 2 * self.smoothing) * masks + self.smoothing
        p = anomalous * p[:, 1:] + (1 - anomalous) * p[:, :1] + self.smoothing
        # A probability that is 0 in float32 has no logarithm.
        p = p.clamp(torch.finfo(p.dtype).tiny, 1)
        loss = -((1 - p) ** self.gamma) * p.log()
        if self.alpha is not None:
            loss = loss * (self.alpha * masks + (1 - self.alpha) * (1 - masks))
        return loss.mean()
