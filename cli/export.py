"""`dlkd export`: a trained model as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out
from dlkd.cli.options import Imports, RegistryFiles, Threads


def export(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    to: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file: .onnx, .xml (OpenVINO) or .pt2 (torch).")
    ],
    format: Annotated[str, typer.Option("--format", help="onnx, openvino or torch.")] = "onnx",
    threshold: Annotated[
        float | None, typer.Option(help="Score above which a picture is anomalous; default the trial's.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="ONNX with convolutions of 8 bit; refused where image AUROC falls by 0.5 points."),
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Pictures (a file or folder) to compare the file with the model on; default the test images."
        ),
    ] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Write a trained model as one file that takes pictures of any size, if it gives the model's results."""
    from dlkd.export.asked import check_asked
    from dlkd.machine import expanded

    check_asked(expanded(to), format, threshold, int8)
    from dlkd.export.write import STEPS, export
    from dlkd.progress import progress_bar
    from dlkd.registry import read_registry
    from dlkd.training import load_model
    from dlkd.training.device import take_threads
    from dlkd.training.prediction.find_images import find_images

    registry = read_registry(registry_files, imports)
    if note := take_threads(threads):
        err.print(note)
    trained = load_model(trial, registry)
    given = None if pictures is None else find_images(pictures)
    session.if_interrupted("nothing is written; the same command starts from the beginning")
    with progress_bar(err) as bar:
        task = bar.add_task("", total=STEPS)
        done = export(
            trained, to, format=format, threshold=threshold, int8=int8, pictures=given,
            say=lambda step: bar.update(task, description=step, advance=1),
        )  # fmt: skip
    out.print(str(done))
