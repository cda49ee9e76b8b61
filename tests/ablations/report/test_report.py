"""What a report says of trials whose figures are known, and that the page works in a browser."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlkd import drawing
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report import pictures
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.markdown import escape
from dlkd.ablations.report.pair_data import courses, pair_points
from dlkd.ablations.report.plot_data import costs, curves, examples, profile
from dlkd.ablations.report.plots import draw
from dlkd.ablations.report.plots.courses import draw_courses
from dlkd.ablations.report.plots.learning_curves import learning_curves
from dlkd.ablations.report.plots.pair_points import draw_pair_points
from dlkd.ablations.report.plots.picture_grid import picture_grid
from dlkd.ablations.report.plots.profile import draw_profile
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.report.words.conditions import cost_note, failures, low_trainings
from dlkd.ablations.report.write import write_report
from dlkd.ablations.run.costs import Measured
from dlkd.text import plain

METRICS = ("image_auroc", "pixel_auroc", "pro")
PAPER = {"image_auroc": 99.48, "pixel_auroc": 98.06, "pro": 94.38}
CATEGORIES = ("brick", "grass", "gravel")


def grid(name="table4", rows=("LFRB", "LFRB + GFRB", "DLKD"), paper=True, factors=()):
    made = [
        GridRow(label=r, variant=f"v{i}", paper=PAPER if paper else {}, factors=factors[i] if factors else {})
        for i, r in enumerate(rows)
    ]
    return Grid(
        name=name, title=f"Title of {name}", source="its source", rows=made, reference=rows[-1], stepwise=not factors
    )


def trials_of(grid, *, means, categories=CATEGORIES, seeds=(0, 1), dataset="textures", spread=0.01):
    """Long format; row i has `means[i]` in every metric, give or take a known amount per category and per seed."""
    lines = []
    for i, (row, mean) in enumerate(zip(grid.rows, means, strict=True)):
        for c, category in enumerate(categories):
            for seed in seeds:
                # Over the seeds it adds up to nothing, and no two rows have the same.
                jitter = 0.002 * (1 + 0.5 * ((i + c) % 3)) * (seed - sum(seeds) / len(seeds))
                for metric in METRICS:
                    lines.append(
                        {
                            **{"table": grid.name, "row": row.label, "dataset": dataset, "category": category},
                            **{
                                "seed": seed,
                                "metric": metric,
                                "value": mean + spread * (c - 1) + jitter,
                                "status": "ok",
                            },
                            **{"reason": "", "variant": row.variant, "key": f"{row.variant}-{category}-{seed}"},
                            **{
                                "image_size": 128,
                                "epochs": 1000,
                                "max_steps": 16,
                                "settings": "teacher tf_efficientnet_lite0",
                            },
                            **{"pro_limit": 0.3, "score_at": "network"},
                            **{"parameters": 2e6, "flops": 5e8, "train_seconds": 10.0},
                        }
                    )
    return pd.DataFrame(lines)


def alone(*grids, seconds=0.02):
    """What was measured of each row alone."""
    about = {"key": "k", "device": "a processor", "threads": 2, "day": "2026-11-28"}
    found = {"latency_1": seconds, "latency_8": 0.1, "images_per_second": 80.0, "peak_memory_bytes": 2.0**26}
    return {(g.name, row.label): Measured(g.name, row.label, **found, **about) for g in grids for row in g.rows}


def fail(trials, row, category, seed, reason):
    at = (trials["row"] == row) & (trials["category"] == category) & (trials["seed"] == seed)
    costs = ["parameters", "flops", "train_seconds"]
    trials.loc[at, ["value", *costs]] = np.nan
    trials.loc[at, ["status", "reason"]] = ["failed", reason]


def undefine(trials, metrics, reason, category=None):
    at = trials["metric"].isin(metrics)
    if category:
        at &= trials["category"] == category
    trials.loc[at, "value"] = np.nan
    trials.loc[at, ["status", "reason"]] = ["undefined", reason]


def keep(store, trials, *, side=32, masks=True):
    """What trained trials leave in their folders."""
    image = np.full((3, side, side, 3), 120, np.uint8)
    mask = np.zeros((3, side, side), bool)
    mask[1:, 8:20, 8:20] = True
    for i, key in enumerate(trials["key"].unique()):
        folder = store / key
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / "examples.npz",
            **{"images": image, "maps": (1 + i + mask).astype(np.float16), "names": np.array(["a", "b", "c"])},
            **{"masks": mask if masks else np.empty(0, bool), "scores": np.array([1.0, 2.0, 2.0]) + i},
            **{"labels": np.array([0, 1, 1]), "threshold": np.array(0.975 + i)},
        )
        curve = [{"epoch": e, "step": 8 * e, "total": 4 / e, "ckd": 2 / e} for e in (1, 2)]
        result = {"curve": curve, "versions": {"torch": "9.9.9", "revision": "0123456789" * 4}}
        (folder / "result.json").write_text(json.dumps(result))


class Page(HTMLParser):
    """Tables as lists of lists of text, and every address."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.addresses, self.images = [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "srcset") if attributes.get(name)]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag == "img":
            self.images.append(attributes)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._cell:
            self.tables[-1][-1][-1] = " ".join((self.tables[-1][-1][-1] + " " + data).split())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report of two grids, one with the paper's figures and one with an untrained row, store and all."""
    folder = tmp_path_factory.mktemp("report")
    four, untrained = grid(), grid("untrained", rows=("untrained student", "DLKD"), paper=False)
    one = trials_of(four, means=(0.90, 0.95, 0.97))
    # The reference's cells, shared with an earlier table, come first, as `collect` gives them.
    one = pd.concat([one[one["row"] == "DLKD"], one[one["row"] != "DLKD"]])
    two = trials_of(untrained, means=(0.50, 0.97)).assign(key=lambda t: "u-" + t["key"])
    two.loc[two["row"] == "untrained student", "epochs"] = 0
    trials = pd.concat([one, two], ignore_index=True)
    fail(trials, "LFRB", "grass", 1, "NonFiniteLossError: at step 3")
    keep(folder / "store", trials)
    shutil.rmtree(folder / "store" / "v0-grass-1")
    paths = write_report(trials, [four, untrained], folder / "store", folder / "out", alone(four, untrained))
    return trials, [four, untrained], folder, {path.name: path.read_text(encoding="utf-8") for path in paths}


def test_files_and_pictures(full):
    _, _, folder, texts = full
    assert set(texts) == {"report.html", "report.md", "report.tex"}
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", texts["report.md"])
    assert len(linked) == 14
    for name in linked:
        assert (folder / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_nothing_outside_itself(full):
    _, _, _, texts = full
    page = Page(texts["report.html"])
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "url(" not in texts["report.html"]
    assert "@import" not in texts["report.html"]
    assert len(page.images) == 14
    assert all(len(image["alt"]) > 20 for image in page.images)


def test_paper_and_measured_stand_in_columns_of_their_own(full):
    _, _, _, texts = full
    table = Page(texts["report.html"]).tables[0]
    assert [name.removesuffix(" ") for name in table[1]] == ["paper", "measured", "difference to the row above"] * 3
    assert [row[0].split(" reference")[0] for row in table[2:]] == ["LFRB", "LFRB + GFRB", "DLKD"]
    gfrb = table[3]
    assert gfrb[1] == "99.48"
    assert gfrb[2].startswith("95.00 94.")
    assert table[2][3] == "–"
    assert re.fullmatch(r"\+2\.00 \+1\.\d\d to \+2\.\d\d better, p .+", table[4][3])
    assert re.fullmatch(r"\+2\.00", table[4][6])  # exploratory
    assert "| LFRB + GFRB | 99.48 | **95.00**<br>94." in texts["report.md"]
    assert re.search(r"DLKD & 99\.48 & 97\.00 \(96\.\d\d to 97\.\d\d\) & \+2\.00 \(\+1\.\d\d to ", texts["report.tex"])


def test_a_grid_without_paper_figures_has_no_paper_column(full):
    _, _, _, texts = full
    assert Page(texts["report.html"]).tables[2][1] == ["measured", "difference to the row above"] * 3
    assert "paper" not in texts["report.md"].split("## Title of untrained")[1].split("###")[0].replace("paper's", "")


def test_a_failed_cell_is_named_and_its_average_marked(full):
    _, _, _, texts = full
    for text in (texts["report.html"], texts["report.md"]):
        assert "LFRB, textures/grass, seed 1: NonFiniteLossError: at step 3" in text
        assert "1 cell failed: a row with a failed cell is never said to help, and its average is partial." in text
    assert "partial: 1 of 6 cells missing" in Page(texts["report.html"]).tables[0][2][2]
    assert all("partial: 1 of 6 cells missing" in texts[name] for name in texts)
    assert "partial" not in Page(texts["report.html"]).tables[0][3][2]


def test_costs_are_those_measured_alone_and_say_with_what(full):
    _, _, _, texts = full
    row = Page(texts["report.html"]).tables[1][1]
    assert row[:8] == ["LFRB", "2.00 M", "0.500", "20.0", "100.0", "80.0", "64", "10 s"]
    assert "| LFRB | 2.00 M | 0.500 | 20.0 | 100.0 | 80.0 | 64 | 10 s |" in texts["report.md"]
    said = "each row alone in a new process (a processor, 2 threads, on 2026-11-28)"
    assert all(said in texts[name] for name in ("report.html", "report.md"))


def test_rows_that_were_not_measured_have_no_time_and_say_why(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    text, page = text_of(trials, [cells], tmp_path)
    assert page.tables[1][1][3:7] == ["–"] * 4
    assert "Time and memory of scoring were not measured" in text
    measured = alone(cells) | {("table4", "B"): Measured("table4", "B", note="out of memory")}
    table = make_report(trials, [cells], tmp_path, measured=measured).sections[0].table
    assert cost_note(table).endswith("Not measured: B (out of memory).")
    assert [math.isnan(row.milliseconds) for row in costs(table).rows] == [False, True]


def test_the_untrained_network_is_easy_to_see(full):
    _, _, _, texts = full
    assert 'class="untrained"' in texts["report.html"]
    assert Page(texts["report.html"]).tables[2][2][0] == "untrained student untrained"
    assert "| Image-AUROC | 50.00 | **97.00** | +47.00 |" in texts["report.md"]
    assert "Helps: training 'DLKD' (+47.00 points, 95% interval" in texts["report.md"]


def test_how_it_was_measured(full):
    _, _, _, texts = full
    for said in (
        "textures (brick, grass, gravel)",
        "128 pixels",
        "29 trained and scored, 1 failed",
        "16 steps",
        "torch 9.9.9",
        "revision 012345678901",
        "4 min 50 s in all cells together",  # 30 cells of 10 s, of which one failed
        "MVTec AD with a ResNet18 teacher at 256 pixels",
        "The values of the two are therefore not comparable",
    ):
        assert said in texts["report.html"]
        assert said in texts["report.md"].replace("\\", "")


def test_steps_follow_the_rows_of_the_grid_not_of_the_trials(full):
    trials, grids, _, _ = full
    table = tabulate(trials, grids[0])
    assert set(zip(table.differences["row"], table.differences["other"], strict=True)) == {
        ("LFRB + GFRB", "LFRB"),
        ("DLKD", "LFRB + GFRB"),
    }


def test_the_same_trials_give_the_same_bytes(full):
    trials, grids, folder, texts = full
    again = write_report(trials, grids, folder / "store", folder / "again", alone(*grids))
    for path in again:
        assert path.read_text(encoding="utf-8") == texts[path.name]
    for picture in (folder / "out/pictures").glob("*.png"):
        assert picture.read_bytes() == (folder / "again/pictures" / picture.name).read_bytes()


def text_of(trials, grids, store):
    page = html(make_report(trials, grids, store))
    return page, Page(page)


def test_undefined_metrics_say_why_and_are_never_zero(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), dataset="elpv", categories=("mono", "poly"))
    undefine(trials, ["pixel_auroc", "pro"], "the test images have no masks")
    keep(tmp_path, trials, masks=False)
    _, page = text_of(trials, [cells], tmp_path)
    row = page.tables[0][2]
    assert row[5] == "undefined: the test images have no masks (elpv/mono, elpv/poly)"
    assert row[6] == "–"
    assert "0.00" not in " ".join(row[4:])


def test_a_metric_undefined_in_one_category_averages_the_others(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    undefine(trials, ["pro"], "no anomalous test image", "brick")
    text, page = text_of(trials, [cells], tmp_path)
    assert page.tables[0][2][8].startswith("80.50")
    assert "PRO is undefined where: no anomalous test image (textures/brick)." in text


def test_when_all_of_a_row_failed_the_row_says_so(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    fail(trials, "A", "brick", 0, "killed for memory")
    _, page = text_of(trials, [cells], tmp_path)
    assert page.tables[0][2][2] == "failed: killed for memory"
    assert page.tables[0][3][2].startswith("90.00") or page.tables[0][3][2].startswith("89.00")


def test_when_everything_failed_there_is_still_a_report(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    for row in ("A", "B"):
        fail(trials, row, "brick", 0, "killed for memory")
    trials = trials.drop(columns=["parameters", "flops", "train_seconds"])
    _, page = text_of(trials, [cells], tmp_path)
    assert page.tables[0][3][2] == "failed: killed for memory"
    assert len(page.images) == 2  # the effects and categories, which say that there is no figure


def test_one_row_one_category_one_seed(tmp_path):
    cells = grid(rows=("A",))
    text, page = text_of(trials_of(cells, means=(0.8,), categories=("brick",), seeds=(0,)), [cells], tmp_path)
    assert page.tables[0][1] == ["paper", "measured"] * 3
    assert page.tables[0][2][2] == "79.00"
    assert "No interval (one seed per category: train two or more)." in text


def test_labels_cannot_break_the_page_or_the_tables(tmp_path):
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


def test_names_are_shown_as_they_are_in_every_format(tmp_path):
    """No warning (they are errors), no formula, no lost text, whatever a row, category or data set is called."""
    cells = grid(name=NASTY[2], rows=NASTY, paper=False)
    trials = trials_of(cells, means=np.linspace(0.5, 0.9, len(NASTY)), categories=NASTY[2:4], seeds=(0,))
    trials = trials[trials["metric"] == "pro"].assign(dataset=plain("[d] \udcff $\n"))
    keep(tmp_path / "store", trials)
    page, markdown, latex = (
        path.read_text(encoding="utf-8") for path in write_report(trials, [cells], tmp_path / "store", tmp_path / "out")
    )
    shown = "".join(text for table in Page(page).tables for line in table for text in line)
    for name in NASTY:
        assert name in shown
        assert f"| {escape(name)} |" in markdown
    assert r"on [d] \xff $\n" in page
    assert latex.count(r" \\" + "\n") == len(NASTY) + 2
    assert len(list((tmp_path / "out" / "pictures").glob("*.png"))) == 5


def test_what_no_font_has_is_said_below_the_picture(tmp_path, monkeypatch):
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


def test_grids_of_similar_names_share_no_picture_and_no_anchor(tmp_path):
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


def test_factorial_grids_speak_of_factors(tmp_path):
    factors = [{"GFRB": g, "PRL": p} for g in (False, True) for p in (False, True)]
    cells = grid("components", rows=("none", "PRL", "GFRB", "both"), paper=False, factors=factors)
    trials = trials_of(cells, means=(0.80, 0.80, 0.90, 0.90), seeds=(0, 1, 2))
    report = make_report(trials, [cells], tmp_path)
    assert "Helps: GFRB (+10.00 points" in report.sections[0].headline
    assert "Changes nothing beyond 0.5 points: PRL (" in report.sections[0].headline
    assert set(report.sections[0].table.differences["other"]) == {"both"}


def test_effects_of_levels_are_those_against_the_references(tmp_path):
    levels = [{"scan": scan, "PRL": on} for scan in ("rows", "cross", "Hilbert") for on in (False, True)]
    cells = grid("g", rows=tuple("abcdef"), paper=False, factors=levels).model_copy(update={"reference": "d"})
    trials = trials_of(cells, means=(0.6, 0.7, 0.8, 0.9, 0.5, 0.6), spread=0.0)
    effects = tabulate(trials, cells).effects
    of_pro = effects[effects["metric"] == "pro"].set_index("row")["estimate"]
    assert list(dict.fromkeys(effects["row"])) == [
        *("scan=rows", "scan=Hilbert", "PRL", "scan=rows x PRL", "scan=Hilbert x PRL")
    ]
    assert of_pro["scan=rows"] == pytest.approx(-0.2, abs=0.01)
    assert of_pro["scan=Hilbert"] == pytest.approx(-0.3, abs=0.01)
    assert of_pro["PRL"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("means", "says"),
    [
        ((0.60, 0.90, 0.90, 0.90), "Overlap, each adding less with the other than without it: GFRB x PRL ("),
        (
            (0.60, 0.60, 0.60, 0.90),
            "Reinforce each other, each adding more with the other than without it: GFRB x PRL (",
        ),
        ((0.60, 0.70, 0.80, 0.90), None),
    ],
)
def test_factors_that_replace_or_need_each_other_are_called_so(tmp_path, means, says):
    factors = [{"GFRB": g, "PRL": p} for g in (False, True) for p in (False, True)]
    cells = grid("components", rows=("none", "PRL", "GFRB", "both"), paper=False, factors=factors)
    headline = make_report(trials_of(cells, means=means, seeds=(0, 1, 2)), [cells], tmp_path).sections[0].headline
    assert "Helps: GFRB (+" in headline
    assert headline.count("than without it") == (says is not None)
    assert (says or "") in headline


def test_no_two_rows_have_the_same_line(tmp_path):
    cells = grid(rows=[str(i) for i in range(16)])
    trials = trials_of(cells, means=[0.9] * 16)
    for key in trials["key"].unique():
        (tmp_path / key).mkdir()
        curve = [{"epoch": 0, "step": step, "total": 1.0} for step in (1, 2)]
        (tmp_path / key / "result.json").write_text(json.dumps({"curve": curve}))
    lines = learning_curves(curves(tabulate(trials, cells), tmp_path)).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16


def test_failures_of_one_reason_stand_together(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    for category in CATEGORIES[:2]:
        for seed in (0, 1):
            fail(trials, "A", category, seed, "killed")
    fail(trials, "A", "gravel", 1, "NaN")
    table = tabulate(trials, cells)
    assert table.failed_cells == 5
    assert failures(table) == [
        "A, 4 cells: textures/brick, seeds 0, 1; textures/grass, seeds 0, 1: killed",
        "A, textures/gravel, seed 1: NaN",
    ]


def test_a_row_that_does_harm_is_called_so(tmp_path):
    cells = grid(rows=("A", "B", "C"))
    trials = trials_of(cells, means=(0.80, 0.90, 0.85), seeds=range(4))
    says = make_report(trials, [cells], tmp_path).sections[0].headline
    helps, harm = says.split("Harms:")
    assert "'B' over 'A' (+10.00 points" in helps
    assert "'C' over 'B' (−5.00 points" in harm


def test_too_few_cells_for_any_verdict_is_said(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.1, 0.9), seeds=(0,))
    says = make_report(trials, [cells], tmp_path).sections[0].headline
    assert "Open: 'B' over 'A' (+80.00 points; one seed per category: train two or more)." in says


def test_the_papers_own_setting_is_not_called_incomparable(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), dataset="mvtec").assign(
        image_size=256, settings="teacher resnet18.tv_in1k"
    )
    assert make_report(trials, [cells], tmp_path).comparable.endswith("same data, teacher and image size.")


def test_how_pixel_metrics_were_taken_is_said_and_sizes_go_by_number(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    assert dict(make_report(trials, [cells], tmp_path).facts)["Pixel metrics"] == (
        "at the network's image size; PRO up to a false-positive rate of 0.3"
    )
    first = trials["row"] == "A"
    mixed = trials.assign(pro_limit=0.3, image_size="128")
    mixed.loc[first, ["pro_limit", "image_size", "score_at"]] = [0.05, "64", "native"]
    facts = dict(make_report(mixed, [cells], tmp_path).facts)
    assert facts["Image size"] == "64 and 128 pixels"
    assert facts["Pixel metrics"] == (
        "at the network's image size and each mask's own size; PRO up to a false-positive rate of 0.05 and 0.3; "
        "figures of different limits are not comparable"
    )


def test_a_grid_that_the_trials_lack_is_an_error(tmp_path):
    cells = grid()
    trials = trials_of(cells, means=(0.8, 0.9, 0.9))
    with pytest.raises(ValueError, match="nothing of grid 'losses'; they hold table4"):
        make_report(trials, [grid("losses")], tmp_path)


PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("load", () => {
  const table = document.querySelector("table.sortable");
  const rows = () => [...table.tBodies[0].rows].map(row => row.cells[0].firstChild.textContent.trim());
  const button = table.querySelectorAll("th button")[2];
  const orders = [rows()];
  for (let i = 0; i < 3; i++) {
    button.focus();
    button.click();
    orders.push([...rows(), button.parentElement.getAttribute("aria-sort")]);
  }
  const images = [...document.images].map(image => image.complete && image.naturalWidth > 0);
  const focused = document.activeElement === button;
  const wide = document.documentElement.scrollWidth > innerWidth;
  const fetched = performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).map(e => e.name);
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({errors, orders, images, focused, wide, fetched});
  document.body.append(found);
});
</script>
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1300,900", "500,900"])
def test_the_page_works_in_chromium(full, tmp_path, size):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    page = tmp_path / "page.html"
    page.write_text(full[3]["report.html"].replace("<head>", "<head>" + PROBE), encoding="utf-8")
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", "--enable-logging=stderr"),
        *("--virtual-time-budget=5000", "--dump-dom", page.as_uri()),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in ran.stderr
    said = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert said, ran.stderr[-2000:]
    found = json.loads(said[1])
    assert found["errors"] == []
    assert found["fetched"] == []
    assert len(found["images"]) == 12
    assert all(found["images"])
    rows = ["LFRB", "LFRB + GFRB", "DLKD"]
    assert found["orders"] == [
        rows,
        [*reversed(rows), "descending"],
        [*rows, "ascending"],
        [*rows, None],
    ]
    assert found["focused"]
    assert not found["wide"], "the page itself must not scroll sideways"


def test_pictures_take_turns_among_categories_and_one_is_normal(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=[f"c{i}" for i in range(12)])
    keep(tmp_path, trials)
    shutil.rmtree(tmp_path / "v1-c0-0")
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    assert titles == ["c0\nanomalous", "c0\nnormal", *(f"c{i}\nanomalous" for i in range(1, 7))]
    written = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert written == ["no\nresult"] * 2  # row B of the two images of c0
    # Maps and scores are in units of the variant's own threshold.
    scores = [axes.get_xlabel() for axes in drawn.axes if axes.get_xlabel()]
    assert scores[0] == f"{2 / 0.975:.2f}"
    assert scores[1] == f"{1 / 0.975:.2f}"


def test_normal_pictures_do_not_glow_and_missed_defects_do_not_hide_them(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    file = tmp_path / "v0-brick-0/examples.npz"
    kept = dict(np.load(file))
    kept["maps"][0] = 0.5  # the normal picture
    kept["maps"][0, 3, 3] = 0.8
    for name in ("v0-brick-0", "v1-brick-0"):
        np.savez(tmp_path / name / "examples.npz", **kept)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    assert drawn.axes[-1].get_xlim()[0] == pytest.approx(0.8 / 0.975, rel=1e-3)
    normal = next(i for i, axes in enumerate(drawn.axes) if axes.get_title().endswith("normal"))
    shown = np.asarray(drawn.axes[normal + 6].images[0].get_array())
    assert (shown == shown[..., :1]).all()  # grey
    kept["maps"][0, 3, 3] = 1.2  # a false alarm, whose colours begin where alarms do
    np.savez(file, **kept)
    assert picture_grid(examples(tabulate(trials, cells), tmp_path)).axes[-1].get_xlim()[0] == 1


def test_differences_by_category_and_seed_are_points(tmp_path):
    cells = grid()
    trials = trials_of(cells, means=(0.80, 0.90, 0.85))
    [axes] = draw_pair_points(pair_points(tabulate(trials, cells))).axes
    marks = [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    assert len(marks) == 2 * 3  # comparisons, categories
    assert all(len(line.get_xdata()) == 2 for line in marks)  # seeds
    assert sorted({round(float(np.mean(line.get_xdata())), 6) for line in marks}) == [-5, 10]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["LFRB + GFRB", "DLKD"]
    one = grid(rows=("A",))
    assert pair_points(tabulate(trials_of(one, means=(0.8,)), one)) is None


def test_a_profile_goes_from_the_hardest_category_to_the_easiest(tmp_path):
    cells = grid(rows=("A", "B"))
    there = trials_of(cells, means=(0.80, 0.90), spread=-0.05)  # brick is the easiest
    more = trials_of(cells, means=(0.70, 0.75), categories=("mono", "poly"))
    more = more.assign(dataset="elpv")
    fail(there, "B", "grass", 0, "x")
    fail(more, "A", "mono", 0, "x")
    fail(more, "A", "mono", 1, "x")
    data = profile(tabulate(pd.concat([there, more], ignore_index=True), cells), "pro")
    names = ["gravel", "grass", "brick", "poly", "mono"]
    assert data.categories == [("textures" if i < 3 else "elpv", name) for i, name in enumerate(names)]
    assert data.values["A", 2] == pytest.approx((85.0, 84.9, 85.1))  # mean, lowest and highest seed
    assert len(set(data.values["B", 1])) == 1
    assert ("A", 4) not in data.values
    [axes] = draw_profile(data).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == names
    assert {"textures", "elpv"} <= {text.get_text() for text in axes.texts}
    lines = [line for line in axes.lines if len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in lines] == [3, 1, 3, 2]  # of A and of B, by data set
    assert lines[0].get_ydata() == pytest.approx([75, 80, 85])
    one = trials_of(cells, means=(0.8, 0.9), categories=("brick",))
    assert profile(tabulate(one, cells), "pro") is None


def test_how_verdicts_settled_is_drawn_from_four_seeds_on(tmp_path):
    cells = grid()
    few, many = (trials_of(cells, means=(0.80, 0.90, 0.85), seeds=range(n)) for n in (3, 5))
    assert courses(tabulate(few, cells)) is None
    drawn = draw_courses(courses(tabulate(many, cells)))
    panels = [axes for axes in drawn.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["LFRB + GFRB", "DLKD"]
    estimate = next(line for line in panels[0].lines if len(line.get_xdata()) == 4)
    assert list(estimate.get_xdata()) == [2, 3, 4, 5]
    assert estimate.get_ydata()[-1] == pytest.approx(10)


def test_trainings_far_under_their_median_are_named(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), seeds=(0, 1, 2))
    assert low_trainings(tabulate(trials, cells)) == []
    at = (trials["row"] == "B") & (trials["category"] == "grass") & (trials["seed"] == 2)
    trials.loc[at, "value"] = 0.7
    assert low_trainings(tabulate(trials, cells)) == ["B, textures/grass, seed 2: 70.00 beside a median of 89.60"]
    assert (
        "1 training ten points or more under the median" in make_report(trials, [cells], tmp_path).sections[0].notes[-1]
    )


def test_a_variant_whose_scores_are_all_larger_looks_the_same(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    kept = dict(np.load(tmp_path / "v0-brick-0/examples.npz"))
    scaled = {name: kept[name] * 64 for name in ("maps", "scores", "threshold")}
    np.savez(tmp_path / "v1-brick-0/examples.npz", **kept | scaled)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn.axes[: 4 * 3]]
    for a, b in zip(pictures[6:9], pictures[9:12], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(pictures[6], pictures[0])


def test_rows_of_other_image_sizes_stand_in_one_picture(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    kept = dict(np.load(tmp_path / "v0-brick-0/examples.npz"))
    larger = {name: kept[name].repeat(2, axis=1).repeat(3, axis=2) for name in ("images", "maps", "masks")}
    np.savez(tmp_path / "v1-brick-0/examples.npz", **kept | larger)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn.axes[: 4 * 3]]
    h, w = kept["maps"].shape[1:]
    assert [p.shape[:2] for p in pictures[6:]] == [(h, w)] * 3 + [(2 * h, 3 * w)] * 3


def test_intervals_end_where_the_metric_ends(tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.001, 0.999), spread=0.0)
    table = tabulate(trials, cells)
    assert table.rows[0].entries["pro"].low == 0
    assert 0 < table.rows[0].entries["pro"].high < 100
    assert table.rows[1].entries["pro"].high == 100


@pytest.fixture
def again(tmp_path, monkeypatch):
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
    data = {"ablations/report/pair_data.py", "ablations/report/plot_data.py", "ablations/run/trials.py", "files.py"}
    for file in set(pictures.CODE) - {"ablations/report/words/entries.py"}:
        text = (root / file).read_text(encoding="utf-8")
        imported = {f"{name.replace('.', '/')}.py" for name in re.findall(r"from dlkd\.([\w.]+) import", text)}
        assert imported <= {*pictures.CODE, *data}, file
