"""A component under test: its row, an instance at given sizes, and the inputs of its `forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlkd.check.tensors import tensors
from dlkd.contract import Shape, TensorShape, sizes
from dlkd.models.detector import Detector
from dlkd.registry import Registry, Row, example_value, merge
from dlkd.registry.components import get
from dlkd.registry.problems import nearest
from dlkd.registry.rows import words


@dataclass(frozen=True)
class Component:
    """One row of a registry, with what its contract needs.

    Attributes:
        registry: holds the row and builds the component.
        name: kind and name, "block/gfrb".
        node: its arguments, `check_with` included.
        row: the row.
        shape: the row's shape, parsed.
    """

    registry: Registry
    name: str
    node: dict[str, Any]
    row: Row
    shape: Shape

    @classmethod
    def of(cls, registry: Registry, name: str) -> Component:
        """The component of a row. Raises ValueError if there is no such row, or if the row has no shape."""
        if name not in registry.rows:
            raise ValueError(f"no row is called '{name}'{nearest(name, registry.rows)}")
        row = registry.rows[name]
        if row.shape is None:
            raise ValueError(f"{name}: its row has no `shape:`, so there is no contract to check")
        kind, bare = name.split("/")
        node = registry.complete(kind, merge(registry.complete(kind, bare), row.check_with))
        return cls(registry, name, node, row, Shape.parse(row.shape))

    @property
    def own_name(self) -> str:
        """The name without the kind: "gfrb", which a `ContractError` begins with."""
        return self.name.split("/")[1]

    @property
    def kind(self) -> str:
        """Of the component: "block"."""
        return self.name.split("/")[0]

    @property
    def made_by(self) -> Any:
        """The class, or function, that makes it."""
        return get(self.kind, self.own_name)

    def axes(self) -> list[str]:
        """Names of the axes whose sizes are free: those of the inputs, then those that `given:` names."""
        return list(dict.fromkeys([*self.shape.names(), *words(list(self.row.given.values()))]))

    def input_shapes(self) -> list[TensorShape]:
        """Shape of every input tensor, those of lists included."""
        return [t for a in self.shape.inputs for t in (a if isinstance(a, list) else [a])]

    def output_shapes(self) -> list[TensorShape]:
        """Shape of every output tensor."""
        return self.shape.output if isinstance(self.shape.output, list) else [self.shape.output]


@dataclass(frozen=True)
class Case:
    """A component at one set of axis sizes.

    Attributes:
        component: what is built.
        sizes: size of every axis of `component.axes()`.
    """

    component: Component
    sizes: dict[str, int]

    def build(self, seed: int = 0, *, fitted: bool = True) -> nn.Module:
        """A new instance in eval mode; parts without gradient are fitted to random inputs.

        Raises:
            ValueError: the component is no module.
        """
        torch.manual_seed(seed)
        row = self.component.row
        values = {k: example_value(v, row, self.sizes) for k, v in row.given.items()}
        module = self.component.registry.build(self.component.kind, self.component.node, **values)
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.component.name}: the contract is for modules, got a {type(module).__name__}")
        module.eval()
        fit: Any = getattr(module, "fit", None)
        if fitted and fit is not None:
            with torch.no_grad():
                fit([self.inputs(seed)[0]])
        return module

    def outputs(self, module: nn.Module, inputs: list[Any] | None = None) -> list[Tensor]:
        """Every output tensor for inputs, by default the case's; of a model its scores and maps too."""
        given = self.inputs() if inputs is None else inputs
        found = tensors(module(*given))
        if isinstance(module, Detector) and type(module).detect is not Detector.detect:
            found += [tensor for tensor in module.detect(*given) if tensor is not None]
        return found

    def inputs(self, seed: int = 0, **changed: int) -> list[Any]:
        """Arguments of `forward`: features (b, c, h, w) around 0, anomaly maps (b, h, w) in [0, 1].

        Args:
            seed: seed of the values.
            changed: axes that have another size than the case's.
        """
        generator = torch.Generator().manual_seed(seed)
        names = {**self.sizes, **changed}

        def tensor(shape: TensorShape) -> Tensor:
            draw = torch.rand if len(shape) == 3 else torch.randn
            return draw(sizes(shape, names), generator=generator)

        return [[tensor(t) for t in a] if isinstance(a, list) else tensor(a) for a in self.component.shape.inputs]
