"""The laws of a model: what training, scoring and prediction rest on. See `dlkd.models.Detector`."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlkd.check.component import Case, Component
from dlkd.check.graphed import graphed
from dlkd.check.law import Law, broken
from dlkd.check.short_training import STEPS, ShortTraining, images
from dlkd.models.detector import Detector, is_frozen, kept_state, load_kept
from dlkd.registry.problems import nearest


def detect(case: Case) -> None:
    """`detect` gives a finite score (b,) of each image and finite maps (b, h, w) or none; `score` of maps is (b,)."""
    model = _model(case)
    batch = images(case, model)
    b = len(batch)
    scores, maps = model.detect(batch)
    found = {"scores": (scores, 1)} if maps is None else {"scores": (scores, 1), "maps": (maps, 3)}
    if maps is not None:
        found["scores of its maps"] = (model.score(maps), 1)
    for name, (tensor, axes) in found.items():
        expected = "(b,)" if axes == 1 else "(b, h, w)"
        if tensor.dim() != axes or len(tensor) != b:
            broken(f"the {name} of {b} images are {tuple(tensor.shape)}, and not {expected}; fix: drop or add axes")
        if not torch.isfinite(tensor).all():
            broken(f"the {name} are not finite; fix: look for a division by 0, a root or a logarithm")


def saved(case: Case) -> None:
    """A trained and fitted model that is saved as safetensors and loaded into a fresh one gives the same answers."""
    training = ShortTraining(case)
    for step in range(STEPS):
        training.step(step)
    model, fresh = training.finished(), _model(case, fitted=False)
    load_kept(fresh, load(save(kept_state(model))))
    batch = images(case, model)
    for name, before, after in zip(("scores", "maps"), model.detect(batch), fresh.detect(batch), strict=True):
        if before is not None and not (after is not None and torch.equal(before, after)):
            broken(f"a model that was saved and loaded gives different {name}; fix: keep what is fitted in buffers")


def losses(case: Case) -> None:
    """`losses` gives finite scalars; gradients of "total" reach what `optimizers` hold, and nothing that none holds."""
    training = ShortTraining(case)
    if not training.made:
        broken("`optimizers` gives none; fix: leave it out of a model in which nothing is trained by gradient")
    reached: set[str] = set()
    for step in range(STEPS):
        terms = training.step(step)
        for name, term in terms.items():
            if term.dim() or not torch.isfinite(term):
                broken(f"the loss '{name}' of shape {tuple(term.shape)} is no finite scalar; fix: take its mean")
        reached |= {n for n, p in training.model.named_parameters() if p.grad is not None and p.grad.any()}
    held = {id(p) for each in training.made for group in each.param_groups for p in group["params"]}
    names = {n for n, p in training.model.named_parameters() if id(p) in held}
    if not reached & names:
        broken("no gradient of 'total' reaches a parameter of `optimizers`; fix: look for a `detach` or `no_grad`")
    if reached - names:
        told = ", ".join(sorted(reached - names)[:3])
        broken(f"no optimizer holds {told}, which 'total' reaches; fix: give it to one, or let it take no gradient")


def losses_autocast(case: Case) -> None:
    """Under bf16 autocast, which `train.precision` may ask for, losses and gradients are finite."""
    training = ShortTraining(case)
    training.model.begin_step(0, STEPS, training.made)
    with torch.autocast("cpu", torch.bfloat16):
        terms = training.model.losses(images(case, training.model), torch.Generator().manual_seed(0))
    torch.autograd.backward(terms["total"])
    gradients = {n: p.grad for n, p in training.model.named_parameters() if p.grad is not None}
    bad = [f"the loss '{n}'" for n, x in terms.items() if not torch.isfinite(x).all()]
    bad += [f"the gradient of {n}" for n, x in gradients.items() if not torch.isfinite(x).all()]
    if bad:
        broken(f"{bad[0]} is not finite under bf16 autocast; fix: compute sensitive operations in float32")


def generator(case: Case) -> None:
    """What `losses` draws comes from its generator alone: the same state gives the same losses and gradients.

    It uses no other generator, even seeded, unless the model has `draws_globally`.
    """
    (first, touched), (second, _) = (_drawn(case, elsewhere=seed) for seed in (1, 2))
    bad = [name for name in first if not torch.equal(first[name], second[name])]
    if bad:
        fix = "fix: pass `generator` to every random function; dropout takes no generator"
        broken(f"{bad[0]} depends on random numbers from outside the generator of `losses`; {fix}")
    if touched:
        fix = "fix: pass `generator` to every random function, or say `draws_globally = True`"
        broken(f"`losses` draws from the generator of {touched[0]}, which trials in one process share; {fix}")


def clean(case: Case) -> None:
    """`clean` gives an image the same bits in any batch and at any step, and `losses` of them what it gives without."""
    training = ShortTraining(case)
    model = training.model
    batch = images(case, model, b=3)
    kept = model.clean(batch)
    leaves, alone = tree_leaves(kept), [tree_leaves(model.clean(image[None])) for image in batch]
    if any(leaf is not None and leaf.requires_grad for leaf in leaves):
        broken("`clean` gives tensors that take a gradient; fix: write `@torch.no_grad()` above it")
    for i, leaf in enumerate(leaves):
        if leaf is not None and not torch.equal(leaf, torch.cat([one[i] for one in alone])):
            broken(
                "`clean` of an image alone is not bit-identical to `clean` of a batch; fix: pass a batch of one twice"
            )
    first, second = _gradients(model, batch, None), _gradients(model, batch, kept)
    bad = [name for name in first if name not in second or not torch.equal(first[name], second[name])]
    if bad:
        broken(f"{bad[0]} differs if `losses` receives the output of `clean`; fix: have it call `clean` itself")
    training.step(0)
    later = tree_leaves(model.clean(batch))
    if any(a is not None and not torch.equal(a, b) for a, b in zip(leaves, later, strict=True)):
        broken("`clean` gives another result after a training step; fix: it may depend on frozen parts alone")


def frozen(case: Case) -> None:
    """Training changes nothing of frozen parts, parameters and buffers, also after `train()`."""
    training = ShortTraining(case)
    model = training.model
    submodules = {name for name, _ in model.named_modules()}
    for part in model.frozen:
        if part not in submodules:
            broken(f"`frozen` names '{part}', which is no submodule{nearest(part, submodules - {''})}")
    still = _frozen_buffers(model)
    before = {n: t.clone() for n, t in model.state_dict().items() if is_frozen(model, n) or n in still}
    for step in range(STEPS):
        training.step(step)
    after = model.state_dict()
    bad = [name for name, value in before.items() if not torch.equal(value, after[name])]
    if bad:
        fix = "fix: `requires_grad_(False)`, and a `train` of the frozen part that stays in eval mode"
        broken(f"a training step changes {bad[0]} of a frozen part; {fix}")


def resume(case: Case) -> None:
    """A training that is saved and loaded between its steps, and then fitted, gives an uninterrupted one's bits."""
    whole, cut = ShortTraining(case), ShortTraining(case)
    for step in range(STEPS):
        whole.step(step)
        cut = cut.resumed()
        cut.step(step)
    first, second = whole.finished().state_dict(), cut.finished().state_dict()
    bad = [name for name in first if not torch.equal(first[name], second[name])]
    if bad:
        fix = "fix: keep in buffers what steps change; let `begin_step` set all else from its arguments"
        broken(f"{bad[0]} of an interrupted training differs from that of an uninterrupted one; {fix}")


def _model(case: Case, *, fitted: bool = True) -> Detector:
    model = case.build(fitted=fitted)
    if not isinstance(model, Detector):
        broken(f"a model is a dlkd.models.Detector, and this one a {type(model).__name__}")
    assert isinstance(model, Detector)
    return model


def _drawn(case: Case, *, elsewhere: int) -> tuple[dict[str, Tensor], list[str]]:
    """Losses and gradients of a first step, with other sources of random numbers seeded by `elsewhere`.

    And the libraries from whose own generators it draws, though the model does not say so.
    """
    training = ShortTraining(case)
    model, batch = training.model, images(case, training.model)
    model.begin_step(0, STEPS, training.made)
    torch.manual_seed(elsewhere)
    np.random.seed(elsewhere)  # the legacy one is what a model may draw from by mistake
    random.seed(elsewhere)
    before = _global_states()
    with _Draws() as draws:
        found = _gradients(model, batch, None)
    used = [*draws.seen, *(name for name, state in _global_states().items() if state != before[name])]
    return found, [] if model.draws_globally else used


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees operators that draw from PyTorch's own generator, also where that is seeded before and restored after."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        before = torch.get_rng_state()  # not every such operator draws: one of attention does for its dropout alone
        made = func(*args, **(kwargs or {}))
        if not torch.equal(before, torch.get_rng_state()):
            self.seen.append("PyTorch")
        return made


def _global_states() -> dict[str, Any]:
    """State of each library's own generator."""
    return {
        "PyTorch": torch.get_rng_state().tolist(),
        "NumPy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "Python": random.getstate(),
    }


def _gradients(model: Detector, batch: Tensor, kept: Any) -> dict[str, Tensor]:
    """Losses of a batch and gradients of "total", by name."""
    model.zero_grad()
    terms = model.losses(batch, torch.Generator().manual_seed(0), kept)
    torch.autograd.backward(terms["total"])
    found = {f"the gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {**{f"the loss '{n}'": x.detach() for n, x in terms.items()}, **found}


def _frozen_buffers(model: nn.Module) -> set[str]:
    """Buffers of modules whose own parameters take no gradient: running statistics of a frozen normalisation."""
    found = set()
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            found |= {f"{name}.{n}".lstrip(".") for n, _ in module.named_buffers(recurse=False)}
    return found


def _of_a_detector(component: Component, *methods: str) -> bool:
    """Whether a component is a `Detector` with methods of its own."""
    kind = component.made_by
    is_one = isinstance(kind, type) and issubclass(kind, Detector)
    return is_one and all(getattr(kind, m) is not getattr(Detector, m) for m in methods)


def _law(test: Any, *methods: str) -> Law:
    needs = " and ".join(f"`{m}`" for m in methods)
    return Law(
        test.__name__,
        test,
        lambda component: _of_a_detector(component, *methods),
        f"a Detector with {needs} of its own" if methods else "a Detector",
        drawn=False,
        kinds=("model",),
    )


DETECTOR_LAWS = (
    _law(detect),
    _law(saved),
    _law(losses, "optimizers"),
    _law(losses_autocast, "optimizers"),
    _law(generator, "optimizers"),
    _law(clean, "clean"),
    _law(frozen, "optimizers"),
    _law(resume),
    _law(graphed, "optimizers"),
)
