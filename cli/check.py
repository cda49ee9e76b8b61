"""`dlkd check` and `dlkd schema`: registry files of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli.console import out
from dlkd.cli.options import Imports, PresetName
from dlkd.cli.settings import read_preset, read_registry


def check(
    file: Annotated[Path, typer.Argument(help="A registry file: its rows, and every variant.")],
    preset: PresetName = "demo",
    imports: Imports = None,
    examples: Annotated[int, typer.Option(min=1, help="Shapes drawn for each component.")] = 10,
) -> None:
    """Run the shape contract of every component in a registry file, and build its variants."""
    from dlkd.check import check_row
    from dlkd.registry.located_yaml import read_yaml

    registry = read_registry([file], imports)
    chosen = read_preset(preset)
    own = read_yaml(file).data
    failures: list[str] = []
    for name in own.get("components") or {}:
        problems = check_row(registry, name, examples=examples)
        failures += [f"{name}: {p}" for p in problems]
        out.print(f"{'failed' if problems else 'ok'}: {name}", style="red" if problems else None)
    for name in own.get("variants") or {}:
        chosen.settle(registry, name)
        out.print(f"ok: variant {name}")
    if failures:
        raise ValueError("the contract is broken:\n" + "\n".join(failures))


def schema(
    to: Annotated[Path | None, typer.Option("--out", help="File; default standard output.")] = None,
) -> None:
    """The JSON schema of registry files, for editors to complete and check."""
    from dlkd.files import write_text
    from dlkd.registry.schema import registry_schema

    text = json.dumps(registry_schema(read_registry()), indent=2)
    if to is None:
        print(text)
    else:
        write_text(to, text + "\n")
