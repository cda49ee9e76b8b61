"""What a grid's file may say, and where it is wrong."""

from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest

from dlkd.ablations.plan.cells import Cell, make_cells
from dlkd.ablations.plan.grid_files import grid_of, load_grid
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS, Preset, TrainConfig

REGISTRY = default_registry()
TEXTURES = REGISTRY.complete("dataset", "textures")
DEMO = PRESETS["demo"]
SMALL = Preset(train=DEMO.train, model={"teacher": {"backbone": "test_resnet", "weights": "random"}})
PAPER_TABLES = ("table1", "table2", "table3")
"""See test_paper_tables.py."""

MakeCells = Callable[..., list[Cell]]


@pytest.mark.parametrize("name", [name for name in shipped_grids() if name not in PAPER_TABLES])
def test_shipped_grids_resolve(name: str) -> None:
    grid = load_grid(name)
    cells = make_cells(grid, REGISTRY, [(TEXTURES, ["brick"])], [0], SMALL)
    assert sum(len(cell.rows) for cell in cells) == len(grid.rows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: t\nrows: [{label: a, variant: dlkd}]\nreference: a\nrefrence: a", ":4: refrence: unknown key"),
        ("title: t\nreference: a\nrows:\n  - {label: a, variant: dlkd, over: {}}", ":4: rows[0].over: unknown key"),
        ("title: t\nrows: []\nreference: a", "rows"),
        ("title: t\nrows: [{label: a, variant: dlkd}]\nreference: b", "no row is labelled 'b'"),
        (
            "title: t\nrows: [{label: a, variant: dlkd}, {label: a, variant: dlkd-lfrb}]\nreference: a",
            "the label 'a' stands twice",
        ),
        (
            "title: t\nrows: [{label: a, variant: dlkd, paper: {auroc: 99}}]\nreference: a",
            "unknown metric 'auroc'",
        ),
        (
            "title: t\nrows: [{label: a, variant: dlkd}]\nreference: a\nmetrics: [image_auroc, pro]\nprimary: pr",
            ":5: primary: 'pr' is none of this grid's metrics; did you mean 'pro'",
        ),
        ("title: t\nrows: [{label: a, variant: dlkd}]\nreference: a\nmargin: 5", ":4: margin: "),
        (
            "title: t\nrows: [{label: a, variant: dlkd}]",
            "lacks `reference:`, the row that the others are",
        ),
        (
            "title: t\nrows: [{label: ab, variant: dlkd}, {label: b, variant: dlkd, host: abc}]",
            ":2: rows[1].host: no row is labelled 'abc'; did you mean 'ab'",
        ),
        ("title: t\nrows: [{label: a, variant: dlkd, host: a}]", "rows[0].host: a row is no host of its own"),
        (
            "title: t\nrows: [{label: a, variant: dlkd}, {label: b, variant: dlkd, host: a}]\nreference: a",
            "rows[1].host: rows with a host have no `reference:` beside it",
        ),
        (
            "title: t\nrows: [{label: a, variant: dlkd}, {label: b, variant: dlkd, host: a}]\nstepwise: true",
            "rows[1].host: rows with a host have no `stepwise:` beside it",
        ),
        ("[1, 2]", "title"),
        ("title: t\ntitle: u", "title"),
    ],
)
def test_a_wrong_grid_says_where(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_grid(str(file))
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_an_unknown_grid_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown grid 'tabel4'; did you mean 'table4'"):
        load_grid("tabel4")


ROWS = """title: t
reference: a
rows:
- label: a
  variant: dlkd
  %s
- label: b
  variant: dlkd
  %s
"""


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("factors: {X: true}", "sigma: 1", ":9: rows[1].sigma: unknown key"),
        ("factors: {X: true}", "overrides: {}", ":7: rows[1].factors: lacks the factor 'X' of the row 'a'"),
        ("factors: {X: true, Y: no}", "factors: {X: no}", ":9: rows[1].factors: lacks the factor 'Y' of the row 'a'"),
        ("factors: {X: true}", "factors: {Z: true}", ":9: rows[1].factors: lacks the factor 'X'"),
        ("factors: {X: true}", "factors: {X: true}", ":9: rows[1].factors: the same as those of the row 'a'"),
        ("factors: {X: true, Y: no}", "factors: {X: no, Y: no}", ":6: rows[0].factors.Y: the factor 'Y' is the same"),
        ("factors: {X: true, Y: no}", "factors: {X: no, Y: yes}", ":6: rows[0].factors.Y: the factor 'Y' changes"),
        ("paper: {pro: 0.97}", "paper: {pro: 101}", ":9: rows[1].paper.pro: a figure in per cent is from 0 to 100"),
        ("paper: {pro: .nan}", "paper: {}", ":6: rows[0].paper.pro: a figure in per cent is from 0 to 100, got nan"),
        ("train: {pro_limit: .inf}", "train: {}", ":6: rows[0].train.pro_limit: "),
        ("train: {pro_limit: .nan}", "train: {image_size: [64, 1]}", ":9: rows[1].train.image_size: "),
        ("train: {epochs: yes}", "train: {epocs: 2}", ":9: rows[1].train.epocs: unknown key; did you mean 'epochs'?"),
        ("train: {lr_refiner: 0.1}", "train: {}", ":6: rows[0].train.lr_refiner: unknown key; known: "),
        ("train: {epochs: yes}", "train: {}", ":6: rows[0].train.epochs: should be no true or false"),
        ("train: [1]", "train: {}", ":6: rows[0].train: "),
    ],
)  # fmt: skip
def test_a_wrong_row_says_where(tmp_path: Path, first: str, second: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(ROWS % (first, second))
    with pytest.raises(ConfigError) as caught:
        load_grid(str(file))
    assert f"{file}{says}" in str(caught.value)


def test_all_problems_of_all_rows_are_told_with_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is wrong only on top of the preset, where two arguments have to fit each other."""

    def fits(self: TrainConfig) -> TrainConfig:
        if self.batch_size > self.image_size:
            raise ValueError("too many for the image size")
        return self

    strict = type("Strict", (TrainConfig,), {"_fits": pydantic.model_validator(mode="after")(fits)})
    file = tmp_path / "mine.yaml"
    file.write_text(ROWS % ("train: {batch_size: 200}", "overrides: {sigma: .nan}"))
    grid = load_grid(str(file))
    monkeypatch.setattr("dlkd.training.config.TrainConfig", strict)
    with pytest.raises(ConfigError) as caught:
        make_cells(grid, REGISTRY, [(TEXTURES, ["brick"])], [0], SMALL)
    assert str(caught.value).splitlines() == [
        f"{file}:6: rows[0].train: too many for the image size",
        f"{file}:9: rows[1].overrides.sigma: expected finite numbers, got nan",
    ]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ('""', "is empty"),
        ('"  "', "is empty"),
        (r'"\uD83D"', r"cannot be printed: '\ud83d'"),
        (r'"a\ed"', r"'a\x1bd'"),
        (r'"\u202Eb"', "cannot"),
    ],
)
def test_a_label_is_text_that_can_be_shown(tmp_path: Path, label: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"title: t\nrows:\n- {{label: {label}, variant: dlkd}}\nreference: a\n")
    with pytest.raises(ConfigError) as caught:
        load_grid(str(file))
    assert f"{file}:3: rows[0].label" in str(caught.value)
    assert says in str(caught.value)


def test_titles_and_labels_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("title: >\n  two\n  lines\nrows:\n- label: |\n    a\n  variant: dlkd\nreference: a\n")
    found = load_grid(str(file))
    assert (found.title, found.rows[0].label, found.reference) == ("two lines", "a", "a")


def test_labels_and_categories_are_taken_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    rows = ", ".join(f"{{label: {label}, variant: dlkd}}" for label in ("16", "yes", "1.0", "null", "1e-2"))
    file.write_text(f"title: 7\nrows: [{rows}]\ncategories: [01, 02, 3]\nreference: 16\n")
    grid = load_grid(str(file))
    assert [row.label for row in grid.rows] == ["16", "yes", "1.0", "null", "1e-2"]
    assert grid.categories == ("01", "02", "3")
    assert (grid.title, grid.reference) == ("7", "16")


def test_paths_of_a_file_are_relative_to_it_and_rows_say_where_they_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "D").mkdir()
    file = tmp_path / "mine.yaml"
    row = "{label: %s, variant: %s, overrides: {teacher: {backbone: test_resnet, weights: ./w.pth}}}"
    head = "title: t\ndatasets: ['mvtec:./D,unmasked=refuse', D, textures, 'mvtec:~/x']\nreference: a\nrows:\n  - "
    file.write_text(head + row % ("a", "dlkd"))
    grid = load_grid(str(file))
    named = (f"mvtec:{tmp_path / 'D'},unmasked=refuse", str(tmp_path / "D"), "textures", f"mvtec:{Path.home() / 'x'}")
    assert grid.datasets == named
    [cell] = make_cells(grid, REGISTRY, [(TEXTURES, ["brick"])], [0], DEMO)
    assert cell.spec.model["teacher"]["weights"] == str(tmp_path / "w.pth")
    file.write_text(head + row % ("a", "dlkdd") + "\n  - {label: b, variant: dlkd, overrides: {sgima: 1}}")
    with pytest.raises(ConfigError) as caught:
        make_cells(load_grid(str(file)), REGISTRY, [(TEXTURES, ["brick"])], [0], DEMO)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (5, ("rows", 0, "variant")),
        (6, ("rows", 1, "overrides", "sgima")),
    ]


def test_a_grid_of_python_data_is_read_as_its_file_is(tmp_path: Path) -> None:
    rows = ({"label": 16, "variant": "dlkd"}, {"label": True, "variant": "dlkd", "train": {"epochs": 2}})
    found = grid_of({"title": "t", "rows": rows, "reference": 16, "datasets": (f"mvtec:{tmp_path}",)}, "mine")
    file = tmp_path / "mine.yaml"
    text = "title: t\nrows: [{label: 16, variant: dlkd}, {label: true, variant: dlkd, train: {epochs: 2}}]\n"
    file.write_text(f"{text}reference: 16\ndatasets: ['mvtec:{tmp_path}']")
    assert found.model_dump() == load_grid(str(file)).model_dump()
    with pytest.raises(ConfigError, match=r"^grid: rows\[0\].over: unknown key"):
        grid_of({"title": "t", "rows": [{"label": "a", "variant": "dlkd", "over": {}}], "reference": "a"})
    with pytest.raises(ConfigError, match=r"^grid: rows\[0\].overrides.sigma: expected text, a number, .* got a set"):
        grid_of({"title": "t", "rows": [{"label": "a", "variant": "dlkd", "overrides": {"sigma": {4}}}]})
