"""The gallery: a page per kind of component, from the registry, the docstrings and the pages with measurements."""

from __future__ import annotations

from typing import Any

import docstrings
import flow
import torch
import users
from torch import nn

from dlkd.registry import Node, Row, arguments, default_registry, example_value, get, weightless
from dlkd.registry.located_yaml import dump_yaml
from dlkd.registry.rows import MANY, words
from dlkd.registry.signatures import PLAIN_KINDS

MEASURED = {
    "block/frfn": ("roofline", ["decoder: FRFN, forward", "decoder: FRFN, backward"]),
    "block/ss2d": ("roofline", ["decoder: SS2D without the scan, forward", "decoder: scan, forward"]),
    "block/mffm": ("roofline", ["MFFM, forward", "MFFM, backward"]),
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
    "block": ("Blocks", "Blocks take feature maps. Most keep the shape, so that they fit into any slot for a block."),
    "loss": ("Losses", "Losses take maps or features and give a number."),
    "model": ("Models", "Models are detectors: images in, scores and anomaly maps out."),
    "decoder": ("Decoders", "Decoders turn the fused map into maps of the teacher's scales."),
    "teacher": ("Teachers", "Teachers are frozen networks whose features a student learns to give."),
    "noise": ("Noise", "Noise is added to the teacher's features: the pseudo-anomalies of the paper."),
    "pseudo_anomaly": ("Pseudo-anomalies", "Pseudo-anomalies are drawn into normal images, with their masks."),
    "mask": ("Masks", "Masks say where a pseudo-anomaly is."),
    "texture_source": ("Texture sources", "Texture sources give the pictures that are pasted."),
    "augmentation": ("Augmentations", "Augmentations change a picture as a whole."),
    "norm": ("Norms", "Norms are passed to blocks as classes, by name alone."),
    "act": ("Activations", "Activations are passed to blocks as classes, by name alone."),
    "optimizer": ("Optimisers", "Optimisers are settings of a model."),
    "schedule": ("Schedules", "Schedules change an optimiser's learning rate."),
    "coreset": ("Coresets", "Coresets choose which vectors a memory bank keeps."),
    "dataset": ("Datasets", "Datasets give paths and labels of images. `--dataset` names them."),
    "scan": (
        "Scan backends",
        "Backends compute the selective scan. `backend:` names them; `dlkd list scan` says what each runs on.",
    ),
}
"""Kinds in the order of the gallery, each with a title and a sentence."""


def pages() -> dict[str, str]:
    """Text of each page by its place in docs/."""
    kinds = {kind: [key for key in default_registry().rows if key.startswith(f"{kind}/")] for kind in KINDS}
    told = "\n".join(f"- [{title}]({kind}.md), {len(kinds[kind])}: {said}" for kind, (title, said) in KINDS.items())
    made = {"gallery/index.md": f"{_INDEX}\n\n{told}\n"}
    for kind, (title, said) in KINDS.items():
        made[f"gallery/{kind}.md"] = f"# {title}\n\n{said}\n\n" + "\n".join(map(section, kinds[kind]))
    return made


_INDEX = """# Components

Every component that a variant can name, by kind. These pages are made from `registry.yaml`, the docstrings and the
code whenever the site is built.

## What is said of a component
- **Contract**: shapes of inputs and output, and rules on their axes. `h/2` is half of h, rounded up. Tests check it.
- **Data flow**: recorded while the component runs once, at the sizes that the drawing shows, without the batch. After
  “with” are arguments that make it small enough for a drawing.
- **Arguments**: what a variant may set, with defaults; in brackets the kind of component that an argument takes.
- **Parameters**: at the width that is named.
- **Measured cost**: the rows of [the performance page](../performance.md) that measure this component.
- **Used by**: variants that have the component, components that it is a fixed or a default part of, and grids whose
  rows differ in it.
- **Worth**: pages with measurements of what it changes.

## Kinds of components"""


def section(key: str) -> str:
    """One component's section."""
    kind, name = key.split("/")
    row, component = default_registry().row(kind, name), get(kind, name)
    parts = [f"## {name}", _told(component)]
    parts += _contract(row)
    parts += _picture(key, row)
    parts += _arguments(kind, name, component, row)
    parts += [*_parameters(key, row), _cost(key), *users.used_by(key), users.worth(key)]
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


def _picture(key: str, row: Row) -> list[str]:
    case, module = users.case_of(key), users.built(key)
    if case is None or module is None:
        return []
    made = flow.recorded(module, case.inputs(), case.component.own_name)
    smaller = dump_yaml(row.check_with, default_flow_style=True, width=1000).strip()
    told = f"**Data flow**, with `{smaller}`:" if row.check_with else "**Data flow**:"
    return [told, flow.drawing(made, f"Data flow through {case.component.own_name}")]


def _arguments(kind: str, name: str, component: Any, row: Row) -> list[str]:
    known = {} if kind in (*PLAIN_KINDS, "scan") else arguments(component, row)  # a scan is called by SS2D alone
    given = f"Given by what holds it: {', '.join(f'`{each}`' for each in row.given)}." if row.given else ""
    if not known:
        return [f"**Arguments**: none. {given}".strip()]
    node = _complete(kind, name) or {}
    told = docstrings.arguments(component)
    lines = ["| argument | default | meaning |", "| --- | --- | --- |"]
    for argument, parameter in known.items():
        default = _default(node.get(argument, parameter.default))
        words_ = told.get(argument, told.get(f"{argument}_", "")).replace("|", "\\|")
        slot = row.slots.get(argument, "")
        takes = f" ({slot.removesuffix(MANY)}{', any number' if slot.endswith(MANY) else ''})" if slot else ""
        lines.append(f"| `{argument}` | {default}{takes} | {words_} |")
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
    sizes = users.sizes_of(row, axes)
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
