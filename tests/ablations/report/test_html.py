"""What the page says of trials whose figures are known, and that it works in a browser."""

import dataclasses
import json
import math
import re
import shutil
import subprocess

import pytest

from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.plot_data import costs
from dlkd.ablations.report.words.conditions import cost_note
from dlkd.ablations.run.costs import Measured


def test_paper_and_measured_stand_in_columns_of_their_own(page_of, full):
    _, _, _, texts = full
    table = page_of(texts["report.html"]).tables[0]
    assert [name.removesuffix(" ") for name in table[1]] == ["paper", "measured", "difference to the row above"] * 3
    assert [row[0].split(" reference")[0] for row in table[2:]] == ["LFRB", "LFRB + GFRB", "DLKD"]
    gfrb = table[3]
    assert gfrb[1] == "99.48"
    assert gfrb[2].startswith("95.00 95% interval 94.")
    assert table[2][3] == "– not compared"
    assert re.fullmatch(r"\+2\.00 95% interval \+1\.\d\d to \+2\.\d\d better, p .+", table[4][3])
    assert re.fullmatch(r"\+2\.00", table[4][6])  # exploratory
    assert "| LFRB + GFRB | 99.48 | **95.00**<br>94." in texts["report.md"]
    assert re.search(r"DLKD & 99\.48 & 97\.00 \(96\.\d\d to 97\.\d\d\) & \+2\.00 \(\+1\.\d\d to ", texts["report.tex"])


def test_a_grid_without_paper_figures_has_no_paper_column(page_of, full):
    _, _, _, texts = full
    assert page_of(texts["report.html"]).tables[2][1] == ["measured", "difference to the row above"] * 3
    assert "paper" not in texts["report.md"].split("## Title of untrained")[1].split("###")[0].replace("paper's", "")


def test_a_failed_cell_is_named_and_its_average_marked(page_of, full):
    _, _, _, texts = full
    for text in (texts["report.html"], texts["report.md"]):
        assert "LFRB, textures/grass, seed 1: NonFiniteLossError: at step 3" in text
        assert "1 cell failed: a row with a failed cell is never said to help, and its average is partial." in text
    assert "partial: 1 of 6 cells missing" in page_of(texts["report.html"]).tables[0][2][2]
    assert all("partial: 1 of 6 cells missing" in texts[name] for name in texts)
    assert "partial" not in page_of(texts["report.html"]).tables[0][3][2]


def test_costs_are_those_measured_alone_and_say_with_what(page_of, full):
    _, _, _, texts = full
    row = page_of(texts["report.html"]).tables[1][1]
    assert row[:8] == ["LFRB", "2.00 M", "0.500", "20.0", "100.0", "80.0", "64", "10 s"]
    assert "| LFRB | 2.00 M | 0.500 | 20.0 | 100.0 | 80.0 | 64 | 10 s |" in texts["report.md"]
    said = "each row alone in a new process (a processor, 2 threads, on 2026-11-28)"
    assert all(said in texts[name] for name in ("report.html", "report.md"))


def test_rows_that_were_not_measured_have_no_time_and_say_why(grid, trials_of, alone, text_of, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    text, page = text_of(trials, [cells], tmp_path)
    assert page.tables[1][1][3:7] == ["– not measured"] * 4
    assert "Time and memory of scoring were not measured" in text
    measured = alone(cells) | {("table4", "B"): Measured("table4", "B", note="out of memory")}
    table = make_report(trials, [cells], tmp_path, measured=measured).sections[0].table
    assert cost_note(table).endswith("Not measured: B (out of memory).")
    assert "Other programs" not in cost_note(table)
    measured["table4", "A"] = dataclasses.replace(measured["table4", "A"], elsewhere=3)
    beside = make_report(trials, [cells], tmp_path, measured=measured).sections[0].table
    assert "Other programs computed in up to 3 threads meanwhile" in cost_note(beside)
    assert [math.isnan(row.milliseconds) for row in costs(table).rows] == [False, True]


def test_the_untrained_network_is_easy_to_see(page_of, full):
    _, _, _, texts = full
    assert 'class="untrained"' in texts["report.html"]
    assert page_of(texts["report.html"]).tables[2][2][0] == "untrained student untrained"
    assert "| Image-AUROC | 50.00 | **97.00** | +47.00 |" in texts["report.md"]
    assert "Helps: training 'DLKD' (+47.00 points, +4" in texts["report.md"]


def test_how_it_was_measured(full):
    _, _, _, texts = full
    for said in (
        "textures (brick, grass, gravel)",
        "128 pixels",
        "29 trained and scored, 1 failed",
        "16 steps",
        "torch 9.9.9",
        "revision 012345678901",
        "4 min 50 s of training in all cells together",  # 30 cells of 10 s, of which one failed
        "MVTec AD with a ResNet18 teacher at 256 pixels",
        "The values of the two are therefore not comparable",
    ):
        assert said in texts["report.html"]
        assert said in texts["report.md"].replace("\\", "")


def test_undefined_metrics_say_why_and_are_never_zero(grid, trials_of, undefine, keep, text_of, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), dataset="elpv", categories=("mono", "poly"))
    undefine(trials, ["pixel_auroc", "pro"], "the test images have no masks")
    keep(tmp_path, trials, masks=False)
    _, page = text_of(trials, [cells], tmp_path)
    row = page.tables[0][2]
    assert row[5] == "undefined: the test images have no masks (elpv/mono, elpv/poly)"
    assert row[6] == "– not compared"
    assert "0.00" not in " ".join(row[4:])


def test_a_metric_undefined_in_one_category_averages_the_others(grid, trials_of, undefine, text_of, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    undefine(trials, ["pro"], "no anomalous test image", "brick")
    text, page = text_of(trials, [cells], tmp_path)
    assert page.tables[0][2][8].startswith("80.50")
    assert "PRO is undefined where: no anomalous test image (textures/brick)." in text


def test_when_all_of_a_row_failed_the_row_says_so(grid, trials_of, fail, text_of, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    fail(trials, "A", "brick", 0, "killed for memory")
    _, page = text_of(trials, [cells], tmp_path)
    assert page.tables[0][2][2] == "failed: killed for memory"
    assert page.tables[0][3][2].startswith("90.00") or page.tables[0][3][2].startswith("89.00")


def test_when_everything_failed_there_is_still_a_report(grid, trials_of, fail, page_of, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    for row in ("A", "B"):
        fail(trials, row, "brick", 0, "killed for memory")
    trials = trials.drop(columns=["parameters", "flops", "train_seconds"])
    page = page_of(html(make_report(trials, [cells], tmp_path)))
    assert page.tables[0][3][2] == "failed: killed for memory"
    assert len(page.images) == 2  # the effects and categories, which say that there is no figure


def test_one_row_one_category_one_seed(grid, trials_of, text_of, tmp_path):
    cells = grid(rows=("A",))
    text, page = text_of(trials_of(cells, means=(0.8,), categories=("brick",), seeds=(0,)), [cells], tmp_path)
    assert page.tables[0][1] == ["paper", "measured"] * 3
    assert page.tables[0][2][2] == "79.00"
    assert "No interval (one seed per category: train two or more)." in text


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
  const cut = [...document.querySelectorAll("section > .scroll")].map(e => e.scrollWidth > e.clientWidth);
  const fetched = performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).map(e => e.name);
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({errors, orders, images, focused, wide, cut, fetched});
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
    assert len(found["images"]) == 14
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
    assert size == "500,900" or found["cut"] == [False] * 4, "tables fit a laptop's screen"
