"""`dlkd app`: a page in the browser."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out
from dlkd.cli.options import Imports, RegistryFiles, Threads

if TYPE_CHECKING:
    from dlkd.app.choices import Place
    from dlkd.app.scored import Scored
    from dlkd.registry import Registry
    from dlkd.scoring.scorer import Scorer

Load: TypeAlias = "Callable[[Path], tuple[Scorer, str]]"
EVERYWHERE = ("0.0.0.0", "::")


def app(
    given: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL|RUN ...",
            help="Folders of trials or saved models, hub:NAME, files of `dlkd export`; and folders of `dlkd ablate`.",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Test images for the models: NAME or NAME:PATH; default those of their trials.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="The category of these test images.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 7860,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Show maps of several models side by side in the browser: drop a picture, move the thresholds, read the report.

    A run's rows, categories and seeds can be chosen on the page, with its report beside them. Everything stays on this
    machine. Ctrl-C ends it.
    """
    from dlkd.app.server import address, check_gradio, listen, serve
    from dlkd.files import scratch_folder
    from dlkd.machine import temporary_folder

    check_gradio()
    from dlkd.registry import read_registry
    from dlkd.scoring.models import load_scorer

    with listen(host, port) as listening, scratch_folder("dlkd-app-", temporary_folder()) as dropped:
        registry = read_registry(registry_files, imports)
        load = partial(load_scorer, registry_files=registry_files or [], imports=imports or [], threads=threads)
        scored = _scored(given, dataset, category, registry, load)
        if host in EVERYWHERE:
            err.print("note: whoever reaches this machine sees the page, its test images and its reports")
        session.if_interrupted("the page keeps nothing")
        os.environ["GRADIO_TEMP_DIR"] = str(dropped)

        def ready() -> None:
            out.print(address(listening))
            err.print("Ctrl-C ends it")
            if browser:
                webbrowser.open(address(listening))

        serve(scored, listening, ready)


def _scored(given: Sequence[Path], dataset: str | None, category: str | None, registry: Registry, load: Load) -> Scored:
    """What the page shows; says what is left out."""
    from dlkd.app.choices import is_run, offer
    from dlkd.app.scored import Scored

    paths = dict.fromkeys(given)
    data = _test_images(registry, dataset, category)
    loaded = {path: load(path) for path in paths if not is_run(path)}
    models = {path: scorer for path, (scorer, _) in loaded.items()}
    offered = offer(models, [path for path in paths if is_run(path)], next(iter(data), None))
    for note in dict.fromkeys([*(note for _, note in loaded.values()), *offered.notes]):
        if note:
            err.print(f"note: {note}")
    return Scored(offered, models, registry, data, lambda path: load(path)[0])


def _test_images(registry: Registry, dataset: str | None, category: str | None) -> dict[Place, Mapping[str, Any]]:
    """The dataset node of the category that all models are to be compared on; empty without one."""
    from dlkd.app.choices import Place
    from dlkd.data import dataset_label
    from dlkd.data.named import category_of, dataset_node

    if dataset is None:
        if category is not None:
            raise ValueError("--category is a category of --dataset: give both")
        return {}
    node = dataset_node(registry, dataset)
    return {Place(dataset_label(node), category_of(registry, node, category)): node}
