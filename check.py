"""The contract of a component, tested: what `dlkd check` runs on yours and the test suite on ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlkd.contract import Argument, ContractError, Rule, Shape, TensorShape, matches, sizes
from dlkd.registry import Registry, Row, example_value, merge

CANDIDATES = range(1, 200)
"""Axis sizes that are tried; a rule's first few valid ones are drawn from."""

SEEDS = 24
"""Initialisations among which every parameter must see a gradient: one alone may start with dead ReLUs."""


class BrokenContract(AssertionError):  # noqa: N818  # reads as the verdict that it is
    """A law that a component breaks, with the sizes at which it does."""


@dataclass(frozen=True)
class Case:
    """One component at one set of axis sizes.

    Attributes:
        registry: builds it.
        name: "block/gfrb".
        node: its completed node, `check_with` included.
        names: size of every axis.
    """

    registry: Registry
    name: str
    node: dict[str, Any]
    names: dict[str, int]

    @property
    def row(self) -> Row:
        """The component's row."""
        return self.registry.rows[self.name]

    @property
    def shape(self) -> Shape:
        """The contract's shape."""
        if self.row.shape is None:
            raise ValueError(f"{self.name}: its row has no shape, so there is no contract to check")
        return Shape.parse(self.row.shape)

    def build(self, seed: int = 0, *, fitted: bool = True) -> nn.Module:
        """A fresh instance in eval mode; what it fits without gradient is fitted to random inputs."""
        torch.manual_seed(seed)
        values = {k: example_value(v, self.row, self.names) for k, v in self.row.given.items()}
        component = self.registry.build(self.name.split("/")[0], self.node, **values)
        if not isinstance(component, nn.Module):
            raise ValueError(f"{self.name}: the contract is for modules, got a {type(component).__name__}")
        component.eval()
        fit: Any = getattr(component, "fit", None)
        if fitted and fit is not None:
            with torch.no_grad():
                fit([self.inputs(seed)[0]])
        return component

    def inputs(self, seed: int = 0, **changed: int) -> list[Any]:
        """Arguments of `forward`: features around 0, anomaly maps in [0, 1]."""
        generator = torch.Generator().manual_seed(seed)
        names = {**self.names, **changed}

        def tensor(shape: TensorShape) -> Tensor:
            draw = torch.rand if len(shape) == 3 else torch.randn
            return draw(sizes(shape, names), generator=generator)

        return [[tensor(t) for t in a] if isinstance(a, list) else tensor(a) for a in self.shape.inputs]


def law_shape(case: Case) -> None:
    """The output has the announced shape, the input's dtype, and finite values."""
    names = dict(case.names)
    output = case.build()(*case.inputs())
    for tensor, shape in _pairs(output, case.shape.output):
        if not matches(shape, tensor.shape, names):
            _fail(f"the output is {tuple(tensor.shape)}, the contract says {case.shape.text}")
        if tensor.dtype != torch.float32:
            _fail(f"float32 comes out as {tensor.dtype}")
        if not torch.isfinite(tensor).all():
            _fail("the output is not finite")


def law_gradient(case: Case) -> None:
    """A gradient reaches every trainable parameter, or every input where there are none; all are finite."""
    unseen: set[str] | None = None
    for seed in range(SEEDS):
        module = case.build(seed)
        inputs = _map(case.inputs(seed), lambda t: t.requires_grad_())
        loss = _scalar(module(*inputs))
        if not loss.requires_grad and any(True for _ in module.parameters()):
            return  # frozen on purpose, as a teacher is
        torch.autograd.backward(loss)
        leaves: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if p.requires_grad}
        if not leaves and not any(True for _ in module.parameters()):
            leaves = {f"input {i}": t for i, t in enumerate(_tensors(inputs))}
        bad = [n for n, p in leaves.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
        if bad:
            _fail(f"the gradient of {bad[0]} is not finite")
        now = {n for n, p in leaves.items() if p.grad is None or not p.grad.any()}
        unseen = now if unseen is None else unseen & now
        if not unseen:
            return
    _fail(f"no gradient reaches {', '.join(sorted(unseen or ())[:3])}")


def law_repeatable(case: Case) -> None:
    """In eval mode the same input gives the same output twice."""
    module = case.build()
    for first, second in zip(_tensors(module(*case.inputs())), _tensors(module(*case.inputs())), strict=True):
        if not torch.equal(first, second):
            _fail("the same input gives two outputs in eval mode")


def law_batch_independence(case: Case) -> None:
    """In eval mode an image's output does not depend on what else is in the batch."""
    outputs = _shapes(case.shape.output)
    if not all(shape and shape[0].text == "b" for shape in outputs):
        return  # a scalar, as losses give
    module = case.build()
    inputs = case.inputs(b=3)
    whole = _tensors(module(*inputs))
    alone = _tensors(module(*_map(inputs, lambda t: t[1:2])))
    for together, single in zip(whole, alone, strict=True):
        if not torch.allclose(together[1:2], single, rtol=1e-3, atol=1e-4):
            _fail("an image's output depends on its batch in eval mode")


def law_state_dict(case: Case) -> None:
    """Another instance with the same state dict gives the same output."""
    first, second = case.build(0), case.build(1, fitted=False)
    second.load_state_dict(first.state_dict())
    for a, b in zip(_tensors(first(*case.inputs())), _tensors(second(*case.inputs())), strict=True):
        if not torch.equal(a, b):
            _fail("the state dict does not carry all that decides the output")


def law_float64(case: Case) -> None:
    """As float64 it takes float64 and gives float64."""
    output = case.build().double()(*_map(case.inputs(), lambda t: t.double()))
    for tensor in _tensors(output):
        if tensor.dtype != torch.float64 or not torch.isfinite(tensor).all():
            _fail(f"float64 comes out as {tensor.dtype}, or not finite")


def law_autocast(case: Case) -> None:
    """Under bf16 autocast it runs, forward and backward, with finite values."""
    module = case.build()
    with torch.autocast("cpu", torch.bfloat16):
        output = module(*_map(case.inputs(), lambda t: t.requires_grad_()))
        loss = _scalar(output)
    if loss.requires_grad:
        torch.autograd.backward(loss)
    if not all(torch.isfinite(t).all() for t in _tensors(output)):
        _fail("the output is not finite under bf16 autocast")


def law_training(case: Case) -> None:
    """In train mode with a batch of two it runs, forward and backward, with finite gradients."""
    module = case.build().train()
    loss = _scalar(module(*_map(case.inputs(b=2), lambda t: t.requires_grad_())))
    if loss.requires_grad:
        torch.autograd.backward(loss)
    if any(p.grad is not None and not torch.isfinite(p.grad).all() for p in module.parameters()):
        _fail("a gradient is not finite in train mode")


def law_requires(case: Case) -> None:
    """An axis outside its rule raises a ContractError that names the component, the axis and the rule."""
    own = tuple(case.name.split("/"))
    for axis, rule in case.row.requires.items():
        bad = next((v for v in CANDIDATES if not Rule(rule).holds(v)), None)
        if bad is None:
            continue
        broken = Case(case.registry, case.name, case.node, {**case.names, axis: bad})
        try:
            broken.build()(*broken.inputs())
        except ContractError as error:
            # A list of scales numbers its axes (c1, c2, ...); the component calls each of them c.
            told = str(error)
            if not told.startswith(own) or f"axis {axis.rstrip('0123456789')}" not in told or rule not in told:
                _fail(
                    f"{axis} = {bad} breaks '{rule}', and the error names not all of component, axis and rule: {told}"
                )
        else:
            _fail(f"{axis} = {bad} breaks '{rule}' and is taken all the same")


LAWS: dict[str, Callable[[Case], None]] = {
    "shape": law_shape,
    "gradient": law_gradient,
    "repeatable": law_repeatable,
    "batch_independence": law_batch_independence,
    "state_dict": law_state_dict,
    "float64": law_float64,
    "autocast": law_autocast,
    "training": law_training,
    "requires": law_requires,
}


def check_law(registry: Registry, name: str, law: str, *, examples: int = 10) -> None:
    """Test one law of one component at drawn sizes.

    Args:
        registry: holds the component's row.
        name: "block/gfrb".
        law: a key of `LAWS`.
        examples: how many sets of sizes are drawn; always the same ones.

    Raises:
        BrokenContract: the law is broken; names the smallest sizes found at which it is.
    """
    row = registry.rows[name]
    kind, bare = name.split("/")
    node = registry.complete(kind, merge(registry.complete(kind, bare), row.check_with))
    shape = Case(registry, name, node, {}).shape
    last: dict[str, int] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(_draw_names(shape, row))
    def test(names: dict[str, int]) -> None:
        last.clear()
        last.update(names)
        LAWS[law](Case(registry, name, node, names))

    try:
        test()
    except Exception as error:
        at = ", ".join(f"{k} = {v}" for k, v in last.items())
        told = str(error) if isinstance(error, BrokenContract) else f"{type(error).__name__}: {error}"
        raise BrokenContract(f"{law.replace('_', ' ')}: {told} (at {at})") from error


def check_row(registry: Registry, name: str, *, examples: int = 10) -> list[str]:
    """Every law of one component; what is broken, in words."""
    problems = []
    for law in LAWS:
        try:
            check_law(registry, name, law, examples=examples)
        except BrokenContract as error:
            problems.append(str(error))
    return problems


def _draw_names(shape: Shape, row: Row) -> st.SearchStrategy[dict[str, int]]:
    given_names = [n for v in row.given.values() for n in _strings(v)]
    names = list(dict.fromkeys(shape.names() + given_names))

    def values(axis: str) -> list[int]:
        rule = Rule(row.requires.get(axis, ">= 1"))
        return [v for v in CANDIDATES if rule.holds(v)][: 3 if axis == "b" else 8]

    return st.fixed_dictionaries({axis: st.sampled_from(values(axis)) for axis in names})


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [t for v in value for t in _tensors(v)]


def _map(inputs: list[Any], change: Callable[[Tensor], Tensor]) -> list[Any]:
    return [_map(i, change) if isinstance(i, list) else change(i) for i in inputs]


def _shapes(output: Argument) -> list[TensorShape]:
    return output if isinstance(output, list) else [output]


def _pairs(output: Any, expected: Argument) -> list[tuple[Tensor, TensorShape]]:
    tensors, shapes = _tensors(output), _shapes(expected)
    if len(tensors) != len(shapes):
        _fail(f"{len(tensors)} tensors come out, the contract says {len(shapes)}")
    return list(zip(tensors, shapes, strict=True))


def _scalar(output: Any) -> Tensor:
    """A weighted sum with random weights: a plain sum has no gradient behind a normalisation."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack(
        [(t * torch.randn(t.shape, generator=generator).to(t.dtype)).sum() for t in _tensors(output)]
    ).sum()


def _fail(message: str) -> None:
    raise BrokenContract(message)
