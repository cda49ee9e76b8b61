"""Grids whose rows are the product of their factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid_files import grid_of, load_grid
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS, Preset

REGISTRY = default_registry()
TEXTURES = REGISTRY.complete("dataset", "textures")
SMALL = Preset(train=PRESETS["demo"].train, model={"teacher": {"backbone": "test_resnet", "weights": "random"}})

GRID = """\
title: t
variant: dlkd
factors:
  block:
    lfrb: {decoder: {global: none}}
    both:
  depth: {1: {refiner: {depth: 1}}, 2: {}, no: {refiner: none}}
  long: {yes: {train: {epochs: 9}}, no: {}}
"""


def grid(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return load_grid(str(file))


def wrong(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        grid(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_level_names_a_variant_of_its_own(tmp_path: Path) -> None:
    text = """\
title: t
factors:
  net: {small: {variant: dlkd-lfrb}, whole: {variant: dlkd, sigma: 2}}
  depth: {1: {refiner: {depth: 1}}, 2: {}}
reference: {net: whole, depth: 2}
"""
    rows = grid(tmp_path, text).rows
    assert [row.variant for row in rows] == ["dlkd-lfrb", "dlkd-lfrb", "dlkd", "dlkd"]
    assert [row.overrides for row in rows[2:]] == [{"sigma": 2, "refiner": {"depth": 1}}, {"sigma": 2}]
    without = text.replace("variant: dlkd, ", "")
    [problem] = wrong(tmp_path, without)
    assert "the variant that its levels are laid on, here or in each level of a factor" in problem
    found = grid(tmp_path, f"variant: dlkd-lfrb-gfrb\n{without}")
    assert [row.variant for row in found.rows] == ["dlkd-lfrb", "dlkd-lfrb", "dlkd-lfrb-gfrb", "dlkd-lfrb-gfrb"]
    [problem, _] = wrong(tmp_path, text.replace("2: {}", "2: {variant: dlkd}"))
    assert "mine.yaml:4: factors.depth.2.variant: overrides what factors.net.small does" in problem


def test_rows_are_the_combinations_and_the_last_factor_changes_fastest(tmp_path: Path) -> None:
    found = grid(tmp_path, f"{GRID}exclude: [{{depth: no, long: yes}}]\nreference: {{long: no, block: both, depth: 2}}")
    assert [row.label for row in found.rows] == [
        "block=lfrb, depth=1, long=yes",
        "block=lfrb, depth=1, long=no",
        "block=lfrb, depth=2, long=yes",
        "block=lfrb, depth=2, long=no",
        "block=lfrb, depth=no, long=no",
        "block=both, depth=1, long=yes",
        "block=both, depth=1, long=no",
        "block=both, depth=2, long=yes",
        "block=both, depth=2, long=no",
        "block=both, depth=no, long=no",
    ]
    assert found.reference == "block=both, depth=2, long=no"
    first, last = found.rows[0], found.rows[-1]
    assert first.factors == {"block": "lfrb", "depth": "1", "long": True}
    assert (first.overrides, first.train) == ({"decoder": {"global": "none"}, "refiner": {"depth": 1}}, {"epochs": 9})
    assert last.factors == {"block": "both", "depth": "no", "long": False}
    assert (last.overrides, last.train, last.variant) == ({"refiner": "none"}, {}, "dlkd")


def test_a_product_has_the_cells_of_rows_written_by_hand(tmp_path: Path) -> None:
    product = grid(tmp_path, f"{GRID}reference: block=both, depth=2, long=no")
    rows = [row.model_dump() for row in product.rows]
    by_hand = grid_of({"title": "t", "rows": rows, "reference": product.reference}, "mine")
    assert by_hand.rows == product.rows
    keys = [
        [cell.key for cell in make_cells(g, REGISTRY, [(TEXTURES, ["brick"])], [0], SMALL)] for g in (product, by_hand)
    ]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 12


def test_in_python_factors_and_levels_may_be_numbers_and_truths() -> None:
    factors = {"depth": {1: {"refiner": {"depth": 1}}, 2: None}, "smooth": {True: {}, False: {"sigma": 0.0}}}
    data = {"title": "t", "variant": "dlkd", "factors": factors, "reference": {"depth": 2, "smooth": True}}
    found = grid_of(data)
    assert [row.factors for row in found.rows] == [
        {"depth": depth, "smooth": smooth} for depth in ("1", "2") for smooth in (True, False)
    ]
    assert found.reference == "depth=2, smooth=true"
    with pytest.raises(ConfigError, match=r"^grid: factors.depth.1: the key '1' stands twice$"):
        grid_of({**data, "factors": {"depth": {1: {}, "1": {}, 2: {}}}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("factors: {}", "3: factors: expected factors by name"),
        ("factors: [a]", "3: factors: expected factors by name"),
        ("factors:\n  a: {}", "4: factors.a: a factor needs two levels or more"),
        ("factors:\n  a: {1: {}}", "4: factors.a: a factor needs two levels or more"),
        ("factors:\n  a:\n    1: 3\n    2: {}", "5: factors.a.1: expected what the level overrides, {sigma: 2}, or {}"),
        ("factors:\n  a:\n    1: {train: 3}\n    2: {}", "5: factors.a.1.train: expected training arguments"),
        ("factors:\n  a:\n    1: {train: {epocs: 3}}\n    2: {}",
         "5: factors.a.1.train.epocs: unknown key; did you mean 'epochs'?"),
        ('factors:\n  a: {"": {}, 2: {}}', "4: factors.a.: a name in labels is empty"),
        ('factors:\n  a: {"b  c": {}, "b c": {}}', "3: factors: the label 'a=b c' stands twice"),
        ("factors:\n  a: {1: {}, 1: {}, 2: {}}", "4: factors.a.1: the key '1' stands twice, first on line 4"),
        ("factors:\n  a: {1: {refiner: none}, 2: {}}\n  b:\n    3: {}\n    4: {refiner: {depth: 1}}",
         "7: factors.b.4.refiner.depth: overrides what factors.a.1 does; exclude the two together"),
        ("factors:\n  a: {1: {}, 2: {}}\nrows: [{label: a, variant: dlkd}]",
         "5: rows: a grid has either rows or factors"),
        ("factors:\n  a: {1: {}, 2: {}}\nexclude: [{b: 1}]", "5: exclude[0].b: unknown factor 'b'; known: a"),
        ("factors:\n  a: {1: {}, yes: {}}\nexclude: [{a: yse}]",
         "5: exclude[0].a: unknown level 'yse'; did you mean 'yes'?"),
        ("factors:\n  a: {1: {}, 2: {}}\nexclude: [1]", "5: exclude[0]: expected levels by factor, got 1"),
        ("factors:\n  a: {1: {}, 2: {}}\nexclude: {a: 1}", "5: exclude: expected a list of combinations"),
        ("factors:\n  a: {1: {}, 2: {}}\nexclude: [{a: 1}, {a: 2}]", "5: exclude: leaves no combination"),
        ("factors:\n  a: {1: {}, 2: {}}\nexclude: [{a: 1}]", "4: factors.a: the factor 'a' is the same in every row"),
        ("factors:\n  a: {%s}\n  b: {%s}" % ((", ".join(f"{i}: {{}}" for i in range(40)),) * 2),
         "3: factors: the product has 1,600 rows, each with a cell per category and seed; 1,000 at most"),
        ("factors:\n  a: {1: {}, 2: {}}\n  b: {1: {}, 2: {}}\nreference: {a: 1}",
         "6: reference: lacks the level of the factor 'b'"),
        ("factors:\n  a: {1: {}, 2: {}}\nreference: {a: 3}", "5: reference.a: unknown level '3'"),
        ("factors:\n  a: {1: {}, 2: {}}\nreference: a=3", "5: reference: no row is labelled 'a=3'; did you mean 'a="),
        ("factor:\n  a: {1: {}, 2: {}}", "3: factor: unknown key; did you mean 'factors'?"),
        ("exclude: []\nrows: [{label: a, variant: dlkd}]", "3: exclude: stands beside `factors:`, which this grid"),
    ],
)  # fmt: skip
def test_wrong_factors_say_where(tmp_path: Path, text: str, says: str) -> None:
    head = "title: t\n" + ("variant: dlkd\n" if "factors:" in text else "source: s\n")
    more = "" if "reference" in text else "\nreference: a=1"
    assert any(told.startswith(f"mine.yaml:{says}") for told in wrong(tmp_path, head + text + more))


def test_a_grid_without_rows_and_a_product_without_a_variant_say_so(tmp_path: Path) -> None:
    assert wrong(tmp_path, "title: t\nreference: a") == [
        "mine.yaml:1: a grid needs `rows:`, or `factors:` of which rows are made"
    ]
    [told] = wrong(tmp_path, "title: t\nfactors: {a: {1: {}, 2: {}}}\nreference: a=1")
    assert "variant: a grid with factors needs the variant that its levels are laid on" in told


def test_what_a_level_overrides_wrongly_is_one_problem_at_the_level(tmp_path: Path) -> None:
    found = grid(
        tmp_path, GRID.replace("both:", "both: {decoder: {globl: none}}") + "reference: block=lfrb, depth=2, long=no"
    )
    with pytest.raises(ConfigError) as caught:
        make_cells(found, REGISTRY, [(TEXTURES, ["brick"])], [0], SMALL)
    place = f"{tmp_path / 'mine.yaml'}:6: factors.block.both.decoder.globl"
    assert str(caught.value) == f"{place}: decoder/coarse has no argument 'globl'; did you mean 'global'?"
    with pytest.raises(ConfigError, match=r"mine.yaml:2: variant: unknown variant 'dldk'; did you mean 'dlkd'"):
        make_cells(
            grid(tmp_path, GRID.replace("dlkd", "dldk") + "reference: block=lfrb, depth=2, long=no"),
            REGISTRY, [(TEXTURES, ["brick"])], [0], SMALL,
        )  # fmt: skip


def test_rows_by_hand_may_name_levels_too() -> None:
    rows = [
        {"label": depth, "variant": "dlkd", "overrides": {"refiner": {"depth": depth}}, "factors": {"depth": depth}}
        for depth in (1, 2, 4)
    ]
    assert [row.factors for row in grid_of({"title": "t", "rows": rows, "reference": 2}).rows] == [
        {"depth": "1"}, {"depth": "2"}, {"depth": "4"},
    ]  # fmt: skip
    rows[0]["factors"] = {"depth": [1]}
    with pytest.raises(ConfigError, match=r"rows\[0\].factors.depth: expected true or false, or the name of a level"):
        grid_of({"title": "t", "rows": rows, "reference": 2})
