"""A DLKD block in a model of your own: GFRB in the middle of a small convolutional autoencoder.

It learns stripes, and marks what it cannot reconstruct. Runs in seconds: python examples/reuse_block.py
"""

import torch
from torch import Tensor, nn

from dlkd.blocks import GFRB
from dlkd.metrics import pixel_auroc


class Autoencoder(nn.Module):
    """(b, 1, h, w) -> (b, 1, h, w) for sides that 4 divides."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        )
        # A block keeps (b, c, h, w): it goes anywhere, and takes norm and activation as classes.
        self.middle = GFRB(channels, d_state=8, scan="hilbert8", act=nn.SiLU)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 2, stride=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        reconstructed: Tensor = self.decode(self.middle(self.encode(images)))
        return reconstructed


def stripes(count: int, side: int = 32) -> Tensor:
    """Pictures (count, 1, side, side) of stripes with a random phase."""
    phase = 6.28 * torch.rand(count, 1, 1, 1)
    return torch.sin(torch.arange(side) * 0.8 + phase).expand(count, 1, side, side).contiguous()


def main(steps: int = 150) -> float:
    """Train on stripes, return the pixel AUROC on stripes with a patch turned by 90 degrees."""
    torch.manual_seed(0)
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(steps):
        images = stripes(8)
        loss = (model(images) - images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.eval()
    images = stripes(16)
    masks = torch.zeros(16, 32, 32, dtype=torch.bool)
    masks[:, 10:20, 12:22] = True
    images = torch.where(masks.unsqueeze(1), images.transpose(2, 3), images)
    with torch.no_grad():
        maps = (model(images) - images).square().squeeze(1)
    return pixel_auroc(maps, masks)


if __name__ == "__main__":
    print(f"pixel AUROC of the reconstruction error: {main():.3f}")
