"""A training of a few steps, as `dlkd.training` does it, on images drawn at random."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor

from dlkd.check.component import Case
from dlkd.check.law import broken
from dlkd.models.detector import Detector, kept_state, load_kept
from dlkd.models.optimizers.together import together

STEPS = 3
"""Of a training; one with two stages has both, and the second a step that is not its first."""


def images(case: Case, model: Detector, seed: int = 0, **changed: int) -> Tensor:
    """Images (b, 3, h, w) as a model takes them: in [0, 1], then normalised."""
    shape = case.inputs(**changed)[0].shape
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (model.mean, model.std))
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - mean) / std


class ShortTraining:
    """A training of `STEPS` steps, one at a time.

    Attributes:
        model: in train mode.
        made: what its `optimizers` gave.
    """

    def __init__(self, case: Case) -> None:
        model = case.build(fitted=False)
        if not isinstance(model, Detector):
            broken(f"a model is a dlkd.models.Detector, and this one a {type(model).__name__}")
        assert isinstance(model, Detector)
        self.case = case
        self.model = model.train()
        self.made = tuple(model.optimizers())

    def step(self, step: int) -> dict[str, Tensor]:
        """One step, on images and a generator of its own; the losses. Nothing where nothing is trained by gradient."""
        if not self.made:
            return {}
        optimizer = together(self.made)
        optimizer.zero_grad()
        self.model.begin_step(step, STEPS, self.made)
        terms = self.model.losses(images(self.case, self.model, step), torch.Generator().manual_seed(step))
        if "total" not in terms:
            broken(f"`losses` gives {', '.join(terms) or 'nothing'} and no 'total', which is what is minimised")
        if terms["total"].requires_grad:  # whether it should is what the law `losses` says
            torch.autograd.backward(terms["total"])
        optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    def resumed(self) -> ShortTraining:
        """The training in another process: model and optimisers made anew, their states saved and loaded."""
        file = io.BytesIO()
        state = together(self.made).state_dict() if self.made else None
        torch.save({"model": kept_state(self.model), "optimizer": state}, file)
        file.seek(0)
        found = torch.load(file, weights_only=True)
        other = ShortTraining(self.case)
        load_kept(other.model, found["model"])
        if other.made:
            together(other.made).load_state_dict(found["optimizer"])
        return other

    def finished(self) -> Detector:
        """The model after its last step: fitted, in eval mode."""
        self.model.eval()
        torch.manual_seed(0)
        np.random.seed(0)  # seeded for a model that draws from it while it fits
        with torch.no_grad():
            self.model.fit([images(self.case, self.model, seed) for seed in range(2)])
        return self.model
