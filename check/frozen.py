"""Frozen outputs of components, so that a change of numbers by a refactoring or a new PyTorch is noticed.

    python -m dlkd.check.frozen tests/contracts/frozen.safetensors

writes the outputs of dlkd's own rows and prints which of them changed. `tests/contracts/test_frozen.py` compares.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dlkd.check import sizes
from dlkd.check.component import Case, Component
from dlkd.check.tensors import tensors
from dlkd.registry import Registry, default_registry

TOLERANCE = 1e-4
"""Another processor rounds differently, by less than this for values of about 1."""


def outputs(registry: Registry, name: str) -> dict[str, Tensor]:
    """The outputs of a component at `sizes.typical`, with seed 0, in eval mode: "block/gfrb.0" is its first tensor."""
    component = Component.of(registry, name)
    case = Case(component, sizes.typical(component))
    with torch.no_grad():
        found = tensors(case.build()(*case.inputs()))
    return {f"{name}.{i}": tensor.contiguous() for i, tensor in enumerate(found)}


def moved(frozen: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    """Differences from the frozen outputs: tensors that are new, missing, of another shape, or differ by more than
    1e-4."""
    found = []
    for key in dict.fromkeys([*frozen, *now]):
        if key not in frozen:
            found.append(f"{key}: not frozen yet")
        elif key not in now:
            found.append(f"{key}: frozen, and not there any more")
        elif frozen[key].shape != now[key].shape:
            found.append(f"{key}: {tuple(frozen[key].shape)} became {tuple(now[key].shape)}")
        elif not torch.allclose(frozen[key], now[key], rtol=TOLERANCE, atol=TOLERANCE):
            furthest = (frozen[key] - now[key]).abs().max()
            found.append(f"{key}: moved by up to {furthest:.1e}, where {TOLERANCE:.0e} is rounding")
    return found


def main(file: Path) -> None:
    """Write the outputs of all of dlkd's components that have a shape, and print what moved."""
    registry = default_registry()
    torch.set_num_threads(1)
    now: dict[str, Tensor] = {}
    for name, row in registry.rows.items():
        if row.shape is not None:
            now |= outputs(registry, name)
    for line in moved(load_file(file) if file.exists() else {}, now):
        print(line)
    save_file(now, file)
    print(f"{len(now)} tensors in {file}, {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m dlkd.check.frozen FILE")
    main(Path(sys.argv[1]))
