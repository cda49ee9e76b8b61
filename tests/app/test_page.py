"""What the page keeps and says when something else is chosen, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("gradio")

from dlkd.app.choices import Choice, Offer, Place
from dlkd.app.page import Page
from dlkd.app.scored import Scored
from dlkd.registry import default_registry
from dlkd.scoring.scorer import Scorer

DISC, CUBE = Place("tiny", "disc"), Place("tiny", "cube")


@pytest.fixture
def page(tiny_folder: Path) -> Page:
    """Row A with seeds 0 and 1 of disc, 1 and 2 of cube; there are no test images of cube."""
    seeds = [(DISC, 0), (DISC, 1), (CUBE, 1), (CUBE, 2)]
    choices = tuple(Choice(("A",), Path(f"{place.category}{seed}"), place, seed) for place, seed in seeds)
    data = {place: {"name": "folder", "root": str(tiny_folder)} for place in (DISC, CUBE)}
    return Page(Scored(Offer(choices), {}, default_registry(), data))


def test_a_seed_stays_in_another_category_where_it_is_there(page: Page) -> None:
    assert [page._at_place(1, seed, ["A"])[0].value for seed in (0, 1, 2)] == [1, 1, 2]
    assert page._at_place(0, 2, ["A"])[0].value == 0


def test_without_test_images_the_page_says_why_before_a_picture_is_dropped(page: Page) -> None:
    said = page._show_maps(1, 1, ["A"], None, {})[0]
    assert "Drop a picture. The test images of tiny/cube are not at hand: " in said
    assert "or take a test image" in page._show_maps(0, 1, ["A"], None, {})[0]
    exported = Choice(("part.onnx",), Path("part.onnx"), DISC)
    models = {exported.path: cast("Scorer", object())}
    alone = Page(Scored(Offer((exported,)), models, default_registry()))
    assert "name them with --dataset NAME --category NAME" in alone._show_maps(0, None, ["part.onnx"], None, {})[0]


def test_more_models_than_are_shown_are_said_as_long_as_they_are_chosen(
    two_models: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlkd.app.page.MOST_SHOWN", 1)
    page = Page(two_models)
    picture = page._list_tests(0, "all")[1]
    said = "1 models are shown at most: the first ones of those chosen."
    for chosen in (["one", "ten"], ["one"]):
        shown = page._show_maps(0, None, chosen, picture, {})[0]
        *_, last = page._score_tests(0, None, chosen, picture, {})
        assert [said in shown, said in last[0]] == [len(chosen) == 2] * 2
        assert "Test images are scored." in last[0]
