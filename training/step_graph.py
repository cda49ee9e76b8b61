"""A whole training step as one CUDA graph: what a GPU launches in a step is launched by one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten, tree_unflatten

from dlkd.models.detector import Detector
from dlkd.training.trials.trial_spec import TrialError

WARM = 3
"""Steps of each shape of a batch that run as they are before one is captured: optimisers make their state, the student
is compiled, libraries choose their kernels. They are steps of the training as all others are."""


def capture(step: Callable[[], Tensor], generator: torch.Generator) -> Callable[[], Tensor]:
    """Record a step that reads and writes tensors in fixed places, without running it; what is returned runs it.

    Its numbers go on from the seed that the generator has when it runs.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
        values = step()

    def replay() -> Tensor:
        graph.replay()
        return values.clone()  # the next replay writes over them

    return replay


class StepGraph:
    """The training steps of a model: pseudo-anomalies, teacher, student, losses, gradients and optimisers.

    A step is captured for each shape of the batch, which is twice where the last batch of an epoch is smaller. It
    reads the images, the features and the learning rates from tensors that stay in their place, and draws its numbers
    from one generator, which is seeded anew before each step: the numbers are those of a new generator.

    Args:
        model: in training mode on the device it trains on; `Detector.graphed` says that its steps can be replayed.
        optimizers: those of the model.
        device: of the model.
    """

    def __init__(self, model: Detector, optimizers: Sequence[Optimizer], device: torch.device) -> None:
        self.model = model
        self.optimizers = optimizers
        self.generator = torch.Generator(device)
        self._device = device
        self._names: list[str] = []
        self._rates = [torch.zeros((), device=device) for _ in self._groups]
        self._shapes: dict[object, _Shape] = {}
        for group in self._groups if device.type == "cuda" else ():
            # Without these an optimiser reads its rate and its count of steps back from the GPU.
            group.update({key: True for key in ("capturable", "fused") if key in group})

    def step(self, images: Tensor, clean: Any, seed: int) -> dict[str, Tensor]:
        """One training step; the losses by name, detached.

        Args:
            images: (b, 3, h, w), normalised.
            clean: as in `Detector.losses`.
            seed: of all numbers that the step draws.

        Raises:
            TrialError: the step cannot be captured.
        """
        inputs, form = tree_flatten((images, clean))
        key = (str(form), *((x.shape, x.stride(), x.dtype) for x in inputs if x is not None))
        shape = self._shapes.setdefault(key, _Shape())
        for rate, group in zip(self._rates, self._groups, strict=True):
            rate.fill_(group["lr"])
        if shape.replay is None and shape.steps >= WARM:
            shape.inputs = [None if x is None else x.clone() for x in inputs]
            shape.replay = self._captured(*tree_unflatten(shape.inputs, form))
        self.generator.manual_seed(seed)
        if shape.replay is None:
            shape.steps += 1
            values = self._warm(images, clean)
        else:
            for held, given in zip(shape.inputs, inputs, strict=True):
                if held is not None:
                    held.copy_(given)
            values = shape.replay()
        return dict(zip(self._names, values.unbind(), strict=True))

    def _captured(self, images: Tensor, clean: Any) -> Callable[[], Tensor]:
        try:
            return capture(lambda: self._run(images, clean), self.generator)
        except RuntimeError as error:
            raise TrialError(
                "train.compile: a step of this model cannot be captured as a CUDA graph "
                f"({str(error).splitlines()[0]}); say `compile: true`, or leave it out"
            ) from error

    def _warm(self, images: Tensor, clean: Any) -> Tensor:
        """As the manual of CUDA graphs asks: on a stream other than the one that the rest runs on."""
        if self._device.type != "cuda":
            return self._run(images, clean)
        here = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            values = self._run(images, clean)
        here.wait_stream(side)
        values.record_stream(here)
        return values

    def _run(self, images: Tensor, clean: Any) -> Tensor:
        """The step itself: losses in the order of `_names`. Its rates are those in the tensors."""
        said = [group["lr"] for group in self._groups]
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        terms = self.model.losses(images, self.generator, clean)
        with torch.autocast(self._device.type, enabled=False):  # the gradients are in the types of the forward pass
            terms["total"].backward()  # type: ignore[no-untyped-call]
        for rate, group in zip(self._rates, self._groups, strict=True):
            group["lr"] = rate
        try:
            for optimizer in self.optimizers:
                optimizer.step()
        finally:
            for lr, group in zip(said, self._groups, strict=True):
                group["lr"] = lr
        self._names = list(terms)
        return torch.stack([term.detach().float() for term in terms.values()])

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Of parameters with one rate; read anew, for a checkpoint puts others in their place."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]


class _Shape:
    """What is known of batches of one shape: how many there were, and the captured step with its inputs."""

    def __init__(self) -> None:
        self.steps = 0
        self.inputs: list[Tensor | None] = []
        self.replay: Callable[[], Tensor] | None = None
