"""VT-ADL's capsule: one vector, shorter than 1, of the codes of all patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlkd.contract import require
from dlkd.registry import register


@register("block", "capsule")
class Capsule(nn.Module):
    """One output capsule (Sabour et al., NeurIPS 2017): squash(s) = s |s| / (1 + |s|^2) of a linear map s.

    VT-ADL sees its codes as 4,096 capsules of length 8 and routes them to one of length 512 in three rounds. The rounds
    change the shares of an input capsule among the output capsules. With one output each share is 1 in every round, so
    that the prediction of all input capsules together is a matrix without bias. Defaults are those of
    pankajmishra000/VT-ADL (docs/systems.md), and so is the start: a Gaussian of deviation 0.01.

    Args:
        channels: length of all codes together.
        out_channels: length of the output.

    Attributes:
        out_channels: length of the output.

    Raises:
        ContractError: the codes have another length.
        ValueError: `out_channels` is below 1.

    >>> Capsule(24, out_channels=8)(torch.zeros(2, 24)).shape
    torch.Size([2, 8])
    """

    def __init__(self, channels: int, *, out_channels: int = 512) -> None:
        super().__init__()
        if out_channels < 1:
            raise ValueError(f"capsule: out_channels must be at least 1, got {out_channels}")
        self.channels = channels
        self.out_channels = out_channels
        self.linear = nn.Linear(channels, out_channels, bias=False)
        nn.init.normal_(self.linear.weight, std=0.01)

    def forward(self, codes: Tensor) -> Tensor:
        """(b, channels) -> (b, out_channels)."""
        require("capsule", "c", codes.shape[-1], f"== {self.channels}")
        s = self.linear(codes)
        length = torch.linalg.vector_norm(s, dim=-1, keepdim=True)
        squashed: Tensor = s * length / (1 + length.square())
        return squashed
