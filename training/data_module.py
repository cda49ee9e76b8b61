"""The Lightning data module of one category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from dlkd.data import Category, ImageDataset, Item, Sample
from dlkd.models.detector import Detector
from dlkd.training.config import TrainConfig
from dlkd.training.device import device


class CategoryData(L.LightningDataModule):
    """Normal training images in an order that (seed, epoch) fixes, and the test images in theirs.

    Args:
        category: the samples.
        config: image size, batch size and workers, and how many training images are held out.
        model: gives the statistics that images are normalised with.
        seed: of the order of training images, and of the choice of those that are held out.

    Attributes:
        train_set: the training images, without those that are held out.
        held_set: the training images that are held out for the alarm threshold; empty without `config.calibrate`.
    """

    def __init__(self, category: Category, config: TrainConfig, model: Detector, seed: int) -> None:
        super().__init__()
        self.category = category
        self.config = config
        self.seed = seed
        self.mean, self.std = model.mean, model.std
        preprocessing: dict[str, Any] = {"image_size": config.sides, "mean": self.mean, "std": self.std}
        held = set(config.calibrate.held(len(category.train), seed)) if config.calibrate else set()
        parts: list[list[Sample]] = [[], []]
        for i, sample in enumerate(category.train):
            parts[i in held].append(sample)
        self.train_set, self.held_set = (ImageDataset(part, **preprocessing) for part in parts)
        self.test_set = ImageDataset(category.test, with_masks=category.has_masks, **preprocessing)

    def train_dataloader(self) -> DataLoader[Item]:
        """Shuffled anew each epoch; Lightning tells the sampler the epoch."""
        sampler: DistributedSampler[Item] = DistributedSampler(
            self.train_set, num_replicas=1, rank=0, shuffle=True, seed=self.seed
        )
        return self._loader(self.train_set, sampler, self._own_generator())

    def test_dataloader(self) -> DataLoader[Item]:
        """In the category's order."""
        return self._loader(self.test_set, None, self._own_generator())

    def train_batches(self, place: torch.device, only: Sequence[int] | None = None) -> Batches:
        """Training images on a device, in the category's order: those numbered in `only`, or all.

        Each pass draws a number from PyTorch's own generator, which `fit_rest` holds.
        """
        chosen = self.train_set if only is None else Subset(self.train_set, only)
        return Batches(self._loader(chosen, None), place)

    def _own_generator(self) -> torch.Generator:
        """Of the number that a loader draws for its worker processes: PyTorch's own may be another thread's now."""
        return torch.Generator().manual_seed(self.seed)

    def _loader(
        self,
        dataset: Dataset[Item],
        sampler: DistributedSampler[Item] | None,
        generator: torch.Generator | None = None,
    ) -> DataLoader[Item]:
        return DataLoader(
            dataset,
            batch_size=self.config.batch_size,
            sampler=sampler,
            generator=generator,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=device().type == "cuda",  # Lightning then copies without waiting
        )


class Batches:
    """Images (b, 3, h, w) of a loader, on a device; the same each time that one iterates."""

    def __init__(self, loader: DataLoader[Item], device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.loader:
            yield batch["image"].to(self.device)
