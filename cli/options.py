"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

RegistryFiles = Annotated[
    list[Path] | None,
    typer.Option("--registry", help="Your own registry file, read after dlkd's; repeatable."),
]
Imports = Annotated[
    list[Path] | None,
    typer.Option("--import", help="A Python file, or a package's folder, that registers its components; repeatable."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override an argument of the variant (decoder.global=none) or of the training (train.epochs=50).",
    ),
]
PresetName = Annotated[str, typer.Option("--preset", help="demo (CPU-sized) or paper (section 3.2).")]
DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="NAME or NAME:PATH, with ,KEY=VALUE for arguments; or the path of a folder in the MVTec layout.",
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", min=0, help="Stop after this number of training steps.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=0, help="Passes over the training images.")]
ImageSize = Annotated[
    str | None, typer.Option("--image-size", help="Side of the images in pixels, or height x width: 512x1024.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="CPU threads; default OMP_NUM_THREADS, else the number of free cores."
    ),
]
LoggerNames = Annotated[
    list[str] | None,
    typer.Option("--logger", help="csv, tensorboard, wandb or mlflow: losses and metrics go there too; repeatable."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Images per step.")]
