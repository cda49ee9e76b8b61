"""Groups of categories, and the paper's figures by category: wrong names are found before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlkd.ablations.asked import Asked
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.grid_files import grid_of, load_grid
from dlkd.ablations.plan.groups import refuse_unknown
from dlkd.ablations.run.pool import Pool
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError

FILE = "title: t\nreference: a\nrows: [{label: a, variant: dlkd%s}]\ngroups:\n  plain: [01, disc]\n%s"
KNOWN = ["01", "disc", "ring"]


def grid_in(folder: Path, more: str = "", paper: str = "") -> Grid:
    (folder / "mine.yaml").write_text(FILE % (paper, more))
    return load_grid(str(folder / "mine.yaml"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("  bare: []\n", ":6: groups.bare: an empty group; name its categories"),
        ("  twice: [disc, ring, disc]\n", ":6: groups.twice[2]: 'disc' stands twice in the group 'twice'"),
        ("  disc: [ring]\n", ":6: groups.disc: 'disc' is a category too; give the group another name"),
        ("  total: [ring]\n", ":6: groups.total: 'total' is the average of all categories"),
        ('  "": [ring]\n', "the name of a group is empty"),
        ("  one: ring\n", ":6: groups.one: "),
    ],
)
def test_wrong_groups_are_told_with_their_place(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        grid_in(tmp_path, more)
    assert says in str(caught.value)


def test_a_category_that_no_data_have_is_told_before_a_run(tmp_path: Path) -> None:
    grid = grid_in(tmp_path, "  more: [rign]\n", ", paper: {pro: {total: 90, dics: 80}}")
    with pytest.raises(ConfigError) as caught:
        refuse_unknown(grid, KNOWN, whole=True, own_data=False)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/mine.yaml:6: groups.more[0]: no data of this run have it; did you mean 'ring'?",
        f"{tmp_path}/mine.yaml:3: rows[0].paper.pro.dics: no data of this run have it; did you mean 'disc'?",
        f"{tmp_path}/mine.yaml:4: groups: for averages of the categories that are there, say so: --category 01 "
        "--category disc --category ring",
    ]
    refuse_unknown(grid, ["disc"], whole=False, own_data=False)  # --category disc
    refuse_unknown(grid, ["brick", "grass"], whole=True, own_data=False)  # other data than the groups are about
    with pytest.raises(ConfigError, match="no data of this run have it"):
        refuse_unknown(grid, ["brick", "grass"], whole=True, own_data=True)
    with pytest.raises(ConfigError, match=r"groups.more: 'more' is a category of the data too"):
        refuse_unknown(grid, ["more"], whole=False, own_data=False)


def test_a_run_is_asked_for_the_categories_of_its_groups(tmp_path: Path, tiny_folder: Path) -> None:
    grid = grid_in(tmp_path)  # the folder has no category 01
    registry = default_registry()
    with pytest.raises(ConfigError, match=r"groups.plain\[0\]: no data of this run have it"):
        Asked(registry, Pool(workers=1, threads=1), [tiny_folder]).settle(grid)
    _, [(_, categories)] = Asked(registry, Pool(workers=1, threads=1), [tiny_folder], ["disc"]).settle(grid)
    assert categories == ["disc"]


def test_figures_of_the_paper_stand_by_category_or_alone() -> None:
    row = {"label": "a", "variant": "dlkd", "paper": {"pro": 90, "image_auroc": {"total": 91, "01": 92}}}
    [found] = grid_of({"title": "t", "rows": [row], "reference": "a"}).rows
    assert (found.published("pro"), found.published("image_auroc"), found.published("image_auroc", "01")) == (
        90,
        91,
        92,
    )
    assert str(found.published("pro", "01")) == "nan"
    row["paper"] = {"pro": {"01": 900}}
    with pytest.raises(ConfigError, match=r"rows\[0\].paper.pro.01: a figure in per cent is from 0 to 100, got 900"):
        grid_of({"title": "t", "rows": [row], "reference": "a"})
