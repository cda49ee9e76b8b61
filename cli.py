"""The command line `dlkd`: compose, train, look, ablate."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlkd.files import file_name
from dlkd.machine import MachineError, check_system, choose_threads, cores, crowded, expanded, out_of_memory
from dlkd.text import Terminal, text_table

# torch, Lightning and Ray take seconds to import; each command imports what it needs, so that --help is quick.
if TYPE_CHECKING:
    from rich.progress import Progress

    from dlkd.ablations.plan.cells import Cell
    from dlkd.ablations.plan.grid import Grid
    from dlkd.ablations.run.pool import Pool
    from dlkd.ablations.search.definition import SearchFile
    from dlkd.ablations.search.study import Study
    from dlkd.registry import Registry
    from dlkd.registry.located_yaml import LocatedYaml
    from dlkd.training import Preset

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Compose, train and ablate visual anomaly detectors; find out which part earns its keep.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at datasets, and write the embedded ones.")
app.add_typer(data_app, name="data")

out = Terminal()
err = Terminal(stderr=True)

Keep = Literal["weights", "results"]
Maps = Literal["npy", "png16"]

INTERRUPTED = 130

_lost = ["nothing was begun"]
"""What Ctrl-C costs, and how to go on; the last one holds."""
_begun = [0.0]
"""When the command began; the last one holds."""
USER_ERROR = 2
LESS_MEMORY = "a smaller --image-size or --batch-size takes less, and so do fewer --workers"

RegistryFiles = Annotated[
    list[Path] | None,
    typer.Option("--registry", help="A registry file of your own, after dlkd's; repeatable."),
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
        help="Override a part of the variant, decoder.global=none, or of the training, train.epochs=50.",
    ),
]
PresetName = Annotated[str, typer.Option("--preset", help="demo (CPU-sized) or paper (section 3.2).")]
DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset", help="A dataset's name, NAME:PATH, either with ,KEY=VALUE, or the path of an MVTec-layout folder."
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", min=0, help="Stop after so many training steps.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=0, help="Passes over the training images.")]
ImageSize = Annotated[
    str | None, typer.Option("--image-size", help="Side of the images in pixels, or height x width: 512x1024.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; default OMP_NUM_THREADS, else the cores that are free."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Images a step.")]


def main() -> None:
    """Entry point: whatever a user can cause ends in one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its code
            stream.reconfigure(errors="backslashreplace")
    _begun.append(perf_counter())
    with _errors():
        check_system()
        app()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except SystemExit as stop:  # Typer makes one of Ctrl-C
        if stop.code == INTERRUPTED:
            err.print(f"interrupted: {_lost[-1]}")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if out_of_memory(error):
            err.print(f"error: out of memory ({_first_line(error)}): {LESS_MEMORY}", soft_wrap=True, style="red")
            sys.exit(USER_ERROR)
        if not _is_users(error):
            raise
        err.print(f"error: {error}", soft_wrap=True, style="red")
        sys.exit(USER_ERROR)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).splitlines()[:1]) or type(error).__name__


def _is_users(error: Exception) -> bool:
    """Whether the message is made for the user: our own errors, and the system's on files."""
    if isinstance(error, OSError | MachineError):
        return True
    from dlkd.training.checkpoint import CheckpointError
    from dlkd.training.module import NonFiniteLossError

    ours = (ValueError, CheckpointError, NonFiniteLossError)
    return isinstance(error, ours) and _raised_by_dlkd(error)


def _raised_by_dlkd(error: Exception) -> bool:
    """Whether our own code raised it; a ValueError from the depths of a library is a bug and shows its traceback."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == "dlkd"


@app.command()
def train(
    variant: Annotated[str, typer.Argument(help="A variant of the registry; `dlkd list` shows them.")],
    dataset: DatasetName = "textures",
    category: Annotated[str | None, typer.Option(help="Category; may be left out where there is one only.")] = None,
    preset: PresetName = "demo",
    steps: Steps = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that read images.")] = None,
    threads: Threads = None,
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    seed: Annotated[int, typer.Option(help="Base seed.")] = 0,
    to: Annotated[Path | None, typer.Option("--out", help="Trial folder; default runs/train/...")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the folder's trial stopped, for more steps too.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="TRIAL", help="Start from the weights of another trial's folder.")
    ] = None,
    overrides: Overrides = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train a variant on one category and score it."""
    from dlkd.data import dataset_label
    from dlkd.training import TrialSpec, run_trial
    from dlkd.training.checkpoint import WEIGHTS
    from dlkd.training.predict import squeezed
    from dlkd.training.trial import weights_digest

    registry = _registry(registry_files, imports)
    given = _assignments(overrides)
    training = given.pop("train", {})
    if not isinstance(training, dict):
        raise ValueError(f"--set train: name one of its arguments, as in train.epochs=50, got {training!r}")
    chosen = _preset(preset, steps, epochs, image_size, batch_size, workers, precision, base=training, place="--set")
    model, settled = chosen.settle(registry, variant, given)
    node = _dataset_node(registry, dataset)
    name = _category(registry, node, category)
    spec = TrialSpec(
        variant=variant,
        model=model,
        dataset=node,
        category=name,
        train=settled,
        seed=seed,
        start="" if start is None else weights_digest(start / WEIGHTS),
    )
    _verify(registry, [(node, name)])
    _take_threads(threads)
    label = dataset_label(node)
    folder = to or Path("runs") / "train" / file_name(f"{variant}-{label}-{name}-seed{seed}")
    err.print(f"training {variant} on {label}/{name} with preset {preset}, in {folder}")
    _if_interrupted(
        f"steps since the last checkpoint are lost (written at the end of an epoch once "
        f"{settled.checkpoint_seconds:g} seconds have passed); the same command with --resume goes on"
    )
    first = None if start is None else start / WEIGHTS
    result = run_trial(spec, folder, registry, resume=resume, start=first, keep_state=True, bar=err.is_terminal)
    test = registry.build("dataset", node).load(name).test
    if said := squeezed([sample.image for sample in test], result.normal.proportions):
        err.print(f"note: test images: {said}")
    _print_metrics(result.metrics, result.undefined)
    out.print(str(result.alarm))
    err.print(result.normal.origin)
    err.print(f"weights, spec and result in {folder}; look at it with: dlkd predict {shlex.quote(str(folder))} IMAGES")


@app.command()
def evaluate(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the trial's.")] = None,
    category: Annotated[str | None, typer.Option(help="Another category than the trial's.")] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score a trained model on its category's test images, or on another's."""
    from dlkd.training import evaluate as run_evaluation
    from dlkd.training import load_model, read_result
    from dlkd.training.data_module import CategoryData
    from dlkd.training.evaluate import alarm
    from dlkd.training.predict import squeezed

    registry = _registry(registry_files, imports)
    _take_threads(threads)
    spec, model = load_model(trial, registry)
    node = spec.dataset if dataset is None else _dataset_node(registry, dataset)
    name = spec.category if category is None and dataset is None else _category(registry, node, category)
    _verify(registry, [(node, name)])
    loaded = registry.build("dataset", node).load(name)
    normal = read_result(trial).normal
    if said := squeezed([sample.image for sample in loaded.test], normal.proportions):
        err.print(f"note: {said}")
    _if_interrupted("an evaluation keeps nothing; the same command begins anew")
    data = CategoryData(loaded, spec.train, model, spec.trial_seed)
    evaluation = run_evaluation(model, data, bar=err.is_terminal)
    _print_metrics(evaluation.metrics, evaluation.undefined)
    out.print(str(alarm(evaluation, normal.threshold)))
    err.print(normal.origin)


@app.command()
def predict(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial.")],
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images (searched below too).")],
    to: Annotated[
        Path, typer.Option("--out", help="Folder for scores.csv, which is replaced, overlays and maps.")
    ] = Path("predictions"),
    threshold: Annotated[
        float | None, typer.Option(help="Image score above which an image counts as anomalous; default the trial's.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at a time; default the trial's.")] = None,
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Draw the maps over the images.")] = True,
    maps: Annotated[
        Maps | None,
        typer.Option(help="Write the anomaly maps too: npy (float32), or png16 with its scale in a .json."),
    ] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score images: scores.csv, written as they are scored, and one overlay of the anomaly map for each."""
    from dlkd.training import load_model, read_result
    from dlkd.training.predict import find_images, predict_images, squeezed

    registry = _registry(registry_files, imports)
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"--threshold must be a number, got {threshold}")
    _take_threads(threads)
    spec, model = load_model(trial, registry)
    normal = read_result(trial).normal
    if said := squeezed(find_images(images, to), normal.proportions):
        err.print(f"note: {said}")
    if (to / "scores.csv").exists():
        err.print(f"note: {to / 'scores.csv'} of an earlier prediction is replaced")
    _if_interrupted(
        f"the images scored so far are in {to / 'scores.csv'}; the same command begins anew and replaces it"
    )
    done = predict_images(
        model, spec, normal, images, to,
        threshold=threshold, batch_size=batch_size, overlays=overlays, maps=maps, bar=err.is_terminal,
    )  # fmt: skip
    err.print(f"{done.scored} images scored, {done.anomalous} of them anomalous: {to / 'scores.csv'}")
    err.print(f"threshold {threshold:.4g}, as given" if threshold is not None else normal.origin)
    for line in done.undrawn[:20]:
        err.print(line)
    if len(done.undrawn) > 20:
        err.print(f"and {len(done.undrawn) - 20} more that are scored and not drawn")
    _say_undrawn()
    if done.broken:
        listed = "\n".join(done.broken)
        raise ValueError(f"{len(done.broken)} images could not be read, the others are scored:\n{listed}")


@app.command()
def ablate(
    grids: Annotated[list[str], typer.Argument(help="Shipped grids (table4, table5, ...) or YAML files.")],
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="NAME, NAME:PATH or an MVTec-layout folder; repeatable."),
    ] = None,
    categories: Annotated[list[str] | None, typer.Option("--category", help="Only these categories.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many base seeds, from 0; default the grid's, or 1.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="demo or paper; default the grid's, or demo.")] = None,
    steps: Steps = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time; default one per core that this process may use.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each trial.")] = 1,
    trials_per_gpu: Annotated[int, typer.Option(min=0, help="Trials that share a GPU; 0 trains on CPUs.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster (auto finds it); it shares --store's disk, or takes a --storage."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Where finished trials are copied to and found again: s3://, gs://, file:// or a path."),
    ] = None,
    keep: Annotated[
        Keep, typer.Option(help="What a trial leaves: all, or no weights.safetensors once it is scored.")
    ] = "weights",
    retries: Annotated[int, typer.Option(min=0, help="How often a failed trial is tried again.")] = 1,
    to: Annotated[Path | None, typer.Option("--out", help="Folder of the report; default runs/GRIDS.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of all trials; finished ones are found again.")] = Path(
        "runs/trials"
    ),
    force: Annotated[bool, typer.Option("--force", help="Train again what is in the store already.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Accepted for clarity: a run always resumes.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and what they will cost, and stop.")
    ] = False,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train every cell of one or more grids in parallel and write the report."""
    from dlkd.ablations.plan.cells import make_cells, unique
    from dlkd.ablations.plan.grid_files import load_grid
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.run_folder import TRIALS, holds_less, write_run
    from dlkd.ablations.run.store import missing_cells
    from dlkd.ablations.run.trials import collect
    from dlkd.ablations.search.search_files import find_search
    from dlkd.ablations.search.study import make_study, search_folder

    del resume
    registry = _registry(registry_files, imports)
    at_a_time = workers or max(1, cores() // threads)
    if address is None and (said := crowded(at_a_time, threads)):
        err.print(said)

    def settled(file: Grid | SearchFile) -> tuple[Preset, list[tuple[dict[str, Any], list[str]]]]:
        """Training and data of a file, with what is typed laid over them."""
        chosen = _preset(
            preset or file.preset or "demo", steps, epochs, image_size, batch_size, base=file.train, place=file._source
        )
        nodes = [_dataset_node(registry, name) for name in datasets or file.datasets or ["textures"]]
        only = categories or list(file.categories) or None
        return chosen, [(node, _categories(registry, node, only, some=len(nodes) > 1)) for node in nodes]

    def pool() -> Pool:
        from dlkd.ablations.run.pool import Pool

        return Pool(
            workers=at_a_time,
            threads=threads,
            retries=retries,
            trials_per_gpu=trials_per_gpu,
            address=address,
            registry_files=registry_files or (),
            imports=imports or (),
            storage=storage,
            keep=keep,
        )

    searches = [search for name in grids if (search := find_search(name, registry)) is not None]
    if searches:
        if len(grids) > 1 or seeds is not None:
            raise ValueError("a search runs by itself and has its seed in its file: dlkd ablate FILE, without --seeds")
        chosen, data = settled(searches[0])
        with _bar() as bar:
            study = make_study(searches[0].search, registry, data, chosen, _reading(bar))
        file = searches[0].settle(preset, datasets, categories, chosen.train)
        if not dry_run:
            _verify(registry, [(node, name) for node, names in data for name in names])
        if dry_run:
            _print_search(file, study, search_folder(study, registry, store))
        else:
            _search(file, study, registry, store, to or Path("runs") / file_name(file.name), pool(), force)
        return
    loaded = [load_grid(name) for name in grids]
    for i, grid in enumerate(loaded):
        if (first := [g.name for g in loaded].index(grid.name)) != i:
            both = f"{grids[first]} and {grids[i]} are both"
            raise ValueError(f"{both} the grid '{grid.name}'; give one of them, or another `name:` in its file")
    cells = []
    for grid in loaded:
        chosen, data = settled(grid)
        with _bar() as bar:
            cells += make_cells(grid, registry, data, range(seeds or grid.seeds or 1), chosen, _reading(bar))
    cells = unique(cells)
    if dry_run:
        _print_cells(cells, loaded, store, registry, pool())
        return
    todo = cells if force else missing_cells(cells, store)
    _verify(registry, [(cell.spec.dataset, cell.spec.category) for cell in todo])
    from dlkd.ablations.run.runner import run_cells

    folder = to or Path("runs") / file_name("-".join(grid.name for grid in loaded))
    _if_interrupted(
        "finished trials are kept; those that ran lose what is younger than their last checkpoint, or all if they have "
        f"none yet. The same command goes on; dlkd report {shlex.quote(str(folder))} shows what is there"
    )
    ended = False
    try:
        run_cells(cells, store, pool(), Display(store, err), force=force)
        ended = True
    finally:
        trials = collect(cells, store)
        kept = holds_less(trials, folder, ended=ended)
        if not kept:
            write_run(folder, trials, loaded, store)
        elif (folder / TRIALS).exists():
            err.print(f"note: {folder / TRIALS} stays as it was: this run has no finished trial to add")
    if not kept:
        _report(folder)
    failed = trials[trials.status == "failed"]
    if len(failed):
        reasons = failed.drop_duplicates("key")
        listed = "\n".join(f"{r.row}, {r.category}, seed {r.seed}: {r.reason}" for r in reasons.itertuples())
        shown = "the report of an earlier run stays" if kept else "the report shows them"
        raise ValueError(f"{len(reasons)} trials failed; {shown}:\n{listed}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of an ablation, with its trials.parquet.")],
) -> None:
    """Write an ablation's report again from its parquet, with no training."""
    _report(folder)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of an ablation.")],
    b: Annotated[Path, typer.Argument(help="Folder of another.")],
) -> None:
    """Set two ablations side by side."""
    from dlkd.ablations.compare import compare as run_comparison

    out.print(run_comparison(a, b))


@app.command("list")
def list_command(
    kind: Annotated[str | None, typer.Argument(help="variants, grids, presets, or a kind of component.")] = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Show variants, components, grids and presets."""
    from dlkd.ablations.plan.grid_files import shipped_grids
    from dlkd.registry import list_components, list_variants
    from dlkd.registry.problems import nearest
    from dlkd.training import PRESETS

    registry = _registry(registry_files, imports)
    named = {"variants": list_variants(registry), "grids": shipped_grids(), "presets": list(PRESETS)}
    kinds = sorted({name.split("/")[0] for name in list_components()})
    named |= {k: list_components(k) for k in kinds}
    if kind is not None and kind not in named:
        raise ValueError(f"unknown kind '{kind}'{nearest(kind, named)}")
    if kind is not None:
        for name in named[kind]:
            out.print(name)
        return
    table = text_table("kind", "names")
    for k, names in named.items():
        table.add_row(k, ", ".join(names))
    out.print(table)


@app.command()
def show(
    variant: Annotated[str, typer.Argument(help="A variant of the registry.")],
    preset: PresetName = "demo",
    image_size: ImageSize = None,
    overrides: Overrides = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """A variant with everything spelled out, its parameters, and the shapes at each stage."""
    from dlkd.models.describe import describe
    from dlkd.registry import weightless
    from dlkd.registry.located_yaml import dump_yaml

    registry = _registry(registry_files, imports)
    chosen = _preset(preset, None, None, image_size)
    node, train = chosen.settle(registry, variant, _assignments(overrides))
    sides = train.sides
    out.print(dump_yaml(node).rstrip())
    # Shapes need no trained weights, and a teacher's may not be at hand.
    blank = weightless(node)
    stages, parameters = describe(registry.build("model", blank), sides)
    table = text_table("stage", "shape (b, c, h, w)", title="\n{} x {} pixels".format(*sides))
    for stage, shape in stages:
        table.add_row(stage, shape)
    out.print(table)
    counts = text_table("part", "parameters", title="\nparameters")
    for part, count in parameters:
        counts.add_row(part, f"{count:,}")
    out.print(counts)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A registry file: its rows, and every variant.")],
    preset: PresetName = "demo",
    imports: Imports = None,
    examples: Annotated[int, typer.Option(min=1, help="Shapes drawn for each component.")] = 10,
) -> None:
    """Run the shape contract of every component in a registry file, and build its variants."""
    from dlkd.check import check_row
    from dlkd.registry.located_yaml import read_yaml

    registry = _registry([file], imports)
    chosen = _preset(preset)
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


@app.command()
def schema(
    to: Annotated[Path | None, typer.Option("--out", help="File; default standard output.")] = None,
) -> None:
    """The JSON schema of registry files, for editors to complete and check."""
    from dlkd.registry.schema import registry_schema

    text = json.dumps(registry_schema(_registry()), indent=2)
    if to is None:
        print(text)
    else:
        _write_text(to, text + "\n")


@data_app.command("inspect")
def data_inspect(
    name: Annotated[str, typer.Argument(help="A dataset's name, or the path of an MVTec-layout folder.")],
    root: Annotated[Path | None, typer.Option(help="Where the dataset lies.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="PNG of sample pictures; default runs/inspect/NAME.png.")] = None,
    image_size: ImageSize = None,
) -> None:
    """Counts, sizes, modes, balance, masks, duplicates between train and test, and a picture sheet."""
    from dlkd.data import dataset_label
    from dlkd.data.inspect import inspect_dataset
    from dlkd.data.sheet import picture_sheet

    registry = _registry()
    node = _dataset_node(registry, name if root is None else f"{name}:{root}")
    dataset = registry.build("dataset", node)
    sides = _preset("demo", None, None, image_size).train.sides
    _if_interrupted("an inspection keeps nothing but what it knows of the files; the same command begins anew")
    with _bar() as bar:
        task = bar.add_task(f"reading {name}", total=None)
        found = inspect_dataset(
            dataset, progress=lambda n, total: bar.update(task, completed=n, total=total), network=sides
        )
    out.print(str(found))
    path = sheet or Path("runs") / "inspect" / f"{file_name(dataset_label(node))}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture_sheet(dataset, path)
    err.print(f"picture sheet: {path}")
    _say_undrawn()
    if not found.sound:
        raise ValueError(f"{name} has problems, listed above")


@data_app.command("prepare")
def data_prepare(
    name: Annotated[str, typer.Argument(help="textures or elpv.")],
    to: Annotated[Path, typer.Option("--out", help="Folder that receives it in the MVTec layout.")],
) -> None:
    """Write an embedded dataset as a folder in the MVTec layout."""
    from dlkd.data.prepare import write_folder

    registry = _registry()
    write_folder(registry.build("dataset", _dataset_node(registry, name)), to)
    err.print(f"{name} written to {to}; train on it with --dataset {shlex.quote(str(to))}")


def _bar() -> Progress:
    """A progress bar on stderr, for terminals alone; it leaves nothing behind."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def _reading(bar: Progress) -> Callable[[int, int], None]:
    """Shows (files done, files in all) of the data's digests."""
    task = bar.add_task("reading the data", total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def _verify(registry: Registry, data: Iterable[tuple[dict[str, Any], str]]) -> None:
    """Read what trials on these categories will read; say what is left out or changed. Raises DataError on damage."""
    from dlkd.data import DataError
    from dlkd.data.verify import verify

    seen: list[tuple[dict[str, Any], str]] = []
    problems: list[str] = []
    with _bar() as bar:
        for node, name in data:
            if (node, name) in seen:
                continue
            seen.append((node, name))
            task = bar.add_task(f"reading {name}", total=None)
            try:
                category = registry.build("dataset", node).load(name)
                notes = verify(category, progress=lambda n, total: bar.update(task, completed=n, total=total))  # noqa: B023
            except DataError as error:
                problems.append(str(error))
                continue
            for note in notes:
                err.print(f"{name}: {note}")
            bar.remove_task(task)
    if problems:
        raise DataError("\n".join(problems))


def _if_interrupted(says: str) -> None:
    """What is said of Ctrl-C from here on."""
    _lost.append(says)


def _take_threads(asked: int | None) -> None:
    """Set PyTorch's threads, and say where others compute too."""
    import torch

    threads, said = choose_threads(asked)
    torch.set_num_threads(threads)
    if said:
        err.print(said)


def _registry(files: list[Path] | None = None, imports: list[Path] | None = None) -> Registry:
    from dlkd.registry import default_registry, load_file, load_registry

    for path in imports or []:
        load_file(path)
    return load_registry(*files) if files else default_registry()


@functools.cache
def _presets() -> dict[str, Preset]:
    from dlkd.training import PRESETS

    return PRESETS


def _preset(name: str, *values: Any, base: dict[str, Any] | None = None, place: LocatedYaml | str = "") -> Preset:
    """A preset with `base`, a file's training arguments, and then the command line's numbers laid over it."""
    from dlkd.registry.located_yaml import LocatedYaml as Document
    from dlkd.registry.problems import nearest

    if name not in _presets():
        raise ValueError(f"unknown preset '{name}'{nearest(name, _presets())}")
    preset = _presets()[name]
    keys = ("max_steps", "epochs", "image_size", "batch_size", "workers", "precision")
    typed = {k: v for k, v in zip(keys, values, strict=False) if v is not None}
    under = Document(place, {}) if isinstance(place, str) else place
    return preset.trained(base or {}, typed, places=[(under, ("train",)), (Document("command line", {}), ())])


def _dataset_node(registry: Registry, text: str) -> dict[str, Any]:
    """`textures`, `mvtec:/data/mvtec`, `elpv,train_limit=200` or a folder's path -> a completed dataset node."""
    from dlkd.data.label import needs_root
    from dlkd.registry import list_components

    if expanded(text).is_dir():
        return registry.complete("dataset", {"name": "folder", "root": str(expanded(text).resolve())})
    name, _, root = text.partition(":")
    settings: list[str] = []
    if not root or not expanded(root).is_dir():  # a folder's own name may hold commas
        place, *settings = text.split(",")
        name, _, root = place.partition(":")
    if name in list_components("dataset"):
        node = {"name": name, **_assignments(settings, "--dataset NAME,KEY=VALUE")}
        if not root and "root" not in node and needs_root(name):
            raise ValueError(f"{name} lies in a folder of yours: say which with {name}:PATH")
        return registry.complete("dataset", node | ({"root": str(expanded(root).resolve())} if root else {}))
    if expanded(text).exists():
        raise ValueError(f"{text} is a file; a dataset is a folder in the MVTec layout")
    if "/" in text or text.startswith("."):
        raise ValueError(f"the dataset folder {text} does not exist")
    return registry.complete("dataset", name)


def _categories(registry: Registry, node: dict[str, Any], wanted: list[str] | None, *, some: bool = False) -> list[str]:
    """The wanted categories of a dataset, all by default; where `some`, others of the wanted may be elsewhere."""
    from dlkd.data import dataset_label
    from dlkd.registry.problems import nearest

    known = list(registry.build("dataset", node).categories())
    if wanted is None:
        return known
    found = [name for name in wanted if name in known]
    for name in wanted:
        if name not in known and not (some and found):
            raise ValueError(f"{dataset_label(node)} has no category '{name}'{nearest(name, known)}")
    return found


def _category(registry: Registry, node: dict[str, Any], wanted: str | None) -> str:
    from dlkd.data import dataset_label

    known = _categories(registry, node, [wanted] if wanted else None)
    if len(known) > 1:
        raise ValueError(f"{dataset_label(node)} has several categories; name one with --category: {', '.join(known)}")
    return known[0]


def _assignments(texts: list[str] | None, option: str = "--set") -> dict[str, Any]:
    """["decoder.global=none", "sigma=2"] -> nested overrides, values read as YAML."""
    from dlkd.registry.located_yaml import parse_yaml
    from dlkd.registry.problems import ConfigError

    nested: dict[str, Any] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise ValueError(f"{option} takes KEY=VALUE such as decoder.global=none, got '{text}'")
        try:
            parsed = parse_yaml(value, option).data
        except ConfigError as error:
            raise ValueError(f"{option} {key}: cannot read the value '{value}'") from error
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ValueError(f"{option} {key}: '{parent}' is given a value already")
        place[last] = parsed
    return nested


def _print_metrics(metrics: dict[str, float], undefined: dict[str, str]) -> None:
    table = text_table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"undefined: {undefined[name]}" if name in undefined else f"{value:.4f}")
    out.print(table)


def _print_cells(cells: list[Cell], grids: list[Grid], store: Path, registry: Registry, pool: Pool) -> None:
    from dlkd.ablations.forecast.forecast import forecast
    from dlkd.ablations.run.display import duration
    from dlkd.ablations.run.store import missing_cells

    missing = missing_cells(cells, store)
    cost = forecast(missing, grids, registry, pool, begun=perf_counter() - _begun[-1], bar=err.is_terminal)
    table = text_table("cell", "rows", "state")
    for cell in cells:
        rows = "; ".join(f"{table}: {row}" for table, row in cell.rows)
        state = f"to train, about {duration(cost.trials[cell.key])}" if cell.key in cost.trials else "done"
        table.add_row(cell.name, rows, state)
    out.print(table)
    places = sum(len(cell.rows) for cell in cells)
    out.print(f"{len(cells)} cells for {places} table entries, {len(missing)} to train")
    if missing:
        one = duration(sum(cost.trials.values()))
        out.print(
            f"about {duration(cost.total)} with {min(pool.workers, len(missing))} at a time: {duration(cost.start)} to "
            f"start, {duration(cost.training)} of trials ({one} one at a time), {duration(cost.report)} for the "
            "report; each part was timed in small on this machine, as busy as it is now"
        )


def _search(
    file: SearchFile, study: Study, registry: Registry, store: Path, out_folder: Path, pool: Pool, force: bool
) -> None:
    """Run a search and write what it found."""
    from dlkd.ablations.search.records import FAILED, read_tried, trial_key
    from dlkd.ablations.search.report import SearchReport
    from dlkd.ablations.search.results import holds_less, search_trials, write_found
    from dlkd.ablations.search.runner import run_search
    from dlkd.ablations.search.study import search_folder

    _if_interrupted(
        "finished trials are kept; those that ran lose what is younger than their last checkpoint. The same command "
        f"goes on; dlkd report {shlex.quote(str(out_folder))} shows what is there"
    )
    ended = kept = False
    try:
        run_search(study, registry, store, pool, err, force=force)
        ended = True
    finally:
        tried = [t for t in read_tried(search_folder(study, registry, store)) if t.finished or t.status == FAILED]
        if tried:
            own = [f"--registry {f}" for f in pool.registry_files] + [f"--import {f}" for f in pool.imports]
            usual = study.usual(registry)
            key = None if usual is None else trial_key(usual)
            trials = search_trials(tried, file)
            kept = not ended and holds_less(trials, out_folder)
            if not kept:
                write_found(SearchReport(trials, file, key, " ".join(own)), out_folder)
    _report(out_folder)
    failed = [f"trial {t.number}: {t.reason}" for t in tried if t.status == FAILED]
    if failed:
        raise ValueError(f"{len(failed)} trials failed; the report shows them:\n" + "\n".join(failed))


def _print_search(file: SearchFile, study: Study, folder: Path) -> None:
    from dlkd.ablations.search.records import read_tried
    from dlkd.data import dataset_labels

    table = text_table("parameter", "", "values")
    for name, parameter in file.search.space.items():
        table.add_row(name, parameter.kind, ", ".join(map(str, parameter.values)))
    out.print(table)
    done = sum(t.finished for t in read_tried(folder))
    shares = ", ".join(f"{file.search.budget(i):.0%}" for i in range(file.search.rungs))
    out.print(f"{file.search.trials} trials, {done} of them done; compared after {shares} of the training, on:")
    for label, (_, category) in zip(dataset_labels([node for node, _ in study.data]), study.data, strict=True):
        out.print(f"  {label}/{category}")


def _report(folder: Path) -> None:
    from dlkd.ablations.report.write import write_report
    from dlkd.ablations.run.run_folder import read_run
    from dlkd.ablations.search.results import PARQUET, read_found

    if (folder / PARQUET).exists():
        found = read_found(folder)
        out.print(found)
        for path in found.write(folder):
            err.print(f"wrote {path}")
        for command in found.commands(folder):
            err.print(f"next: {command}")
        _say_undrawn()
        return
    trials, grids, store = read_run(folder)
    for path in write_report(trials, grids, store, folder):
        err.print(f"wrote {path}")
    _say_undrawn()


def _say_undrawn() -> None:
    """Say once what pictures show as numbers."""
    from dlkd.drawing import undrawn

    if missing := undrawn():
        some = missing if len(missing) <= 20 else f"{missing[:20]} and {len(missing) - 20} more"
        err.print(f"note: no font of this machine has {some}; pictures show [1], [2], ... in their place")


def _write_text(path: Path, text: str, **options: str) -> None:
    from dlkd.files import write_text

    write_text(path, text, **options)
