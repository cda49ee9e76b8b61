"""`dlkd list` and `dlkd show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dlkd.cli.console import out
from dlkd.cli.options import ImageSize, Imports, Overrides, PresetName, RegistryFiles
from dlkd.text import text_table

if TYPE_CHECKING:
    from rich.table import Table


def list_command(
    kind: Annotated[str | None, typer.Argument(help="variants, grids, presets, or a kind of component.")] = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Show variants, components, grids and presets."""
    from dlkd.ablations.plan.shipped import shipped_grids
    from dlkd.registry import list_variants, read_registry
    from dlkd.registry.components import component_names
    from dlkd.registry.problems import nearest
    from dlkd.training import PRESETS

    registry = read_registry(registry_files, imports)
    named = {"variants": list_variants(registry=registry), "grids": shipped_grids(), "presets": list(PRESETS)}
    for name in component_names(registry.rows):
        k, _, bare = name.partition("/")
        named.setdefault(k, []).append(bare)
    if kind is not None and kind not in named:
        raise ValueError(f"unknown kind '{kind}'{nearest(kind, named)}")
    if kind == "scan":
        out.print(_scans())
        return
    if kind is not None:
        for name in named[kind]:
            out.print(name)
        return
    table = text_table("kind", "names")
    for k, names in named.items():
        table.add_row(k, ", ".join(names))
    out.print(table)


def _scans() -> Table:
    """The backends of the scan with what each runs on."""
    from dlkd.blocks.scan.backend import backends

    table = text_table("scan", "devices", "dtypes", "compiles", "exports", "missing here")
    table.columns[2].no_wrap = True
    for name, limits in backends().items():
        dtypes = ", ".join(str(dtype).removeprefix("torch.") for dtype in limits.dtypes)
        able = ("yes" if can else "no" for can in (limits.compiles, limits.exports))
        table.add_row(name, ", ".join(limits.devices) or "any", dtypes, *able, limits.missing() or "")
    return table


def show(
    variant: Annotated[str, typer.Argument(help="A variant of the registry.")],
    preset: PresetName = "demo",
    image_size: ImageSize = None,
    overrides: Overrides = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Show a variant with all its arguments, its parameters and FLOPs, and the shapes at each stage."""
    from dlkd.registry import read_registry, weightless
    from dlkd.registry.assignments import assignments
    from dlkd.registry.located_yaml import dump_yaml
    from dlkd.training.config import named_preset

    registry = read_registry(registry_files, imports)
    chosen = named_preset(preset, image_size=image_size)
    node, train = chosen.settle(registry, variant, assignments(overrides))
    from dlkd.models.describe import describe
    from dlkd.models.flops import image_flops  # loads Triton: a mistyped variant is told before

    sides = train.sides
    out.print(dump_yaml(node).rstrip())
    # Shapes need no trained weights, and a teacher's may be unavailable.
    blank = weightless(node)
    model = registry.build("model", blank)
    stages, parameters = describe(model, sides)
    table = text_table("stage", "shape (b, c, h, w)", title="\n{} x {} pixels".format(*sides))
    for stage, shape in stages:
        table.add_row(stage, shape)
    out.print(table)
    counts = text_table("part", "parameters", title="\nparameters")
    for part, count in parameters:
        counts.add_row(part, f"{count:,}")
    out.print(counts)
    try:
        out.print(f"\n{image_flops(model, sides) / 1e9:.3f} GFLOPs per image, frozen parts included")
    except ValueError as error:  # they depend on what the model keeps of its training images
        out.print(f"\nFLOPs are not known before training ({error})")
