"""A DLKD block in another library's model: GFRB behind the bottleneck of anomalib's ReverseDistillation.

Needs the extra anomalib, whose Engine trains it on stripes here, in seconds: python examples/gfrb_in_anomalib.py
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import ReverseDistillation
from torch import nn
from torchvision.utils import save_image

from dlkd.blocks import GFRB


class ReverseDistillationWithGFRB(ReverseDistillation):
    """anomalib's model, with a GFRB between its bottleneck and its decoder."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        bottleneck = self.model.bottleneck  # inside which anomalib's own optimiser finds the block's parameters
        self.model.bottleneck = nn.Sequential(bottleneck, GFRB(bottleneck.bn4.num_features, d_state=4))


def draw(folder: Path, count: int, turned: bool = False) -> None:
    """Write `count` pictures of stripes with a random phase, with a patch turned by 90 degrees if `turned`."""
    folder.mkdir(parents=True)
    for i in range(count):
        picture = (0.5 + 0.5 * torch.sin(torch.arange(64) * 0.8 + 6.28 * torch.rand(1))).repeat(3, 64, 1)
        if turned:
            picture[:, 16:48, 16:48] = picture[:, 16:48, 16:48].mT.clone()
        save_image(picture, folder / f"{i}.png")


def build() -> ReverseDistillationWithGFRB:
    """A small model without pretrained weights, which would be a download."""
    torch.manual_seed(0)
    parts = {"pre_processor": ReverseDistillation.configure_pre_processor((64, 64)), "visualizer": False}
    return ReverseDistillationWithGFRB(backbone="resnet18", pre_trained=False, **parts)


def train(model: ReverseDistillationWithGFRB, root: Path, epochs: int = 10) -> float:
    """Train on pictures that are drawn in `root`; image AUROC on new ones."""
    draw(root / "good", 8)
    draw(root / "good_test", 4)
    draw(root / "bad", 4, turned=True)
    data = Folder("stripes", "good", root, "bad", "good_test", train_batch_size=4, eval_batch_size=4, num_workers=0)
    engine = Engine(max_epochs=epochs, default_root_dir=root, logger=False, accelerator="cpu")
    engine.fit(model=model, datamodule=data)
    return float(engine.test(model=model, datamodule=data)[0]["image_AUROC"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(f"image AUROC: {train(build(), Path(folder)):.3f}")
