"""The laws that every component keeps, and those of models; one function each; its docstring is the law."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlkd.check import deployment, sizes
from dlkd.check.component import Case, Component
from dlkd.check.detector_laws import DETECTOR_LAWS
from dlkd.check.drawn_laws import DRAWN_KINDS, DRAWN_LAWS
from dlkd.check.law import Law, broken
from dlkd.check.tensors import changed, close, scalar, tensors
from dlkd.contract import ContractError, TensorShape, matches

SEEDS = 24
"""Initialisations among which every parameter must see a gradient: one alone may start with dead ReLUs."""


def shape(case: Case) -> None:
    """The output has the announced shape, the input's dtype, and finite values."""
    names = dict(case.sizes)
    output = case.build()(*case.inputs())
    for tensor, expected in _pairs(output, case.component.output_shapes()):
        if not matches(expected, tensor.shape, names):
            broken(f"the output is {tuple(tensor.shape)}, the contract says {case.component.shape.text}")
        if tensor.dtype != torch.float32:
            broken(f"float32 comes out as {tensor.dtype}")
        if not torch.isfinite(tensor).all():
            broken("the output is not finite")


def gradient(case: Case) -> None:
    """A finite gradient reaches every trainable parameter, or every input where there are no parameters."""
    unseen: set[str] | None = None
    for seed in range(SEEDS):
        leaves = _with_gradients(case, seed)
        bad = [n for n, p in leaves.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
        if bad:
            broken(f"the gradient of {bad[0]} is not finite")
        now = {n for n, p in leaves.items() if p.grad is None or not p.grad.any()}
        unseen = now if unseen is None else unseen & now
        if not unseen:
            return
    broken(f"no gradient reaches {', '.join(sorted(unseen or ())[:3])}")


def _with_gradients(case: Case, seed: int) -> dict[str, Tensor]:
    """What the gradient has to reach, by name, after a backward pass."""
    module = case.build(seed)
    inputs = changed(case.inputs(seed), lambda t: t.requires_grad_())
    parameters = dict(module.named_parameters())
    leaves: dict[str, Tensor] = {n: p for n, p in parameters.items() if p.requires_grad}
    if parameters and not leaves:
        broken("no parameter is trainable")
    if not parameters:
        leaves = {f"input {i}": t for i, t in enumerate(tensors(inputs))}
    loss = scalar(module(*inputs))
    if loss.requires_grad:
        torch.autograd.backward(loss)
    return leaves


def repeatable(case: Case) -> None:
    """In eval mode the same input gives the same output twice."""
    module = case.build()
    for first, second in zip(case.outputs(module), case.outputs(module), strict=True):
        if not torch.equal(first, second):
            broken("the same input gives two outputs in eval mode")


def batch_independence(case: Case) -> None:
    """In eval mode an image's output does not depend on what else is in the batch."""
    module = case.build()
    inputs = case.inputs(b=3)
    whole = case.outputs(module, inputs)
    alone = case.outputs(module, changed(inputs, lambda t: t[1:2]))
    if not close([t[1:2] for t in whole], alone):
        broken("an image's output depends on its batch in eval mode")


def state_dict(case: Case) -> None:
    """Another instance with the same state dict gives the same output."""
    first, second = case.build(0), case.build(1, fitted=False)
    second.load_state_dict(first.state_dict())
    for a, b in zip(case.outputs(first), case.outputs(second), strict=True):
        if not torch.equal(a, b):
            broken("the state dict lacks a part of the state that the output depends on")


def float64(case: Case) -> None:
    """As float64 it takes float64 and gives float64."""
    for tensor in case.outputs(case.build().double(), changed(case.inputs(), lambda t: t.double())):
        if tensor.dtype != torch.float64 or not torch.isfinite(tensor).all():
            broken(f"float64 comes out as {tensor.dtype}, or not finite")


def autocast(case: Case) -> None:
    """Under bf16 autocast it runs, forward and backward, with finite values."""
    module = case.build()
    with torch.autocast("cpu", torch.bfloat16):
        output = module(*changed(case.inputs(), lambda t: t.requires_grad_()))
        loss = scalar(output)
    if loss.requires_grad:  # whether it should is what `gradient` says
        torch.autograd.backward(loss)
    if not all(torch.isfinite(t).all() for t in tensors(output)):
        broken("the output is not finite under bf16 autocast")


def training(case: Case) -> None:
    """In train mode with a batch of two it runs, forward and backward, with finite gradients."""
    module = case.build().train()
    loss = scalar(module(*changed(case.inputs(b=2), lambda t: t.requires_grad_())))
    if loss.requires_grad:
        torch.autograd.backward(loss)
    if any(p.grad is not None and not torch.isfinite(p.grad).all() for p in module.parameters()):
        broken("a gradient is not finite in train mode")


def requires(case: Case) -> None:
    """A size outside a rule raises a ContractError that names the component, the axis and the rule."""
    own = case.component.own_name
    names = tuple(case.component.name.split("/"))  # a component of which there is one calls itself by its kind
    for axis, size in sizes.breaking(case.component):
        rule = case.component.row.requires[axis]
        told_axis = axis.rstrip("0123456789")  # a list of scales numbers its axes (c1, c2); the component says c
        wrong = Case(case.component, {**case.sizes, axis: size})
        fix = f'call `require("{own}", "{told_axis}", size, "{rule}")` in the component'
        try:
            wrong.build()(*wrong.inputs())
        except ContractError as error:
            told = str(error)
            if not told.startswith(names) or f"axis {told_axis}" not in told or rule not in told:
                broken(f"{axis} = {size} breaks '{rule}', and the error does not name component, axis and rule: {told}")
        except Exception as error:
            broken(f"{axis} = {size} breaks '{rule}' and raises {type(error).__name__}, no ContractError; {fix}")
        else:
            broken(f"{axis} = {size} breaks '{rule}' and is accepted anyway; {fix}")


def _pairs(output: Any, expected: list[TensorShape]) -> list[tuple[Tensor, TensorShape]]:
    found = tensors(output)
    if len(found) != len(expected):
        broken(f"{len(found)} tensors come out, the contract says {len(expected)}")
    return list(zip(found, expected, strict=True))


def _is_determined(component: Component) -> bool:
    return component.kind not in DRAWN_KINDS


def _has_batch(component: Component) -> bool:
    return _is_determined(component) and all(
        t and t[0].text == "b" for t in component.input_shapes() + component.output_shapes()
    )


def _has_features(component: Component) -> bool:
    return _is_determined(component) and any(len(t) == 4 for t in component.input_shapes())


def _maps_to_maps(component: Component) -> bool:
    return _has_features(component) and any(len(t) == 4 for t in component.output_shapes())


DETERMINED = "an output without random numbers"

# Their names stand in `dlkd.contract.LAWS` too, for the rows' `expected_failures:`, as rows know nothing of tests.
LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("shape", shape),
        Law("gradient", gradient, _is_determined, DETERMINED),
        Law("repeatable", repeatable, _is_determined, DETERMINED),
        Law("batch_independence", batch_independence, _has_batch, "inputs and outputs with a batch axis"),
        Law("state_dict", state_dict, _is_determined, DETERMINED),
        Law("float64", float64),
        Law("autocast", autocast),
        Law("training", training),
        Law("requires", requires, lambda c: bool(sizes.breaking(c)), "a rule in `requires:`", drawn=False),
        Law("channels_last", deployment.channels_last, _has_features, "a map (b, c, h, w) as input"),
        Law("contiguous", deployment.contiguous, _maps_to_maps, "maps (b, c, h, w) as input and output"),
        Law("pickle", deployment.pickled, _is_determined, DETERMINED),
        Law("compile", deployment.compiled, _is_determined, DETERMINED, drawn=False),
        Law("export", deployment.exported, _is_determined, DETERMINED, drawn=False),
        *DETECTOR_LAWS,
        *DRAWN_LAWS,
    )
}
