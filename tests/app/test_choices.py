"""What the page offers: rows of runs and models, their names, and what cannot be compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dlkd.app.choices import Choice, Offer, Place, offer
from dlkd.scoring.models import load_scorer


def test_a_run_offers_its_trained_rows_and_says_what_it_leaves_out(run_folder: Path, tiny_folder: Path) -> None:
    found = offer({}, [run_folder])
    place = Place(tiny_folder.name, "disc")
    assert found.places == [place]
    assert found.seeds(place) == [0]
    assert list(found.at(place, 0)) == ["A", "<B>"]
    assert found.at(place, 0)["<B>"].path == run_folder / "store" / "key1"
    assert found.reports[0].file == run_folder / "report.html"
    assert found.notes == (f"{run_folder}: 1 of 3 trials are not offered: not finished, or without weights",)


def test_a_run_without_weights_is_refused(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    for weights in (run_folder / "store").rglob("weights.safetensors"):
        weights.rename(weights.with_suffix(".away"))
    try:
        with pytest.raises(ValueError, match=r"has no trained row to show: 2 of its 3 trials .*--keep results"):
            offer({}, [tmp_path / "run"])
    finally:
        for away in (run_folder / "store").rglob("weights.away"):
            away.rename(away.with_suffix(".safetensors"))


def test_models_of_two_categories_are_refused_unless_test_images_are_named(run_folder: Path, tmp_path: Path) -> None:
    paths = [run_folder / "store" / "key0", tmp_path / "other"]
    shutil.copytree(paths[0], paths[1])
    spec = (paths[1] / "trial.yaml").read_text()
    (paths[1] / "trial.yaml").write_text(spec.replace("category: disc", "category: cube"))
    models = {path: load_scorer(path)[0] for path in paths}
    with pytest.raises(ValueError, match=r"key0 was trained on .*/disc and .*other on .*/cube; .* --dataset NAME"):
        offer(models, [])
    where = Place("tiny", "disc")
    assert list(offer(models, [], where).at(where, None)) == ["key0", "other"]


def test_a_model_stands_beside_the_rows_of_its_category(run_folder: Path) -> None:
    path = run_folder / "store" / "key0"
    found = offer({path: load_scorer(path)[0]}, [run_folder])
    assert list(found.at(found.places[0], 0)) == ["A", "<B>", "key0"]


def test_names_are_told_apart_only_where_they_could_be_seen_together(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "again")
    found = offer({}, [run_folder, tmp_path / "again"])
    assert list(found.at(found.places[0], 0)) == [
        "tiny-run, g: A", "tiny-run, g: <B>", "again, g: A", "again, g: <B>",
    ]  # fmt: skip
    here, there = Place("d", "here"), Place("d", "there")
    apart = Offer((Choice(("a", "x: a"), Path("1"), here, 0), Choice(("a", "y: a"), Path("2"), there, 0)))
    assert [list(apart.at(place, 0)) for place in apart.places] == [["a"], ["a"]]
    assert list(apart.at(here, 1)) == []
