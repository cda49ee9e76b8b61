"""The files of a report: whole, the same for the same trials, and with every name as it was written."""

import re
import shutil

import numpy as np
import pytest

from dlkd.ablations.report import write
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.markdown import escape
from dlkd.ablations.report.write import write_report
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.cli.report import write_reports
from dlkd.text import plain


def test_files_and_pictures(full):
    _, _, folder, texts = full
    assert set(texts) == {"report.html", "report.md", "report.tex"}
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", texts["report.md"])
    assert len(linked) == 14
    for name in linked:
        assert (folder / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_nothing_outside_itself(page_of, full):
    _, _, _, texts = full
    page = page_of(texts["report.html"])
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(" not in texts["report.html"]
    assert "@import" not in texts["report.html"]
    assert len(page.images) == 14
    assert all(len(image["alt"]) > 20 for image in page.images)


def test_the_same_trials_give_the_same_bytes(alone, full, tmp_path):
    trials, grids, folder, texts = full
    shutil.copytree(folder / "out", tmp_path / "again")  # with its pictures, which are not drawn again
    for path in write_report(trials, grids, folder / "store", tmp_path / "again", alone(*grids)):
        assert path.read_text(encoding="utf-8") == texts[path.name]
    [section] = make_report(trials, grids[1:], folder / "store", measured=alone(*grids)).sections
    assert len(section.pictures) == 7
    for picture in section.pictures:
        assert picture.png == (folder / "out" / picture.file).read_bytes()


def test_a_report_segments_the_rows_that_are_asked_for(full, undrawn, tmp_path, monkeypatch):
    trials, grids, folder, _ = full
    write_run(tmp_path, trials, grids, folder / "store", RunIdentity())
    told = []
    monkeypatch.setattr(
        write, "write_report", lambda trials, grids, *_: told.append([g.segmented for g in grids]) or []
    )
    for rows in ((), ("LFRB", "DLKD")):
        write_reports(tmp_path, rows)
    assert told == [[(), ()], [("LFRB", "DLKD"), ("DLKD",)]]
    with pytest.raises(ValueError, match="table 'table4' has no row 'LRFB'; did you mean 'LFRB'"):
        write_reports(tmp_path, ["LRFB"])
    chosen = [grid.model_copy(update={"segmented": ("DLKD",)}) for grid in grids]
    [_, section] = make_report(trials, chosen, folder / "store").sections
    assert [picture.file for picture in section.pictures][:2] == [
        f"pictures/untrained-{kind}.png" for kind in ("examples", "segmentations")
    ]


def test_labels_cannot_break_the_page_or_the_tables(grid, trials_of, keep, undrawn, tmp_path):
    nasty = "<script>alert(1)</script> | A & B_1 50%"
    cells = grid(rows=(nasty, "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path / "store", trials)
    paths = write_report(trials, [cells], tmp_path / "store", tmp_path / "out")
    page, markdown, latex = (path.read_text(encoding="utf-8") for path in paths)
    assert page.count("<script>") == 1
    assert page.count("&lt;script&gt;alert(1)") >= 2
    rows = [line for line in markdown.splitlines() if line.startswith("| \\<script>")]
    assert rows
    assert all(len(re.split(r"(?<!\\)\|", line)) in (12, 13) for line in rows)
    assert r"A \& B\_1 50\%" in latex


NASTY = [
    *("PRL [w/o gate] :x: [/x]", "_$x", "$a$ $\\frac{$", "50% #1 & ~ ^ a | `b` <b>", "划痕 検査 결함 سلام 😀", "\\\\"),
    "a very long label of a row that goes on and on, " * 5 + "to its end",
]


def test_names_are_shown_as_they_are_in_every_format(grid, trials_of, keep, page_of, tmp_path):
    """No warning (they are errors), no formula, no lost text, whatever a row, category or data set is called."""
    cells = grid(name=NASTY[2], rows=NASTY, paper=False)
    trials = trials_of(cells, means=np.linspace(0.5, 0.9, len(NASTY)), categories=NASTY[2:4], seeds=(0,))
    trials = trials[trials["metric"] == "pro"].assign(dataset=plain("[d] \udcff $\n"))
    keep(tmp_path / "store", trials)
    page, markdown, latex = (
        path.read_text(encoding="utf-8") for path in write_report(trials, [cells], tmp_path / "store", tmp_path / "out")
    )
    shown = "".join(text for table in page_of(page).tables for line in table for text in line)
    for name in NASTY:
        assert name in shown
        assert f"| {escape(name)} |" in markdown
    assert r"on [d] \xff $\n" in page
    assert latex.count(r" \\" + "\n") == len(NASTY) + 2
    assert len(list((tmp_path / "out" / "pictures").glob("*.png"))) == 5
