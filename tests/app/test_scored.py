"""Test images and scores: found, computed once, and said where they are not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dlkd.app.choices import Choice, Offer, Place, offer
from dlkd.app.scored import Scored
from dlkd.registry import default_registry
from dlkd.scoring.models import OfTrial, load_scorer
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import evaluate


def test_scores_are_those_of_an_evaluation(run_folder: Path) -> None:
    path = run_folder / "store" / "key0"
    scorer, _ = load_scorer(path)
    assert isinstance(scorer, OfTrial)
    scored = Scored(offer({path: scorer}, []), {path: scorer}, default_registry())
    choice = scored.offer.choices[0]
    told: list[tuple[int, int]] = []
    tests = scored.test_scores(choice, choice.place, lambda done, of: told.append((done, of)))
    assert told == [(0, 7), (4, 7), (7, 7)]
    spec = scorer.trained.spec
    category = default_registry().build("dataset", spec.dataset).load("disc")
    found = evaluate(scorer.trained.detector, CategoryData(category, spec.train, scorer.trained.detector, 0))
    np.testing.assert_allclose(tests.scores, found.scores, rtol=1e-5)
    assert (tests.labels == found.labels).all()


def test_test_images_are_scored_once(two_models: Scored) -> None:
    one, ten = two_models.offer.choices
    tests = two_models.test_scores(one, one.place)
    assert two_models.test_scores(one, one.place) is tests
    assert two_models.model(one).scored == 7  # type: ignore[attr-defined]
    assert two_models.model(ten).scored == 0  # type: ignore[attr-defined]
    picture = two_models.test_images(one.place).samples[0].image
    assert two_models.answer(one, picture)[1] is two_models.answer(one, picture)[1]
    assert two_models.model(one).scored == 8  # type: ignore[attr-defined]


def test_models_in_other_units_have_the_same_scores_in_the_common_one(two_models: Scored) -> None:
    one, ten = (
        two_models.model(choice).normal.in_units(two_models.test_scores(choice, choice.place).scores)
        for choice in two_models.offer.choices
    )
    np.testing.assert_allclose(one, ten, rtol=1e-6)
    assert one.max() > 2


def test_a_damaged_test_image_is_named_and_the_others_are_scored(
    two_models: Scored, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "data")
    (tmp_path / "data/disc/test/square/002.png").write_bytes(b"no picture")
    place = Place("tiny", "disc")
    two_models.data[place] = {"name": "folder", "root": str(tmp_path / "data")}
    tests = two_models.test_scores(two_models.offer.choices[0], place)
    assert len(tests.scores) == len(tests.labels) == 6
    assert "square/002.png" in tests.unread[0]


def test_where_test_images_are_missing_it_says_which(run_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store" / "key0"
    shutil.copytree(run_folder / "store" / "key0", store)
    spec = (store / "trial.yaml").read_text()
    root = str(default_root(spec))
    (store / "trial.yaml").write_text(spec.replace(root, "/nowhere/at/all"))
    place = Place("tiny", "disc")
    scored = Scored(Offer((Choice(("A",), store, place, 0),)), {}, default_registry())
    found = scored.test_images(place)
    assert found.samples == ()
    assert found.missing.startswith("The test images of tiny/disc are not at hand: ")
    assert "/nowhere/at/all" in found.missing
    assert "do not say what they were trained on" in scored.test_images(None).missing


def default_root(spec: str) -> str:
    """The folder that a spec's text names."""
    return next(line.split(":", 1)[1].strip() for line in spec.splitlines() if line.strip().startswith("root:"))


@pytest.mark.parametrize("most", [1, 2])
def test_so_many_models_are_in_memory(run_folder: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlkd.app.scored.KEPT_MODELS", most)
    loaded: list[Path] = []

    def load(path: Path) -> OfTrial:
        loaded.append(path)
        return load_scorer(path)[0]  # type: ignore[return-value]

    scored = Scored(offer({}, [run_folder]), {}, default_registry(), load=load)
    for choice in (*scored.offer.choices, scored.offer.choices[0]):
        scored.model(choice)
    assert len(loaded) == 4 - most
