"""The model card of a saved model, `README.md`: where it comes from, what it measured, and how it is loaded."""

from __future__ import annotations

import math

from dlkd.data import dataset_label
from dlkd.registry import Registry
from dlkd.registry.located_yaml import dump_yaml
from dlkd.text import plain
from dlkd.training.pretrained.saved_model import TENSORS, SavedConfig

DATA_LICENCES = {
    "elpv": "CC BY-NC-SA 4.0",
    "mvtec": "CC BY-NC-SA 4.0",
    "mvtec_loco": "CC BY-NC-SA 4.0",
    "textures": "CC0 (pictures of scikit-image, with planted defects)",
    "visa": "CC BY 4.0",
}
"""Licences of published datasets, as their publishers state them; BTAD and MVTec AD 2 are left to the user."""

TAGS = ["anomaly-detection", "computer-vision", "dlkd", "image-anomaly-detection"]


def card_text(config: SavedConfig, registry: Registry, repo: str, licence: str, data_licence: str) -> str:
    """The card in Markdown, with the metadata that the hub reads at its top.

    Args:
        config: of the saved model.
        registry: says what reports show of the model.
        repo: name on the hub, for the lines that load it; empty for a folder.
        licence: of the weights, as the hub calls it ("cc-by-4.0"); empty where its owner has not said.
        data_licence: of the training images; empty for what is known of the dataset.
    """
    head = {"library_name": "dlkd", "tags": TAGS, **({"license": licence} if licence else {})}
    trial = config.trial
    name = _code(f"{dataset_label(trial.dataset)}/{trial.category}")
    parts = [
        f"---\n{dump_yaml(head)}---",
        f"# {_code(trial.variant)} on {name}",
        "A detector of visual anomalies, trained on normal images of one category with dlkd "
        f"{config.dlkd}. It gives each picture a score, and a map of the places that look anomalous.",
        _load(repo),
        "## Measured\n\nOn the test images of the same category, as fractions, by the one trial below.\n\n"
        + _metrics(config),
        "## Threshold\n\n" + _threshold(config),
        "## Trial\n\n" + _trial(config, registry),
        "## Files and licences\n\n" + _licences(config, licence, data_licence),
    ]
    return "\n\n".join(parts) + "\n"


def _load(repo: str) -> str:
    place = repo or "path/to/this/folder"
    return (
        "## Use\n\n"
        "```python\n"
        "import dlkd\n\n"
        f'model = dlkd.TrainedModel.from_pretrained("{plain(place)}")\n'
        'found = model.predict("part.png")  # found.score, found.label, found.map\n'
        "```\n\n"
        f"On the command line: `dlkd predict {('hub:' if repo else '') + plain(place)} PICTURES`."
    )


def _metrics(config: SavedConfig) -> str:
    rows = ["| metric | value |", "| --- | --- |"]
    for name, value in config.result.metrics.items():
        shown = f"{value:.4f}" if math.isfinite(value) else f"undefined: {_cell(config.result.undefined.get(name, ''))}"
        rows.append(f"| {name} | {shown} |")
    return "\n".join(rows)


def _threshold(config: SavedConfig) -> str:
    normal = config.result.normal
    return (
        f"A picture whose score lies above {normal.threshold:.6g} is called anomalous; "
        f"{plain(normal.origin)}. On the test images, {config.result.alarm}.\n\n"
        "The threshold belongs to pictures like those of the training. For other cameras or lights, take normal "
        "pictures of your own and set another one: `model.predict(..., threshold=...)`."
    )


def _trial(config: SavedConfig, registry: Registry) -> str:
    trial, sizes = config.trial, config.preprocessing
    rows = {
        "variant": trial.variant,
        "parts": registry.shown(trial.model),
        "dataset": dataset_label(trial.dataset),
        "category": trial.category,
        "seed": str(trial.seed),
        "images": f"{sizes.height} x {sizes.width} pixels (height x width), batches of {trial.train.batch_size}",
        "length": f"{trial.train.epochs} epochs"
        + (f", at most {trial.train.max_steps} steps" if trial.train.max_steps >= 0 else ""),
        "code": ", ".join(f"{key} {value}" for key, value in config.result.versions.items()),
    }
    lines = [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value]
    return "\n".join(["| | |", "| --- | --- |", *lines]) + "\n\nAll settings, the defaults too, are in `config.json`."


def _licences(config: SavedConfig, licence: str, data_licence: str) -> str:
    known = data_licence or DATA_LICENCES.get(str(config.trial.dataset["name"]), "")
    read = ", ".join(f"{_code(key)} was {_code(value)}" for key, value in config.files.items())
    lines = [
        f"- `{TENSORS}` holds all weights, those of frozen pretrained parts too: nothing else is downloaded. Such "
        "parts keep the licence of their publisher.",
        f"- Weights: {_cell(licence) or 'no licence stated'}.",
        f"- Training images: {_cell(known) or 'licence not known to dlkd'}. None of them is in these files"
        " (a memory bank holds features of them).",
    ]
    lines += [f"- Files that the training read and that are not needed here: {read}."] if read else []
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text of a table's cell that Markdown does not interpret."""
    return "".join(f"\\{c}" if c in r"\|*_`<>[]#" else c for c in plain(text))


def _code(text: str) -> str:
    return f"`{plain(text).replace('`', chr(39))}`"
