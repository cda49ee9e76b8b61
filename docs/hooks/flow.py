"""How data flow through a component: recorded while it runs, and drawn as SVG from top to bottom."""

from __future__ import annotations

import copy
import html
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dlkd.check.tensors import changed, tensors

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 40, 14, 26, 10
MOST = 14
"""Steps that a drawing shows; a component with more is drawn as one box."""
FUNCTIONS: dict[Any, str] = {F.conv1d: "Conv1d", F.conv2d: "Conv2d", F.linear: "Linear", F.gelu: "GELU", F.silu: "SiLU"}
"""Steps that a component may take without a module of its own, as one that cuts its weights in two does."""


@dataclass
class Step:
    """A box of the drawing: an input, a module or one of `FUNCTIONS` that is called, or an output."""

    name: str
    shape: str
    before: frozenset[int] = frozenset()
    inner: bool = False


@dataclass
class Flow:
    """The boxes of a drawing, in the order in which they are reached."""

    steps: list[Step] = field(default_factory=list)

    def layers(self) -> list[int]:
        """The layer of each step: one below the lowest that it takes something from."""
        found: list[int] = []
        for step in self.steps:
            found.append(1 + max((found[i] for i in step.before), default=-1))
        return found


def recorded(module: nn.Module, inputs: list[Any], name: str) -> Flow:
    """The flow through a module's parts; through one box where its parts cannot be followed, or are too many."""
    # In float64, in which FRFN takes PyTorch's operators in place of its kernels, so that its steps are seen.
    module, inputs = copy.deepcopy(module).double(), changed(inputs, _double)
    for opened in (True, False):
        flow = _Recorder(module, opened).run(inputs)
        if flow is not None:
            return flow
    with torch.no_grad():
        outputs = tensors(module(*inputs))
    given = [step for step, _ in _given(module, inputs)]
    box = Step(name, "", frozenset(range(len(given))), inner=True)
    return Flow([*given, box, *(Step("output", shape_text(t), frozenset([len(given)])) for t in outputs)])


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def shape_text(tensor: Tensor) -> str:
    """The shape without the batch: "64 × 16 × 16"; "number" for a scalar."""
    return " × ".join(map(str, tensor.shape[1:])) or ("number" if tensor.dim() == 0 else "1")


def _given(module: nn.Module, inputs: list[Any]) -> Iterator[tuple[Step, list[Tensor]]]:
    """A box for each tensor that is given; where there are more than three, one for each argument."""
    names = list(inspect.signature(module.forward).parameters)
    apart = len(tensors(inputs)) <= 3
    for name, value in zip(names, inputs, strict=False):
        held = tensors(value)
        if isinstance(value, Tensor) or apart:
            yield from ((Step(name, shape_text(tensor)), [tensor]) for tensor in held)
        else:
            yield Step(name, ", ".join(map(shape_text, held))), held


class _Recorder(TorchFunctionMode):
    """Notes for each tensor the steps that it comes from.

    Args:
        module: runs once.
        opened: whether the members of an `nn.Sequential` are steps, or the whole of it is.
    """

    def __init__(self, module: nn.Module, opened: bool) -> None:
        super().__init__()
        self.module, self.opened = module, opened
        self.steps: list[Step] = []
        self.origin: dict[int, frozenset[int]] = {}
        self.alive: list[Tensor] = []  # a tensor that is gone may leave its id to another
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.depth:
            origins = self._origins((args, kwargs))
            if func in FUNCTIONS and origins:
                origins = self._step(_called(func, args, kwargs or {}), out, origins)
            self._mark(out, origins)
        return out

    def run(self, inputs: list[Any]) -> Flow | None:
        """The flow, or None if a step or an output has no known origin, or if there are too many or no steps."""
        for step, held in _given(self.module, inputs):
            self._mark(held, frozenset([len(self.steps)]))
            self.steps.append(step)
        first = len(self.steps)
        hooks = [hook for name, part in _parts(self.module, self.opened) for hook in self._hooks(name, part)]
        try:
            with torch.no_grad(), self:
                outputs = tensors(self.module(*inputs))
        finally:
            for hook in hooks:
                hook.remove()
        called = len(self.steps) - first
        self.steps += [Step("output", shape_text(t), self._origins(t)) for t in outputs]
        whole = all(step.before for step in self.steps[first:])
        return Flow(self.steps) if whole and 0 < called <= MOST else None

    def _hooks(self, name: str, part: nn.Module) -> Iterator[Any]:
        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            if not self.depth:
                self.entered = self._origins((args, kwargs))
            self.depth += 1

        def leave(module: nn.Module, _: Any, out: Any) -> None:
            self.depth -= 1
            if not self.depth:
                self._mark(out, self._step(_title(name, module), out, self.entered))

        yield part.register_forward_pre_hook(enter, with_kwargs=True)
        yield part.register_forward_hook(leave)

    def _step(self, name: str, out: Any, before: frozenset[int]) -> frozenset[int]:
        self.steps.append(Step(name, ", ".join(map(shape_text, tensors(out))), before, inner=True))
        return frozenset([len(self.steps) - 1])

    def _mark(self, out: Any, origins: frozenset[int]) -> None:
        for tensor in _inside(out):
            self.origin[id(tensor)] = origins
            self.alive.append(tensor)

    def _origins(self, value: Any) -> frozenset[int]:
        return frozenset().union(*(self.origin.get(id(t), frozenset()) for t in _inside(value)))


def _inside(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _inside(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _inside(each)


def _parts(module: nn.Module, opened: bool, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        path = f"{before}{name}"
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or (opened and type(child) is nn.Sequential):
            yield from _parts(child, opened, f"{path}.")
        else:
            yield path, child


def _title(name: str, module: nn.Module) -> str:
    kind = type(module).__name__.strip("_")
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return _convolution(kind, module.kernel_size, depthwise=module.groups == module.in_channels > 1)
    own = name.rpartition(".")[2].strip("_")
    if own.isdigit() or own.replace("_", "").lower() in kind.lower():
        return kind
    return f"{own}: {kind}"


def _called(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The title of one of `FUNCTIONS`."""
    if func is not F.conv2d:
        return FUNCTIONS[func]
    weight: Tensor = args[1] if len(args) > 1 else kwargs["weight"]
    groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
    return _convolution(FUNCTIONS[func], weight.shape[2:], depthwise=groups == weight.shape[0] > 1)


def _convolution(kind: str, sides: Sequence[int], *, depthwise: bool) -> str:
    return f"{'×'.join(map(str, sides))} {'depthwise ' if depthwise else ''}{kind}"


def drawing(flow: Flow, title: str) -> str:
    """The flow as SVG, with the colours of the page; `title` is what a screen reader says."""
    layers = flow.layers()
    last = max(layers)
    layers = [layer if step.inner or not step.before else last for step, layer in zip(flow.steps, layers, strict=True)]
    rows = [[i for i, layer in enumerate(layers) if layer == row] for row in range(last + 1)]
    width = max(len(row) for row in rows) * (WIDTH + GAP_X) - GAP_X
    places = {
        i: ((width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2 + k * (WIDTH + GAP_X), r * (HEIGHT + GAP_Y))
        for r, row in enumerate(rows)
        for k, i in enumerate(row)
    }
    bows = [(a, b) for b, step in enumerate(flow.steps) for a in sorted(step.before) if layers[b] - layers[a] > 1]
    lines = [
        _arrow(places[a], places[b], width + 8 * (1 + bows.index((a, b))) if (a, b) in bows else None)
        for b, step in enumerate(flow.steps)
        for a in sorted(step.before)
    ]
    full = width + 2 * MARGIN + 8 * (len(bows) + 1) * bool(bows)
    height = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    body = "".join([*lines, *(_box(step, *places[i]) for i, step in enumerate(flow.steps))])
    return (
        f'<div class="flow"><svg xmlns="http://www.w3.org/2000/svg" role="img" width="{full:g}" height="{height:g}" '
        f'viewBox="{-MARGIN} {-MARGIN} {full:g} {height:g}"><title>{html.escape(title)}</title>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs>{body}</svg></div>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], side: float | None) -> str:
    x0, y0, x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    if side is None:
        way = f"M{x0:g} {y0:g} C{x0:g} {y0 + GAP_Y / 2:g} {x1:g} {y1 - GAP_Y / 2:g} {x1:g} {y1:g}"
    else:  # around the boxes between the two
        down, up = y0 + GAP_Y / 3, y1 - GAP_Y / 3
        way = f"M{x0:g} {y0:g} V{down:g} H{side:g} V{up:g} H{x1:g} V{y1:g}"
    return f'<path d="{way}" marker-end="url(#tip)"/>'


def _box(step: Step, x: float, y: float) -> str:
    middle = x + WIDTH / 2
    kind = ' class="component"' if step.inner else ""
    name = step.name if len(step.name) <= 24 else f"{step.name[:23]}…"
    lines = [(name, ""), *([(_short(step.shape), ' class="shape"')] if step.shape else [])]
    texts = "".join(
        f'<text x="{middle:g}" y="{y + (24 if len(lines) == 1 else 17 + 15 * i):g}"{style}>{html.escape(text)}</text>'
        for i, (text, style) in enumerate(lines)
    )
    return f'<rect{kind} x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>{texts}'


def _short(shape: str) -> str:
    return shape if len(shape) <= 26 else f"{shape.split(',')[0]}, …"
