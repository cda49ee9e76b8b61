"""Rows with hosts: each is compared with its own, in figures, words and all formats."""

import pytest

from dlkd.ablations.ablation import Ablation
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.deciding import deciding_pairs
from dlkd.ablations.report.html import html
from dlkd.ablations.report.latex import latex
from dlkd.ablations.report.markdown import markdown
from dlkd.ablations.report.tables import tabulate

MEANS = {"RD": 0.80, "RD + FRM": 0.86, "STFPM": 0.90, "STFPM + LFRB": 0.85, "PatchCore": 0.95}


@pytest.fixture
def cells():
    rows = [GridRow(label=label, variant="v" + label, host=label.split(" + ")[0] if "+" in label else None)
            for label in MEANS]  # fmt: skip
    return Grid(name="t", title="Do parts move?", source="not in the paper", rows=rows)


def test_a_row_is_compared_with_its_host_alone(cells, trials_of):
    table = tabulate(trials_of(cells, means=tuple(MEANS.values())), cells)
    assert [(row.compared, row.role) for row in table.rows] == [
        *(("", "host"), ("RD", ""), ("", "host"), ("STFPM", ""), ("", "")),
    ]
    differences = [row.entries["image_auroc"].difference for row in table.rows]
    assert differences[1::2] == [pytest.approx(6, abs=0.5), pytest.approx(-5, abs=0.5)]
    assert [(pairs.row, pairs.other) for pairs in deciding_pairs(table.trials, cells)] == [
        *(("RD + FRM", "RD"), ("STFPM + LFRB", "STFPM")),
    ]


def test_every_format_names_the_hosts_and_what_the_part_does(cells, trials_of, tmp_path, undrawn):
    report = make_report(trials_of(cells, means=tuple(MEANS.values())), [cells], tmp_path)
    [section] = report.sections
    assert "Helps: 'RD + FRM' over 'RD' (+6." in section.headline.decided[0]
    assert "Harms: 'STFPM + LFRB' over 'STFPM' (−5." in section.headline.decided[1]
    assert section.sentences[0].startswith("'RD + FRM' against its host, 'RD': 'RD + FRM' over 'RD' helps")
    against = "points against its host ('RD' for 'RD + FRM'; 'STFPM' for 'STFPM + LFRB')"
    assert any(against in note for note in section.notes)
    assert "difference to its host" in markdown(report)
    assert "points against its host." in latex(report)
    assert html(report).count('<span class="badge">host</span>') >= 2
    assert report.training == []


def test_in_python_a_reference_may_still_be_named(cells, trials_of, tmp_path):
    ablation = Ablation((cells,), tmp_path, tmp_path, trials_of(cells, means=tuple(MEANS.values())))
    own = ablation.differences("image_auroc")
    assert own["label"].drop_duplicates().tolist() == ["RD + FRM", "STFPM + LFRB"]
    named = ablation.differences("image_auroc", reference="PatchCore")
    assert named["label"].drop_duplicates().tolist() == [label for label in MEANS if label != "PatchCore"]
