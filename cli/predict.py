"""`dlkd predict`: pictures from anywhere, scored by a trained model."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlkd.cli import session
from dlkd.cli.console import err, say_undrawn
from dlkd.cli.options import Imports, RegistryFiles, Threads

if TYPE_CHECKING:
    from dlkd.scoring.drawn import Drawn
    from dlkd.scoring.output import Output
    from dlkd.scoring.score import Predicted
    from dlkd.scoring.scorer import Scorer
    from dlkd.scoring.sources import Source

Maps = Literal["npy", "png16"]
Format = Literal["csv", "jsonl"]
FOUND_ANOMALIES = 1
"""The exit code of `--fail-on-anomaly`."""


def predict(
    model: Annotated[
        Path, typer.Argument(help="Folder of a trial or a saved model, hub:NAME, or a file of `dlkd export`.")
    ],
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pictures, folders (with their subfolders), videos, quoted patterns ('in/**/*.png'), camera:0 (or "
            "camera:/dev/video0, rtsp://...), or - for one path per line of standard input."
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(help="Score the pictures of this folder, and new ones as they appear, until Ctrl-C."),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder for scores.csv (an old one is replaced; --watch appends), overlays, masks and maps; or a file "
            "that ends in .csv or .jsonl; or - for rows on standard output.",
        ),
    ] = "predictions",
    form: Annotated[
        Format | None, typer.Option("--format", help="Rows as csv or as JSON lines; default by --out, else csv.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Image score above which an image counts as anomalous; default the model's.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images per batch; default the model's, and 1 for standard input and cameras."),
    ] = None,
    overlays: Annotated[
        bool | None,
        typer.Option(
            "--overlays/--no-overlays", help="Draw the maps over the images; default for files, not for frames."
        ),
    ] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Write where the map is above the threshold, as PNG at the image's size.")
    ] = False,
    maps: Annotated[
        Maps | None,
        typer.Option(help="Write the anomaly maps too: npy (float32), or png16 with the scale in a .json file."),
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            help="Cut large images into tiles of SIZE or HEIGHTxWIDTH pixels: the part of an image that the model was "
            "trained on; a trial on the dataset `tiles` has its own. The score is the largest of the tiles' scores, "
            "the map is blended."
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of a tile that its neighbour covers too.")
    ] = 0.25,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with code 1 where an image is anomalous.")
    ] = False,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score images: write a row per image at once, and an overlay of the anomaly map for each file.

    Exit codes:
    0: all images are scored.
    1: an image is anomalous, where --fail-on-anomaly asks for it.
    2: an error, or an image that cannot be read; the others are scored.
    """
    from dlkd.scoring.models import load_scorer
    from dlkd.scoring.output import output_of

    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"--threshold must be a number, got {threshold}")
    tile_size = None if tile is None else _tile(tile)
    output = output_of(to, form, append=watch is not None)
    found = _sources(pictures or [], watch, output)
    drawn = output.drawn(found, overlays, masks, maps)
    scorer, note = load_scorer(model, registry_files=registry_files or [], imports=imports or [], threads=threads)
    if note:
        err.print(note)
    origin = scorer.normal.origin if threshold is None else f"threshold {threshold:.4g}, as given"
    if (tile_size := tile_size or scorer.tile) is not None:
        scorer = _tiled(scorer, tile_size, overlap)
    done = _score(scorer, found, output, drawn, threshold, batch_size)
    _say(done, output, origin)
    if fail_on_anomaly and done.anomalous:
        raise typer.Exit(FOUND_ANOMALIES)


def _sources(pictures: Sequence[str], watch: Path | None, output: Output) -> list[Source]:
    """What is to be scored. Raises ValueError where that is nothing, or both of a folder to watch and others."""
    from dlkd.scoring.sources import sources
    from dlkd.scoring.watch import Watched

    if bool(pictures) == (watch is not None):
        raise ValueError("name the images to score (a path, a folder, a pattern, -), or one folder with --watch")
    if watch is None:
        return sources(pictures, getattr(sys.stdin, "buffer", io.BytesIO()), output.folder)
    watched = Watched(watch, output.folder)
    watched.check()
    return [watched]


def _tile(text: str) -> tuple[int, int]:
    """Height and width of `256` or `256x512`."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 1 for part in parts):
        raise ValueError(f"--tile takes a side in pixels or height x width, as in 256 or 256x512, got '{text}'")
    return int(parts[0]), int(parts[-1])


def _tiled(scorer: Scorer, size: tuple[int, int], overlap: float) -> Scorer:
    """The scorer by tiles; says where their proportions are not those of the training's images."""
    from dlkd.data.pictures.proportions import are_other
    from dlkd.scoring.tiles import Tiled

    if are_other(size[1] / size[0], scorer.normal.proportions):
        err.print(
            f"note: tiles of width per height {size[1] / size[0]:.2f} are squeezed: trained on "
            f"{scorer.normal.proportions:.2f}; scores may be off"
        )
    return Tiled(scorer, size, overlap)


def _score(
    scorer: Scorer,
    found: Sequence[Source],
    output: Output,
    drawn: Drawn,
    threshold: float | None,
    batch_size: int | None,
) -> Predicted:
    """Score all, with a bar in a terminal."""
    from dlkd.progress import progress_bar
    from dlkd.scoring.score import Scoring

    if output.rows is not None and output.rows.exists() and not output.append:
        err.print(f"note: {output} of an earlier prediction is replaced")
    session.if_interrupted(
        f"the images scored so far are in {output}; the same command starts from the beginning and replaces them"
    )
    with progress_bar(err) as bar, output.open() as rows:
        counts = [source.count() for source in found] if err.is_terminal else [None]
        task = bar.add_task("scoring", total=None if None in counts else sum(n for n in counts if n is not None))
        scoring = Scoring(
            scorer, rows, drawn, threshold=threshold, batch_size=batch_size, say=err.print,
            advance=lambda pictures: bar.advance(task, pictures),
        )  # fmt: skip
        return scoring.run(found)


def _say(done: Predicted, output: Output, origin: str) -> None:
    """What it came to. Raises ValueError where some images could not be read."""
    from dlkd.scoring.score import SAID

    err.print(f"{done.scored} images scored, {done.anomalous} of them anomalous: {output}")
    err.print(origin)
    if times := str(done.times):
        err.print(times)
    if done.squeezed > 1:
        err.print(f"note: {done.squeezed} images have other proportions than the training's and are squeezed")
    if done.undrawn > SAID:
        err.print(f"and {done.undrawn - SAID} more that are scored and not drawn")
    say_undrawn()
    if done.broken:
        raise ValueError(f"{done.broken} images could not be read or scored, named above; the others are scored")
