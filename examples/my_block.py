"""A block of your own: a depthwise convolution with a large kernel, as an alternative to LFRB.

Check its contract, the row and variant of `my_block.yaml`:

    dlkd check examples/my_block.yaml --import examples/my_block.py

Every command takes `--import`, so that it trains and ablates like a block of dlkd's own:

    dlkd train dlkd-large-kernel --registry examples/my_block.yaml --import examples/my_block.py

A package that announces it by entry point needs no `--import`:

    [project.entry-points."dlkd.components"]
    mine = "my_package.my_block"
"""

from torch import Tensor, nn

from dlkd.blocks.norm import Norm
from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "large_kernel")
class LargeKernel(nn.Module):
    """x + Conv1x1(Norm(DWConv(x))) with one wide depthwise convolution.

    Args:
        channels: width of the map.
        kernel: side of the depthwise kernel, odd.
        norm: norm class between the convolutions.

    Raises:
        ValueError: `kernel` is even.
        ContractError: the input has other channels.
    """

    def __init__(self, channels: int, *, kernel: int = 7, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"large_kernel: kernel must be odd, got {kernel}")
        self.channels = channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
            norm(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("large_kernel", x, self.channels)
        out: Tensor = x + self.layers(x)
        return out
