"""Pictures of a report: drawn again where what they rest on has changed, and found by their own names."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlkd import drawing
from dlkd.ablations.report import pictures
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.plots import draw
from dlkd.ablations.report.write import write_report


@pytest.fixture
def again(grid, trials_of, alone, keep, tmp_path, monkeypatch):
    """Writes the report of a grid once more, after a change of its trials; names what was drawn."""
    cells = grid(rows=("A", "B"))
    first = trials_of(cells, means=(0.8, 0.9), seeds=(0,))
    keep(tmp_path / "store", first)
    drawn = []

    def note(data):
        drawn.append(type(data).__name__)
        return drawing.LiteralFigure((1, 1))

    def write(trials=first, seconds=0.02):
        drawn.clear()
        write_report(trials, [cells], tmp_path / "store", tmp_path / "out", alone(cells, seconds=seconds))
        return sorted(drawn)

    monkeypatch.setattr(draw, "draw", note)
    assert write() == ["Categories", "Costs", "Curves", "Effects", "Examples", "PairPoints", "Profile"]
    write.trials = first
    return write


def test_a_picture_is_drawn_again_where_its_data_changed_and_nowhere_else(again, tmp_path):
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.*") if path.is_file()}
    assert again() == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.*") if path.is_file()} == before
    changed = again.trials.assign(value=again.trials["value"] + 0.001 * (again.trials["row"] == "A"))
    assert again(changed) == ["Categories", "Costs", "Effects", "PairPoints", "Profile"]
    slower = {"trials": changed, "seconds": 0.03}
    assert again(**slower) == ["Costs"]
    key = again.trials["key"][0]
    (tmp_path / "store" / key / "result.json").write_text(json.dumps({"curve": [{"step": 1, "total": 3.0}]}))
    assert again(**slower) == ["Curves"]
    kept = dict(np.load(tmp_path / "store" / key / "examples.npz"))
    np.savez(tmp_path / "store" / key / "examples.npz", **kept | {"scores": kept["scores"] + 1})
    assert again(**slower) == ["Examples"]
    assert again(**slower) == []


def test_a_picture_that_is_not_as_it_was_written_is_drawn_again(again, tmp_path):
    folder = tmp_path / "out" / "pictures"
    (folder / "table4-effects.png").unlink()
    (folder / "table4-costs.png").write_bytes((folder / "table4-costs.png").read_bytes()[:-9])
    (folder / "table4-curves.png").write_bytes((folder / "table4-categories.png").read_bytes() + b"x")
    assert again() == ["Costs", "Curves", "Effects"]
    assert again() == []
    for broken in ("", "[]", '{"pictures/table4-effects.png": []}'):
        (folder / "drawn.json").write_text(broken)
        assert len(again()) == 7


def test_other_code_and_another_library_draw_all_pictures_again(again, monkeypatch):
    monkeypatch.setattr(pictures, "LIBRARIES", ("matplotlib",))
    pictures._drawn_by.cache_clear()
    assert len(again()) == 7
    monkeypatch.setattr(pictures, "CODE", pictures.CODE[1:])
    pictures._drawn_by.cache_clear()
    assert len(again()) == 7
    pictures._drawn_by.cache_clear()


def test_the_code_that_draws_is_known_whole():
    root = Path(pictures.__file__).parents[2]
    plots = (root / "ablations/report/plots").glob("[!_]*.py")
    assert set(pictures.CODE) >= {f"ablations/report/plots/{path.name}" for path in plots}
    data = {"ablations/report/pair_data.py", "ablations/report/plot_data.py", "ablations/stored/trials.py", "files.py"}
    for file in set(pictures.CODE) - {"ablations/report/words/entries.py"}:
        text = (root / file).read_text(encoding="utf-8")
        imported = {f"{name.replace('.', '/')}.py" for name in re.findall(r"from dlkd\.([\w.]+) import", text)}
        assert imported <= {*pictures.CODE, *data}, file


def test_what_no_font_has_is_said_below_the_picture(grid, trials_of, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_others", list)
    drawing._family.cache_clear()
    factors = [{"划 [/x]": g, "_$b": p} for g in (False, True) for p in (False, True)]
    cells = grid("g", rows=("none", "b", "a", "both"), paper=False, factors=factors)
    trials = trials_of(cells, means=(0.5, 0.6, 0.7, 0.8), seeds=(0,))
    pictures = make_report(trials[trials["metric"] == "pro"], [cells], tmp_path).sections[0].pictures
    drawing._family.cache_clear()
    captions = {picture.title: picture.caption for picture in pictures}
    assert captions["Effects"].endswith("No font of this machine has the characters of: [1] 划.")
    assert "No font" not in captions["By category"]


def test_grids_of_similar_names_share_no_picture_and_no_anchor(grid, trials_of, undrawn, tmp_path):
    grids = [grid(name=name, paper=False, rows="A") for name in ("划痕", "凹陷", "a b", "a-b", "A-B", "[x]")]
    trials = pd.concat([trials_of(g, means=(0.5,), seeds=(0,)) for g in grids], ignore_index=True)
    trials = trials[trials["metric"] == "pro"]
    report = make_report(trials, grids, tmp_path)
    files = [picture.file for section in report.sections for picture in section.pictures]
    assert len({file.casefold() for file in files}) == len(files) == 12
    assert len({section.anchor for section in report.sections}) == len(grids)
    page = html(report)
    for section in report.sections:
        assert page.count(f'href="#{section.anchor}"') == page.count(f'id="{section.anchor}"') == 1
