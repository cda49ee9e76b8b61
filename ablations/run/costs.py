"""Time and memory of a grid's rows: each measured alone, once all cells have ended, and kept in the run's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import pydantic

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.keys import hashed
from dlkd.ablations.run.pool import Pool
from dlkd.files import write_text
from dlkd.machine import expanded, processor
from dlkd.registry.python_files import digests, python_file
from dlkd.training.trials.trial_folder import RESULT

COSTS = "costs.json"
FIGURES = ("latency_1", "latency_8", "images_per_second", "peak_memory_bytes")
"""Of `Measured`."""
NAN = float("nan")
SECONDS = 600
"""A measurement that takes longer is given up."""


@dataclass(frozen=True)
class Measured:
    """Time and memory of scoring with a row's model, see `dlkd.training.speed.measure`.

    Attributes:
        table: name of the grid.
        row: its label.
        key: hash of the model, the size of its images, the code and the machine; "" where the measurement failed.
        latency_1: seconds of one image.
        latency_8: seconds of a batch of 8.
        images_per_second: in batches of 8.
        peak_memory_bytes: of the weights and of scoring a batch of 8.
        operations: digest of what PyTorch runs for an image, see `dlkd.training.speed.operations`.
        device: name of the processor or GPU.
        threads: of PyTorch.
        elsewhere: threads in which other programs computed meanwhile, before or after, the more of both.
        day: of the measurement.
        note: why there is none.
    """

    table: str
    row: str
    key: str = ""
    latency_1: float = NAN
    latency_8: float = NAN
    images_per_second: float = NAN
    peak_memory_bytes: float = NAN
    operations: str = ""
    device: str = ""
    threads: int = 1
    elsewhere: int = 0
    day: str = ""
    note: str = ""


RowCosts: TypeAlias = Mapping[tuple[str, str], Measured]
"""By grid and row."""

Measure: TypeAlias = Callable[[Cell, Path, Pool], dict[str, Any]]
_FILE = pydantic.TypeAdapter(list[Measured])


class MeasureError(Exception):
    """A measurement failed; says why."""


def read_costs(folder: Path) -> RowCosts:
    """What was measured of the run in `folder`; nothing where there is no file, or one that cannot be read.

    Rows whose models run the same operations, as those that differ in a loss do, have the medians of their figures:
    what is left of a difference between them is noise.
    """
    found = _read(folder)
    by_key = {one.key: one for one in found.values()}
    return {row: _pooled(one, by_key) for row, one in found.items()}


def _read(folder: Path) -> RowCosts:
    """As each row was measured."""
    try:
        found = _FILE.validate_json((folder / COSTS).read_bytes())
    except (OSError, pydantic.ValidationError):
        return {}
    return {(one.table, one.row): one for one in found}


def _pooled(one: Measured, by_key: Mapping[str, Measured]) -> Measured:
    """The same with the medians of the measurements of its operations on its device, each counted once."""
    if not one.operations:
        return one
    what = (one.operations, one.device, one.threads)
    same = [other for other in by_key.values() if (other.operations, other.device, other.threads) == what]
    return replace(one, **{name: median(getattr(other, name) for other in same) for name in FIGURES})


def measure_costs(
    cells: Sequence[Cell],
    folder: Path,
    store: Path,
    pool: Pool,
    *,
    measure: Measure | None = None,
    begun: Callable[[int], None] = lambda total: None,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> None:
    """Measure the rows that have a finished cell, one at a time, and write each into `folder` when it is done.

    Rows of one model at one size are measured once. What the file holds of the same model, code and machine is not
    measured again; a measurement that failed is tried again. Nothing else of the run may work meanwhile.

    Args:
        cells: of the run.
        folder: of the run.
        store: folder of all trials.
        pool: threads and GPU, and the user's own files.
        measure: instead of a new process for each row.
        begun: called with the number of measurements, if there are any.
        tell: called after each.
    """
    rows = _finished_rows(cells, store)
    keys = {row: _key(cell, pool) for row, cell in rows.items()}
    before = _read(folder)
    known = {one.key: one for one in before.values() if one.key}
    todo: dict[str, tuple[str, str]] = {}
    for row, key in keys.items():
        if key not in known:
            todo.setdefault(key, row)

    def write() -> None:
        lines = [replace(known[key], table=row[0], row=row[1]) for row, key in keys.items() if key in known]
        if lines != list(before.values()):
            write_text(folder / COSTS, json.dumps([asdict(one) for one in lines], indent=1))

    write()  # rows of other code, or that are no more, are not shown from here on
    if todo:
        begun(len(todo))
    for key, row in todo.items():
        known[key] = _measured(row, key, rows[row], store, pool, measure or in_new_process)
        write()
        tell(known[key])


def _finished_rows(cells: Sequence[Cell], store: Path) -> dict[tuple[str, str], Cell]:
    """The first finished cell of each row."""
    found: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        if (store / cell.key / RESULT).exists():
            for row in cell.rows:
                found.setdefault(row, cell)
    return found


def _measured(row: tuple[str, str], key: str, cell: Cell, store: Path, pool: Pool, measure: Measure) -> Measured:
    one = Measured(*row, threads=pool.threads, day=date.today().isoformat())
    try:
        return replace(one, key=key, **measure(cell, store, pool))
    except MeasureError as error:
        return replace(one, note=str(error))


def in_new_process(cell: Cell, store: Path, pool: Pool) -> dict[str, Any]:
    """Measure a cell's model by `dlkd.ablations.run.alone`. Raises MeasureError where that fails."""
    job = {
        "spec": cell.spec.model_dump(mode="json"),
        "folder": str((store / cell.key).resolve()),
        "registry": [str(expanded(f).resolve()) for f in pool.registry_files],
        "imports": {str(python_file(f)): digests(f) for f in pool.imports},
        "threads": pool.threads,
        "gpu": pool.trials_per_gpu > 0,
    }
    # Modules are found where this process finds them; -P adds no working folder.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with tempfile.TemporaryDirectory(prefix="dlkd-costs-") as scratch:
        asked, answer = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        write_text(asked, json.dumps(job))
        command = [sys.executable, "-P", "-m", "dlkd.ablations.run.alone", str(asked), str(answer)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise MeasureError(f"not ended after {SECONDS} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise MeasureError(said[-1] if said else f"the process ended with {done.returncode}")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _key(cell: Cell, pool: Pool) -> str:
    """Hash of what decides time and memory: model, its files and data, size, code, threads and machine."""
    identity = cell.spec.identity(cell.contents)
    machine = [processor(), os.cpu_count(), pool.threads, _gpu(pool), version("torch")]
    data = sorted(cell.contents.values())  # a memory bank is as large as its data
    return hashed([identity["model"], list(cell.spec.train.sides), data, sorted(cell.code.values()), machine])


def _gpu(pool: Pool) -> str:
    """Name of the GPU that rows are measured on; "" for none."""
    if pool.trials_per_gpu == 0:
        return ""
    import torch  # not loaded with this module, since a report reads costs without it

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
