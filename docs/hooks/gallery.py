"""The gallery: a page per kind of component, from the registry, the docstrings and the pages with measurements."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docstrings
import flow
import torch
from torch import nn

from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.check.component import Case, Component
from dlkd.contract import Rule
from dlkd.registry import Node, Row, arguments, default_registry, example_value, get, name_key, weightless
from dlkd.registry.located_yaml import dump_yaml
from dlkd.registry.rows import MANY, words
from dlkd.registry.signatures import PLAIN_KINDS

DOCS = Path(__file__).parents[1]
SIZES = {"b": 1, "c": 64, "c1": 64, "c2": 128, "c3": 256, "h": 8, "w": 8, "n": 64}
"""Sizes of the axes in drawings and counts, or the next that a row's rules allow."""

MEASURED = {
    "block/frfn": ("where-the-time-goes", ["decoder: FRFN", "refiner: FRFN"]),
    "block/ss2d": ("where-the-time-goes", ["decoder: SS2D without the scan", "decoder: scan"]),
    "block/mffm": ("where-the-time-goes", ["MFFM"]),
    "model/dlkd": ("against-reversedistillation", ["training step", "inference"]),
    "model/stfpm": ("the-papers-other-systems", ["STFPM"]),
    "model/reverse_distillation": ("the-papers-other-systems", ["RD"]),
    "model/patchcore": ("the-papers-other-systems", ["PatchCore"]),
    "model/mb_pfm": ("the-papers-other-systems", ["MB-PFM"]),
    "model/noco": ("the-papers-other-systems", ["NoCo"]),
    "model/destseg": ("the-papers-other-systems", ["DeSTSeg"]),
    "model/vt_adl": ("the-papers-other-systems", ["VT-ADL"]),
    "model/draem": ("the-papers-other-systems", ["DRAEM, 64×64"]),
    "pseudo_anomaly/pasted_texture": ("the-papers-other-systems", ["DRAEM, 64×64"]),
    "scan/numba": ("selective-scan", ["numba, forward", "numba, training"]),
    "scan/torch": ("selective-scan", ["torch, forward", "torch, training"]),
}
"""Section of docs/performance.md with a component's time, and the rows of its table."""

KINDS = {
    "block": "Blocks take feature maps. Most keep the shape, so that they fit into any slot for a block.",
    "loss": "Losses take maps or features and give a number.",
    "model": "Models are detectors: images in, scores and anomaly maps out.",
    "decoder": "Decoders turn the fused map into maps of the teacher's scales.",
    "teacher": "Teachers are frozen networks whose features a student learns to give.",
    "noise": "Noise is added to the teacher's features: the pseudo-anomalies of the paper.",
    "pseudo_anomaly": "Pseudo-anomalies are drawn into normal images, with their masks.",
    "mask": "Masks say where a pseudo-anomaly is.",
    "texture_source": "Texture sources give the pictures that are pasted.",
    "augmentation": "Augmentations change a picture as a whole.",
    "norm": "Norms are passed to blocks as classes, by name alone.",
    "act": "Activations are passed to blocks as classes, by name alone.",
    "optimizer": "Optimisers are settings of a model.",
    "schedule": "Schedules change an optimiser's learning rate.",
    "coreset": "Coresets choose which vectors a memory bank keeps.",
    "dataset": "Datasets give paths and labels of images. `--dataset` names them.",
    "scan": "Backends compute the selective scan. `backend:` names them; `dlkd list scan` says what each runs on.",
}
"""Kinds in the order of the gallery, each with a sentence."""


def pages() -> dict[str, str]:
    """Text of each page by its place in docs/."""
    kinds = {kind: [key for key in default_registry().rows if key.startswith(f"{kind}/")] for kind in KINDS}
    told = "\n".join(f"- [{kind}]({kind}.md), {len(keys)}: {KINDS[kind]}" for kind, keys in kinds.items())
    made = {"gallery/index.md": f"{_INDEX}\n\n{told}\n"}
    for kind, keys in kinds.items():
        made[f"gallery/{kind}.md"] = f"# {kind}\n\n{KINDS[kind]}\n\n" + "\n".join(map(section, keys))
    return made


_INDEX = """# Components

Every component that a variant can name, by kind. These pages are made from `registry.yaml`, the docstrings and the
code whenever the site is built.

- **Contract**: shapes of inputs and output, and rules on their axes. `h/2` is half of h, rounded up. Tests check it.
- **Data flow**: recorded while the component runs once, at the sizes that the drawing shows, without the batch.
- **Arguments**: what a variant may set, with defaults.
- **Parameters**: at the width that is named.
- **Measured cost**: the rows of [the performance page](../performance.md) that measure this component.
- **Used by**: variants that have the component, and grids whose rows differ in it.
- **Worth**: pages with measurements of what it changes."""


def section(key: str) -> str:
    """One component's section."""
    kind, name = key.split("/")
    row, component = default_registry().row(kind, name), get(kind, name)
    parts = [f"## {name}", _told(component)]
    parts += _contract(row)
    parts += _picture(key, row)
    parts += _arguments(kind, name, component, row)
    parts += [*_parameters(key, row), _cost(key), *_users(key), _worth(key)]
    return "\n\n".join(parts) + "\n"


def _told(component: Any) -> str:
    if not component.__module__.startswith("dlkd."):
        return f"PyTorch's `{component.__name__}`."
    path = component.__module__.removeprefix("dlkd.").replace(".", "/")
    return f"{docstrings.summary(component)}\n\n`{component.__name__}` in `{path}.py`."


def _contract(row: Row) -> list[str]:
    if row.shape is None:
        return ["**Contract**: none of shapes."]
    rules = [f"`{axis}` {rule}" for axis, rule in row.requires.items()]
    cannot = [f"Not kept: law `{law}`, since {reason}." for law, reason in row.expected_failures.items()]
    return [
        " ".join([f"**Contract**: `{row.shape.strip()}`" + ("; " + ", ".join(rules) if rules else "") + ".", *cannot])
    ]


def sizes_of(row: Row, axes: list[str]) -> dict[str, int]:
    """A size for each axis: that of `SIZES`, or the next that the row's rule allows."""
    found = {}
    for axis in axes:
        rule = Rule(row.requires.get(axis, ">= 1"))
        found[axis] = next(size for size in range(SIZES.get(axis, 8), 10_000) if rule.holds(size))
    return found


def _picture(key: str, row: Row) -> list[str]:
    if row.shape is None:
        return []
    component = Component.of(default_registry(), key)
    case = Case(component, sizes_of(row, component.axes()))
    module = case.build()
    made = flow.recorded(module, case.inputs(), component.own_name)
    smaller = dump_yaml(row.check_with, default_flow_style=True, width=1000).strip()
    told = f"**Data flow**, with `{smaller}`:" if row.check_with else "**Data flow**:"
    return [told, flow.drawing(made, f"Data flow through {component.own_name}")]


def _arguments(kind: str, name: str, component: Any, row: Row) -> list[str]:
    known = {} if kind in PLAIN_KINDS else arguments(component, row)
    given = f"Given by what holds it: {', '.join(f'`{each}`' for each in row.given)}." if row.given else ""
    if not known:
        return [f"**Arguments**: none. {given}".strip()]
    node = _complete(kind, name) or {}
    told = docstrings.arguments(component)
    lines = ["| argument | default | takes | |", "| --- | --- | --- | --- |"]
    for argument, parameter in known.items():
        default = _default(node.get(argument, parameter.default))
        words_ = told.get(argument, told.get(f"{argument}_", "")).replace("|", "\\|")
        slot = row.slots.get(argument, "")
        takes = f"{slot.removesuffix(MANY)}, any number" if slot.endswith(MANY) else slot
        lines.append(f"| `{argument}` | {default} | {takes} | {words_} |")
    return [f"**Arguments**. {given}".strip(), "\n".join(lines)]


def _complete(kind: str, name: str) -> Node | None:
    """The component with its defaults; None where it needs an argument, such as a folder, or an extra."""
    try:
        return default_registry().complete(kind, name)
    except ValueError:
        return None


def _default(value: Any) -> str:
    if isinstance(value, dict):
        return f"`{value['name']}`" if "name" in value else "`{}`"
    if value is type(None) or value is None:
        return "`none`"
    if isinstance(value, type) or callable(value):
        return "" if "empty" in getattr(value, "__name__", "") else f"`{getattr(value, '__name__', value)}`"
    text = dump_yaml(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
    return f"`{text}`"


def _parameters(key: str, row: Row) -> list[str]:
    kind, name = key.split("/")
    registry = default_registry()
    made_by, node = get(kind, name), _complete(kind, name)
    if row.shape is None or node is None or not (isinstance(made_by, type) and issubclass(made_by, nn.Module)):
        return []
    axes = list(dict.fromkeys(words(list(row.given.values()))))
    sizes = sizes_of(row, axes)
    given = {argument: example_value(value, row, sizes) for argument, value in row.given.items()}
    with torch.device("meta"):
        module = registry.build(kind, weightless(node), **given)
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    at = f" at {', '.join(f'{axis} = {size}' for axis, size in sizes.items())}" if sizes else ""
    return [
        f"**Parameters**{at}: {f'{trained:,}' if trained else 'none trained'}"
        + (f", and {frozen:,} frozen" if frozen else "")
        + "."
    ]


def _cost(key: str) -> str:
    if key not in MEASURED:
        return "**Measured cost**: not measured by itself."
    anchor, rows = MEASURED[key]
    named = ", ".join(f"“{row}”" for row in rows)
    return f"**Measured cost**: {named} in [this table](../performance.md#{anchor})."


def _users(key: str) -> list[str]:
    if key.split("/")[0] in ("dataset", "scan"):
        return []
    variants = [name for name, held in _variants().items() if key in held]
    grids = [f"`{name}`" for name, varied in _grids().items() if key in varied]
    shown = ", ".join(f"`{name}`" for name in variants) or "no variant by default"
    return [f"**Used by**: {shown}." + (f" **Varied in** the grids {', '.join(grids)}." if grids else "")]


def _worth(key: str) -> str:
    found = []
    if f"| `{key}` |" in _page("transfer"):
        found.append("[as a part of other systems](../transfer.md#what-a-part-was-worth)")
    measured = [
        name
        for name, varied in _grids().items()
        if key in varied and re.search(rf"dlkd ablate [^`]*\b{name}\b", _page("results"))
    ]
    if measured:
        found.append(f"[results](../results.md) of the grids {', '.join(f'`{name}`' for name in measured)}")
    return f"**Worth**: {'; '.join(found) or 'not measured'}."


@functools.cache
def _page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@functools.cache
def _variants() -> Mapping[str, Mapping[str, list[Node]]]:
    registry = default_registry()
    return {name: _by_key(registry.resolve(name)) for name in registry.variants}


@functools.cache
def _grids() -> Mapping[str, set[str]]:
    """The components in which the rows of each grid that comes with dlkd differ."""
    registry = default_registry()
    found = {}
    for name in shipped_grids():
        rows = [_by_key(registry.resolve(row.variant, row.overrides)) for row in load_grid(name).rows]
        keys = {key for row in rows for key in row}
        found[name] = {key for key in keys if any(row.get(key) != rows[0].get(key) for row in rows)}
    return found


def _by_key(node: Node) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for key, own in held("model", node):
        found.setdefault(key, []).append(own)
    return found


def held(kind: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The components of a resolved node, each with its own arguments, those of inner ones aside."""
    registry = default_registry()
    row = registry.row(kind, node[name_key(kind)])
    yield f"{kind}/{node[name_key(kind)]}", {k: v for k, v in node.items() if k not in row.slots}
    for argument, slot in row.slots.items():
        value, inner = node.get(argument), slot.removesuffix(MANY)
        if isinstance(value, str):
            yield f"{inner}/{value}", {}
        elif isinstance(value, dict) and slot.endswith(MANY):
            for each in value.values():
                yield from held(inner, each)
        elif isinstance(value, dict):
            yield from held(inner, value)
