"""Laws of what is drawn for images: pseudo-anomalies and their masks, textures and augmentations."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor, nn

from dlkd.check.component import Case
from dlkd.check.law import Law, broken
from dlkd.check.tensors import changed, close, tensors

DRAWN_KINDS = ("augmentation", "mask", "pseudo_anomaly", "texture_source")
"""Kinds whose `forward` takes images in [0, 1] and a generator; what comes out is random."""

TRIES = 8
"""States of the generator that are tried: a part of the images may be left as they are."""


def in_range(case: Case) -> None:
    """Images in [0, 1] give images in [0, 1], and masks, which have one channel, of 0 and 1."""
    module = case.build()
    for seed in range(TRIES):
        found = _drawn(case, module, _images(case), seed)
        for tensor, announced in zip(found, case.component.output_shapes(), strict=True):
            if announced[1].text == "1" and not ((tensor == 0) | (tensor == 1)).all():
                broken("a mask has other values than 0 and 1; fix: compare with a threshold")
            if not ((tensor >= -1e-6) & (tensor <= 1 + 1e-6)).all():
                broken("images outside of [0, 1] come out; fix: `clamp(0, 1)`")


def seeded(case: Case) -> None:
    """Random numbers come from the generator alone: the same state gives the same output, after pickling too."""
    module, images = case.build(), _images(case)
    copy = pickle.loads(pickle.dumps(module))
    for seed in range(TRIES):
        torch.manual_seed(1)
        first = _drawn(case, module, images, seed)
        torch.manual_seed(2)
        for a, b in zip(first, _drawn(case, copy, images, seed), strict=True):
            if not torch.equal(a, b):
                broken("one state of the generator gives two outputs; fix: pass `generator` to every random function")


def each_image(case: Case) -> None:
    """What is drawn for an image does not depend on what the other images of its batch show."""
    module = case.build()
    images = _images(case, b=3)
    others = changed(images, lambda t: torch.cat([1 - t[:1], t[1:]]))
    for seed in range(TRIES):
        first, second = _drawn(case, module, images, seed), _drawn(case, module, others, seed)
        if not close([t[1:] for t in first], [t[1:] for t in second]):
            broken("an image's output depends on its batch; fix: draw numbers that do not depend on the images")


def _images(case: Case, **sizes: int) -> list[Any]:
    """The case's inputs, brought to [0, 1]."""
    return changed(case.inputs(**sizes), torch.sigmoid)


def _drawn(case: Case, module: nn.Module, images: list[Any], seed: int) -> list[Tensor]:
    return tensors(module(*images, torch.Generator().manual_seed(seed)))


DRAWN_LAWS = tuple(Law(law.__name__, law, kinds=DRAWN_KINDS) for law in (in_range, seeded, each_image))
