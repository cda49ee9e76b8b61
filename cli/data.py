"""`dlkd data inspect` and `dlkd data prepare`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out, say_undrawn
from dlkd.cli.options import ImageSize
from dlkd.files import file_name


def inspect(
    name: Annotated[str, typer.Argument(help="A dataset's name, or the path of a folder in the MVTec layout.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG of sample images; default runs/inspect/NAME.png.")] = None,
    image_size: ImageSize = None,
) -> None:
    """Report counts, sizes, modes, balance, masks and duplicates between train and test, and draw a sheet of images."""
    from dlkd.data import dataset_label
    from dlkd.data.inspect import inspect_dataset
    from dlkd.data.named import dataset_node
    from dlkd.data.pictures.sheet import picture_sheet
    from dlkd.progress import progress_bar
    from dlkd.registry import default_registry
    from dlkd.training.config import named_preset

    registry = default_registry()
    node = dataset_node(registry, name if root is None else f"{name}:{root}")
    dataset = registry.build("dataset", node)
    sides = named_preset("demo", image_size=image_size).train.sides
    path = sheet or Path("runs") / "inspect" / f"{file_name(dataset_label(node))}.png"
    if path.is_dir() or path.suffix.lower() != ".png":  # before the pictures are read, which takes minutes
        raise ValueError(f"--sheet {path}: name the PNG file to write, such as {path / 'sheet.png'}")
    session.if_interrupted(
        "an inspection keeps only its knowledge of the files; the same command starts from the beginning"
    )
    with progress_bar(err) as bar:
        task = bar.add_task(f"reading {name}", total=None)
        found = inspect_dataset(
            dataset, progress=lambda n, total: bar.update(task, completed=n, total=total), network=sides
        )
    out.print(str(found))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_sheet(dataset, path)
    err.print(f"picture sheet: {path}")
    say_undrawn()
    if not found.sound:
        raise ValueError(f"{name} has problems, listed above")


def prepare(
    name: Annotated[str, typer.Argument(help="textures or elpv.")],
    to: Annotated[Path, typer.Option("--out", help="Folder to write, in the MVTec layout.")],
) -> None:
    """Write an embedded dataset as a folder in the MVTec layout."""
    from dlkd.data.named import dataset_node
    from dlkd.data.prepare import write_folder
    from dlkd.registry import default_registry

    registry = default_registry()
    write_folder(registry.build("dataset", dataset_node(registry, name)), to)
    err.print(f"{name} written to {to}; train on it with --dataset {shlex.quote(str(to))}")
