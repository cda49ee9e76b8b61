"""What `dlkd ablate` does with the file of a search."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlkd.cli import session
from dlkd.cli.console import err, out
from dlkd.cli.report import write_reports
from dlkd.files import file_name
from dlkd.text import text_table

if TYPE_CHECKING:
    from dlkd.ablations.asked import Asked
    from dlkd.ablations.plan.cells import Cell
    from dlkd.ablations.search.definition import SearchFile
    from dlkd.ablations.search.records import Tried
    from dlkd.ablations.search.rows import RowSearch
    from dlkd.ablations.search.study import Study
    from dlkd.ablations.tuned import Searches


def ablate_search(file: SearchFile, asked: Asked, *, dry_run: bool) -> None:
    """Run a search, or say what a run would do."""
    from dlkd.ablations.search.study import make_study, search_folder
    from dlkd.data.named import verify_data
    from dlkd.progress import progress_bar, reading

    chosen, data = asked.settle(file)
    with progress_bar(err) as bar:
        study = make_study(file.search, asked.registry, data, chosen, reading(bar))
    file = file.settle(asked.preset, list(map(str, asked.datasets)), asked.categories, chosen.train)
    if dry_run:
        _print_search(file, study, search_folder(study, asked.registry, asked.store))
        return
    verify_data(asked.registry, [(node, name) for node, names in data for name in names], err)
    folder = asked.folder or Path("runs") / file_name(file.name)
    _run(file, study, asked, folder)


def _run(file: SearchFile, study: Study, asked: Asked, folder: Path) -> None:
    """Run a search and write what it found, also where it is broken off."""
    from dlkd.ablations.search.records import FAILED, read_tried
    from dlkd.ablations.search.runner import run_search
    from dlkd.ablations.search.study import search_folder

    session.if_interrupted(
        "finished trials are kept; running ones lose the steps since their last checkpoint. The same command "
        f"continues; dlkd report {shlex.quote(str(folder))} shows the finished trials"
    )
    place = search_folder(study, asked.registry, asked.store)
    ended = False
    try:
        run_search(study, asked.registry, asked.store, asked.pool, err, force=asked.force)
        ended = True
    finally:
        tried = [t for t in read_tried(place) if t.finished or t.status == FAILED]
        if tried:
            _write_found(tried, file, study, asked, folder, ended=ended)
    write_reports(folder)
    failed = [f"trial {t.number}: {t.reason}" for t in tried if t.status == FAILED]
    if failed:
        raise ValueError(f"{len(failed)} trials failed; the report shows them:\n" + "\n".join(failed))


def _write_found(
    tried: list[Tried], file: SearchFile, study: Study, asked: Asked, folder: Path, *, ended: bool
) -> None:
    """Write what a search tried; one that was broken off never writes less than its folder holds."""
    from dlkd.ablations.search.records import trial_key
    from dlkd.ablations.search.report import SearchReport
    from dlkd.ablations.search.results import holds_less, search_trials, write_found

    usual = study.usual(asked.registry)
    key = None if usual is None else trial_key(usual)
    trials = search_trials(tried, file)
    if ended or not holds_less(trials, folder):
        write_found(SearchReport(trials, file, key, asked.own_files), folder)


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


def tuning_forecast(
    searches: Searches, cells: Sequence[Cell], seconds: Mapping[str, float], asked: Asked
) -> Iterator[str]:
    """What the rows' searches add to a run, in lines; `seconds` of the cells that are to be trained, by key."""
    from dlkd.ablations.run.duration import duration

    for grid, rows in searches.items():
        yield from (f"{grid}: '{each.row.label}' is not tuned: {each.passed_over}" for each in rows if each.passed_over)
        left = {each.row.label: each.left(asked.registry, asked.store) for each in rows if each.study is not None}
        every = sum(each.study.search.trials for each in rows if each.study is not None)
        if not sum(left.values()):
            yield f"{grid}: all {every} settings of {len(left)} rows were tried; the cells have what was chosen"
            continue
        places = next(len(each.study.data) for each in rows if each.study is not None)
        one = {each.row.label: _one_setting(grid, each, cells, seconds) for each in rows}
        known = sum(one[label] * count for label, count in left.items())
        time = f"; at most about {duration(known)} one at a time" if known else ""
        yield (
            f"{grid}: before the cells, {sum(left.values())} of {every} settings of {len(left)} rows are tried on "
            f"validation pictures, in {places} {'category' if places == 1 else 'categories'} each{time}"
        )


def _one_setting(grid: str, each: RowSearch, cells: Sequence[Cell], seconds: Mapping[str, float]) -> float:
    """Seconds of a training of a row in each category; 0 where all its cells are done."""
    own = [cell for cell in cells if (grid, each.row.label) in cell.rows and cell.key in seconds]
    first = min((cell.spec.seed for cell in own), default=0)
    return sum(seconds[cell.key] for cell in own if cell.spec.seed == first)
