"""`dlkd evaluate`: a trained model on test images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out, print_metrics
from dlkd.cli.options import Imports, RegistryFiles, Threads


def evaluate(
    trial: Annotated[Path, typer.Argument(help="Folder of a trained trial or of a saved model, or hub:NAME.")],
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the trial's.")] = None,
    category: Annotated[str | None, typer.Option(help="Another category than the trial's.")] = None,
    threads: Threads = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Score a trained model on its category's test images, or on another's."""
    from dlkd.data.label import needs_root
    from dlkd.data.named import category_of, dataset_node, verify_data
    from dlkd.data.pictures.images import proportions
    from dlkd.data.pictures.proportions import squeezed
    from dlkd.registry import read_registry
    from dlkd.training import load_model
    from dlkd.training.data_module import CategoryData
    from dlkd.training.device import take_threads
    from dlkd.training.evaluate import alarm
    from dlkd.training.evaluate import evaluate as run_evaluation

    registry = read_registry(registry_files, imports)
    if note := take_threads(threads):
        err.print(note)
    trained = load_model(trial, registry)
    spec, model, normal = trained.spec, trained.detector, trained.result.normal
    if dataset is None and needs_root(spec.dataset["name"]) and "root" not in spec.dataset:
        name = spec.dataset["name"]
        raise ValueError(f"{trial} is a saved model, which names no folder of pictures; give --dataset {name}:PATH")
    node = spec.dataset if dataset is None else dataset_node(registry, dataset)
    name = spec.category if category is None and dataset is None else category_of(registry, node, category)
    verify_data(registry, [(node, name)], err)
    loaded = registry.build("dataset", node).load(name)
    if said := squeezed([proportions(sample.image) for sample in loaded.test], normal.proportions):
        err.print(f"note: {said}")
    session.if_interrupted("an evaluation keeps nothing; the same command starts from the beginning")
    data = CategoryData(loaded, spec.train, model, spec.trial_seed)
    evaluation = run_evaluation(model, data, normal.threshold, bar=err.is_terminal)
    print_metrics(evaluation.metrics, evaluation.undefined)
    out.print(str(alarm(evaluation, normal.threshold)))
    err.print(normal.origin)
