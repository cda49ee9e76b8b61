"""Laws of the deployment of a component: compiled, exported, pickled, in another memory format."""

from __future__ import annotations

import pickle

import torch
from torch import Tensor

from dlkd.check.component import Case
from dlkd.check.law import broken
from dlkd.check.short_training import images
from dlkd.check.tensors import changed, close
from dlkd.export.network import exportable, nameable
from dlkd.models.detector import Detector


def channels_last(case: Case) -> None:
    """Maps in channels-last memory format give the same values."""
    module = case.build()
    inputs = changed(case.inputs(), _channels_last)
    if not close(case.outputs(module, inputs), case.outputs(module)):
        broken("channels-last inputs give different values")


def contiguous(case: Case) -> None:
    """Contiguous inputs give contiguous maps, which other people's code can flatten by `view`."""
    if not all(output.is_contiguous() for output in case.outputs(case.build()) if output.dim() == 4):
        broken("contiguous inputs give a map that is not: return `dlkd.blocks.in_layout_of(map, input)`")


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def pickled(case: Case) -> None:
    """A pickled and unpickled instance gives the same output."""
    module = case.build()
    again = pickle.loads(pickle.dumps(module))
    for a, b in zip(case.outputs(module), case.outputs(again), strict=True):
        if not torch.equal(a, b):
            broken("pickling loses a part of the state that the output depends on")


def compiled(case: Case) -> None:
    """Under torch.compile (backend aot_eager) it gives the same values, forward and backward traced."""
    module = case.build()
    expected = module(*case.inputs())
    torch._dynamo.reset()
    try:
        output = torch.compile(module, backend="aot_eager")(*case.inputs())
    finally:
        torch._dynamo.reset()  # compiled code of one case is of no use to the next
    if not close(output, expected):
        broken("torch.compile gives different values")


def exported(case: Case) -> None:
    """torch.export takes it, a model for batches of any size, and the exported program gives the same values."""
    module = case.build()
    if isinstance(module, Detector):
        _exported_for_any_batch(case, module)
        return
    expected = module(*case.inputs())
    nameable(module)
    program = torch.export.export(module, tuple(case.inputs()), strict=False)
    if not close(program.module()(*case.inputs()), expected):
        broken("the exported program gives different values")


@torch.no_grad()
def _exported_for_any_batch(case: Case, model: Detector) -> None:
    axes = ({0: torch.export.Dim("b", min=1, max=1024)},)
    program = torch.export.export(
        exportable(model), (images(case, model, b=2),), dynamic_shapes=axes, strict=False
    ).module()
    for b in (1, 3):
        batch = images(case, model, seed=b, b=b)
        found = zip(("scores", "maps"), model.detect(batch), program(batch), strict=True)
        bad = [name for name, wanted, got in found if wanted is not None and not close(got, wanted)]
        if bad:
            broken(f"the exported program gives different {bad[0]} for a batch of {b}")
