from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from dlkd.data import ELPV, DataError, read_image
from dlkd.data.layouts import elpv as module

INSTALLED = importlib.util.find_spec("elpv_dataset") is not None


def grades(root: Path) -> dict[Path, float]:
    lines = (root / "labels.csv").read_text().splitlines()
    return {root / name: float(grade) for name, grade, _ in (line.split() for line in lines)}


@pytest.mark.parametrize("category", ["mono", "poly"])
def test_training_sees_probability_0_only(elpv_tree: Path, category: str) -> None:
    grade = grades(elpv_tree)
    loaded = ELPV(elpv_tree).load(category)
    assert {grade[s.image] for s in loaded.train} == {0.0}
    assert {(grade[s.image], s.label) for s in loaded.test} == {(0.0, 0), (1.0, 1)}
    assert not loaded.has_masks


def test_uncertain_grades_are_rounded_by_wish(elpv_tree: Path) -> None:
    grade = grades(elpv_tree)
    loaded = ELPV(elpv_tree, uncertain="round").load("mono")
    assert {grade[s.image] for s in loaded.train} == {0.0}
    assert {(round(grade[s.image], 2), s.label) for s in loaded.test} == {
        *((0.0, 0), (0.33, 0), (0.67, 1), (1.0, 1)),
    }
    assert loaded.train == ELPV(elpv_tree).load("mono").train


def test_the_split_follows_the_seed_alone(elpv_tree: Path) -> None:
    one, again, other = (ELPV(elpv_tree, seed=seed).load("mono") for seed in (0, 0, 1))
    assert one == again
    assert one.train != other.train


def test_limits_take_fewer_of_the_same_cells(elpv_tree: Path) -> None:
    whole = ELPV(elpv_tree).load("mono")
    part = ELPV(elpv_tree, train_limit=5, test_limit=2).load("mono")
    assert (len(part.train), len(part.test), len(part.anomalies)) == (5, 4, 2)
    assert set(part.train) < set(whole.train)
    assert set(part.test) < set(whole.test)
    assert set(part.train) < set(ELPV(elpv_tree, train_limit=6).load("mono").train)


def test_what_is_left_out_is_counted(elpv_tree: Path, write: Callable[..., Path]) -> None:
    write(elpv_tree / "images/new.png")
    (elpv_tree / "images/new.heic").touch()
    graded = [line.split() for line in (elpv_tree / "labels.csv").read_text().splitlines()]
    dropped = sum(kind == "mono" and 0.1 < float(grade) < 0.9 for _, grade, kind in graded)
    unlabelled = ("left out: images: 2 files (1 .heic, 1 .png)", "read are")
    notes = ELPV(elpv_tree).load("mono").notes
    assert notes[0].startswith(f"left out: {dropped} cells of probability 1/3 or 2/3")
    assert [note.startswith(says) for note, says in zip(notes[1:], unlabelled, strict=True)] == [True, True]
    loaded = ELPV(elpv_tree, uncertain="round")
    assert len(loaded.load("mono").notes) == 2
    whole = loaded.load("mono")
    part = ELPV(elpv_tree, uncertain="round", train_limit=2, test_limit=1).load("mono").notes
    assert part[0].startswith(f"left out: {len(whole.train) - 2} of {len(whole.train)} training cells")
    assert part[1].startswith(f"left out: {len(whole.test) - 2} of {len(whole.test)} test cells")


def test_an_image_labelled_twice_is_refused(elpv_tree: Path) -> None:
    """It would be in the training and in the test."""
    labels = elpv_tree / "labels.csv"
    labels.write_text(labels.read_text() + labels.read_text().splitlines()[0])
    for category in ("mono", "poly"):
        with pytest.raises(DataError, match=r"line 49: .*stands in line 1 already"):
            ELPV(elpv_tree).load(category)


def test_every_odd_line_is_named(elpv_tree: Path) -> None:
    labels = elpv_tree / "labels.csv"
    (elpv_tree / "images/cell0000.png").unlink()
    labels.write_text(labels.read_text() + "images/a.png 2.0 mono\nimages/b.png 0.0 thin\nrubbish\n")
    with pytest.raises(DataError) as caught:
        ELPV(elpv_tree).load("mono")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        *("line 1", "line 49", "line 50", "line 51"),
    ]


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "dlkd\[offline\]"'):
        ELPV().load("mono")


@pytest.mark.parametrize(
    "options", [{"uncertain": "keep"}, {"test_share": 1.0}, {"train_limit": 0}, {"test_limit": -1}]
)
def test_arguments_outside_their_range(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ELPV(**options)


@pytest.mark.skipif(not INSTALLED, reason="elpv-dataset comes with the extra 'offline'")
def test_the_published_cells() -> None:
    mono, poly = (ELPV().load(name) for name in ("mono", "poly"))
    assert [len(c.train) + len(c.test) - len(c.anomalies) for c in (mono, poly)] == [588, 920]
    assert [len(c.anomalies) for c in (mono, poly)] == [313, 402]
    everything = [s.image for c in (mono, poly) for s in (*c.train, *c.test)]
    assert len(set(everything)) == len(everything)
    assert read_image(mono.train[0].image).shape == (300, 300, 3)
    small = ELPV(train_limit=200, test_limit=120).load("mono")
    assert (len(small.train), len(small.test), len(small.anomalies)) == (200, 240, 120)


@pytest.mark.parametrize("name", ["../secret.png", "images/../../secret.png", "/secret.png"])
def test_the_labels_never_lead_out_of_the_folder(elpv_tree: Path, name: str) -> None:
    (elpv_tree.parent / "secret.png").write_bytes((next((elpv_tree / "images").iterdir())).read_bytes())
    labels = elpv_tree / "labels.csv"
    labels.write_text(f"{labels.read_text()}\n{name} 0.0 mono\n")
    with pytest.raises(DataError, match=r"secret\.png leads out of "):
        ELPV(elpv_tree).load("mono")
