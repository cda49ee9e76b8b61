"""The JSON schema of grids takes what dlkd takes and refuses what it refuses."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.plan.grid_schema import grid_schema
from dlkd.ablations.plan.shipped import shipped_grids
from dlkd.registry.located_yaml import read_yaml
from dlkd.registry.problems import ConfigError

EXAMPLES = Path(__file__).parents[3] / "examples"
SCHEMA = grid_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
ROWS = "title: t\nrows: [{label: a, variant: dlkd}, {label: b, variant: dlkd}]\nreference: a\n"
HOSTS = "title: t\nrows: [{label: a, variant: dlkd}, {label: b, variant: dlkd, host: a}]\n"
FACTORS = "title: t\nvariant: dlkd\nfactors: {depth: {1: {refiner: {depth: 1}}, 2: {}}}\nreference: {depth: 2}\n"
BY_LEVEL = "title: t\nfactors: {net: {a: {variant: dlkd}, b: {variant: dlkd-lfrb}}}\nreference: {net: a}\n"


def problems(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]


def taken(text: str, folder: Path) -> bool:
    (folder / "mine.yaml").write_text(text)
    try:
        load_grid(str(folder / "mine.yaml"))
    except ConfigError:
        return False
    return True


def test_it_is_a_schema_and_json() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_grids_of_dlkd_are_valid() -> None:
    folder = importlib.resources.files("dlkd.ablations").joinpath("grids")
    for name in shipped_grids():
        assert problems(yaml.safe_load(folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))) == [], name
    for name in ("my_grid", "my_factors"):
        assert problems(read_yaml(EXAMPLES / f"{name}.yaml").data) == [], name


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        HOSTS,
        FACTORS,
        BY_LEVEL,
        f"{ROWS}name: n\nseeds: 3\nuntil_decided: 9\npreset: paper\nmargin: 0\n",
        f"{ROWS}train: {{image_size: 64x32, epochs: 2}}\n",
        f"{ROWS}metrics: [pro]\nprimary: pro\ndatasets: [textures]\ncategories: [1, brick]\nstepwise: true\n",
        "title: 4\nrows: [{label: 16, variant: dlkd, paper: {pro: 90}}, {label: b, variant: dlkd}]\nreference: 16\n",
        f"{ROWS}tune: {{space: {{train.epochs: {{choice: [1, 2]}}}}, trials: 4}}\n",
        ROWS.replace("label: b", "label: b, paper: {pro: {total: 9, 01: 8}}") + "groups: {plain: [01, brick]}\n",
    ],
)
def test_what_dlkd_takes_is_valid(tmp_path: Path, text: str) -> None:
    assert taken(text, tmp_path)
    assert problems(read_yaml(tmp_path / "mine.yaml").data) == []


@pytest.mark.parametrize(
    "text",
    [
        ROWS.replace("title: t\n", ""),
        ROWS.replace("reference: a\n", ""),
        FACTORS.replace("reference: {depth: 2}\n", ""),
        f"{HOSTS}reference: a\n",
        f"{HOSTS}stepwise: true\n",
        f"{ROWS}sedes: 3\n",
        f"{ROWS}seeds: 0\n",
        f"{ROWS}margin: 1\n",
        f"{ROWS}primary: auroc\n",
        f"{ROWS}train: {{epoch: 2}}\n",
        f"{ROWS}train: {{image_size: wide}}\n",
        f"{ROWS}factors: {{depth: {{1: {{}}, 2: {{}}}}}}\n",
        f"{ROWS}variant: dlkd\n",
        ROWS.replace("label: b", "lable: b"),
        ROWS.replace("label: b", "label: b, paper: {pro: 900}"),
        ROWS.replace("label: b", "label: b, train: {epochs: many}"),
        FACTORS.replace("2: {}}", "}"),
        FACTORS.replace("2: {}", "2: {train: 3}"),
        f"{FACTORS}exclude: {{depth: 2}}\n",
        f"{ROWS}tune: {{trials: 4}}\n",
        f"{ROWS}groups: {{plain: []}}\n",
        f"{ROWS}groups: {{total: [brick]}}\n",
        ROWS.replace("label: b", "label: b, paper: {pro: {01: 900}}"),
    ],
)
def test_what_dlkd_refuses_is_invalid(tmp_path: Path, text: str) -> None:
    assert not taken(text, tmp_path)
    assert problems(read_yaml(tmp_path / "mine.yaml").data) != []
