"""The law of models whose training step is replayed as a CUDA graph, tested without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlkd.blocks.scan import forget_curves
from dlkd.check.causes import seen
from dlkd.check.component import Case
from dlkd.check.law import broken
from dlkd.check.short_training import STEPS, ShortTraining, images
from dlkd.models.detector import Detector


def graphed(case: Case) -> None:
    """With `graphed`, `losses` copies nothing to or from the GPU after its first call, and reads no number back.

    The backward pass and the optimisers are not looked at.
    """
    training = ShortTraining(case)
    model = training.model
    if not model.graphed:
        return
    model.begin_step(0, STEPS, training.made)
    batch = images(case, model)
    with _without_numbers() as mode:
        _to_gpu(model, mode)
        there = mode.from_tensor(batch).to("cuda")
        try:
            model.losses(there)  # may put constants on the GPU
            with _Waits() as waits:
                model.losses(there)
            found = waits.found
        except RuntimeError as error:  # of numbers that there are not, or of tensors on two devices
            found = [seen(error)]
    if found:
        fix = "fix: make constants on the device of the images and keep them, without `item`; or say `graphed = False`"
        broken(f"`losses` copies between the CPU and the GPU, or reads a number back ({found[0]}); {fix}")


class _Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Names the operators that wait for a GPU: copies between devices, and numbers that are read back."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        devices = {x.device.type for x in tree_leaves((args, kwargs, made)) if isinstance(x, Tensor)}
        if len(devices) > 1 or func is torch.ops.aten._local_scalar_dense.default:
            self.found.append(str(func))
        return made


@contextmanager
def _without_numbers() -> Iterator[FakeTensorMode]:
    """Tensors in here have shapes and devices and no numbers, so that "cuda" needs no GPU."""
    if not torch.cuda.is_available():
        torch._C._ensureCUDADeviceGuardSet()
    forget_curves()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        forget_curves()


def _to_gpu(model: Detector, mode: FakeTensorMode) -> None:
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            there = nn.Parameter(mode.from_tensor(p.detach()).to("cuda"), requires_grad=p.requires_grad)
            setattr(module, name, there)
        for name, b in module.named_buffers(recurse=False):
            setattr(module, name, mode.from_tensor(b).to("cuda"))
