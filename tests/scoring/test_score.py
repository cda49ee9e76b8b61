"""A prediction: rows at once, broken pictures named, pictures drawn, Ctrl-C, the memory of a batch."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlkd.data import DataError
from dlkd.scoring.drawn import Drawn, shrunk
from dlkd.scoring.item import Item, file_item
from dlkd.scoring.output import Output, output_of
from dlkd.scoring.rows import Rows
from dlkd.scoring.score import Predicted, Scoring
from dlkd.scoring.sources import Files, Folder
from dlkd.scoring.times import Times


def score(scorer: Any, source: Any, out: Path | str, form: Any = None, drawn: Any = None, **more: Any) -> Predicted:
    output = output_of(str(out), form, append=more.pop("append", False))
    with output.open() as rows:
        return Scoring(scorer, rows, drawn or Drawn(Path(out)), **more).run([source])


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """Pictures of the scores 0, 0.2, 0.4, 0.6 and 0.8, and one that is none."""
    for i in range(5):
        picture(tmp_path / f"in/{i}.png", 51 * i)
    (tmp_path / "in/2b.png").write_text("no picture")
    return tmp_path / "in"


def test_rows_batches_and_a_broken_picture_that_costs_itself_alone(folder: Path, tmp_path: Path, brightness) -> None:
    scorer, said, done_in = brightness(batch_size=2), [], []
    done = score(scorer, Folder(folder), tmp_path / "out", say=said.append, advance=done_in.append)
    assert (done.scored, done.anomalous, done.broken, done.undrawn) == (5, 2, 1, 0)
    assert scorer.batches == [2, 2, 1]
    assert sum(done_in) == 5
    (broken,) = said
    assert "2b.png: not a picture" in broken
    rows = table(tmp_path / "out/scores.csv")
    assert [row["score"] for row in rows] == [f"{i / 5:.6f}" for i in range(5)]
    assert [row["anomalous"] for row in rows] == ["0", "0", "0", "1", "1"]
    assert {row["threshold"] for row in rows} == {"0.500000"}
    assert score(brightness(), Folder(folder), tmp_path / "out", threshold=0.1).anomalous == 4


def test_lines_of_json_hold_everything_and_frames_their_time(folder: Path, tmp_path: Path, brightness) -> None:
    frame = Item("v.mp4", Path("v.mp4/frame00000007.png"), np.full((4, 4, 3), 255, np.uint8), 7, 0.28)
    drawn = Drawn(tmp_path / "out", masks=True, maps="png16")
    score(brightness(), Some([file_item(folder / "1.png", Path("1.png")), frame]), tmp_path / "out", "jsonl", drawn)
    one, other = map(json.loads, (tmp_path / "out/scores.jsonl").read_text().splitlines())
    assert one["image"] == str(folder / "1.png")
    assert (one["frame"], one["seconds"], one["anomalous"], one["overlay"]) == (None, None, False, None)
    assert one["score"] == pytest.approx(0.2)
    assert (other["image"], other["frame"], other["seconds"], other["anomalous"]) == ("v.mp4", 7, 0.28, True)
    for row, level in ((one, 0), (other, 255)):
        with Image.open(row["mask"]) as mask:
            assert np.array(mask).tolist() == np.full(mask.size[::-1], level).tolist()
        assert Path(row["map"]).name.endswith(".map.png")
    assert {p.name for p in (tmp_path / "out").rglob("*.png")} == {
        "1.png.mask.png", "1.png.map.png", "frame00000007.png.mask.png", "frame00000007.png.map.png",
    }  # fmt: skip
    with (tmp_path / "out.csv").open("w", newline="") as stream:
        Scoring(brightness(), Rows(stream, "csv"), Drawn(tmp_path)).run([Some([frame])])
    assert table(tmp_path / "out.csv")[0]["image"] == "v.mp4 frame 7 at 0.280 s"


class Some(Files):
    """Items as they are."""

    def __init__(self, items: list[Any], **more: bool) -> None:
        super().__init__((), **more)
        object.__setattr__(self, "items", items)

    def __iter__(self) -> Iterator[Any]:
        yield from self.items


def test_what_comes_as_it_is_made_is_scored_at_once_and_ends_with_ctrl_c(folder: Path, tmp_path: Path, brightness):
    scorer, seen = brightness(batch_size=4), []

    class Camera(Some):
        def __iter__(self) -> Iterator[Any]:
            for item in self.items:
                yield item
                seen.append(len(table(tmp_path / "rows.csv")))
            raise KeyboardInterrupt

    items = [file_item(folder / f"{i}.png") for i in range(3)]
    done = score(scorer, Camera(items, live=True, endless=True), tmp_path / "rows.csv")
    assert seen == [1, 2, 3]
    assert done.scored == 3
    assert scorer.batches == [1, 1, 1]
    score(scorer, Some(items, live=True), tmp_path / "rows.csv", batch_size=3, append=True)
    assert scorer.batches[3:] == [3]
    assert len(table(tmp_path / "rows.csv")) == 6
    with pytest.raises(KeyboardInterrupt):
        score(scorer, Camera(items, live=True), tmp_path / "rows.csv")


def test_a_score_that_is_no_number_is_no_normal_picture(folder: Path, tmp_path: Path, brightness) -> None:
    class Broken(brightness):
        def detect(self, prepared):
            return [type(each)(math.nan, each.make_map) for each in super().detect(prepared)]

    said: list[str] = []
    done = score(Broken(), Files((folder / "1.png",)), tmp_path / "out", say=said.append)
    assert (done.scored, done.broken) == (0, 1)
    assert said == [f"{folder}/1.png: its score is nan"]


def test_pictures_of_other_proportions_are_said_once_and_counted(folder: Path, tmp_path: Path, brightness) -> None:
    said: list[str] = []
    scorer = brightness(proportions=1.0)
    (folder / "2b.png").unlink()
    done = score(scorer, Folder(folder), tmp_path / "out", say=said.append)
    assert done.squeezed == 5
    (note,) = said
    assert "0.png has other proportions than the training's and is squeezed: width per height 1.25, trained on" in note
    assert score(brightness(proportions=1.25), Folder(folder), tmp_path / "out").squeezed == 0


def test_a_model_without_maps_draws_nothing_and_masks_of_it_are_refused(folder: Path, tmp_path: Path, brightness):
    out = tmp_path / "out"
    done = score(brightness(maps=False), Folder(folder), out, drawn=Drawn(out, overlays=True))
    assert (done.scored, done.undrawn) == (5, 0)
    assert table(out / "scores.csv")[0]["overlay"] == ""
    assert [path.name for path in out.iterdir()] == ["scores.csv"]
    with pytest.raises(ValueError, match="no anomaly maps; leave --maps and --masks out"):
        score(brightness(maps=False), Folder(folder), out, drawn=Drawn(out, masks=True))


def test_what_cannot_be_drawn_is_said_twenty_times_and_counted(folder: Path, tmp_path: Path, brightness) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/in").write_text("a file where a folder belongs")
    items = [file_item(folder / "1.png", Path("in/1.png"))] * 25
    said: list[str] = []
    drawn = Drawn(tmp_path / "out", masks=True)
    done = score(brightness(), Some(items), tmp_path / "out", drawn=drawn, say=said.append)
    assert (done.scored, done.undrawn, len(said)) == (25, 25, 20)
    assert "1.png: scored, but not drawn: " in said[0]


def test_where_rows_go(tmp_path: Path, capsys: pytest.CaptureFixture[str], brightness, folder: Path) -> None:
    assert output_of("out") == Output(Path("out/scores.csv"), "csv", Path("out"))
    assert output_of("out", "jsonl") == Output(Path("out/scores.jsonl"), "jsonl", Path("out"))
    assert output_of("a/b.jsonl") == Output(Path("a/b.jsonl"), "jsonl", None)
    assert output_of("-") == Output(None, "csv", None)
    (tmp_path / "is.csv").mkdir()
    assert output_of(str(tmp_path / "is.csv")).folder == tmp_path / "is.csv"
    with pytest.raises(ValueError, match=r"ends in \.csv, but --format says jsonl"):
        output_of("a.csv", "jsonl")
    with pytest.raises(ValueError, match="--masks, --maps: name a folder for them with --out, which is given as stand"):
        output_of("-").drawn([], None, masks=True, maps="npy")
    assert output_of("out").drawn([Folder(folder)], None).overlays
    assert not output_of("out").drawn([Folder(folder), Some([], live=True)], None).overlays
    assert not output_of("-").drawn([Folder(folder)], None)
    score(brightness(), Files((folder / "1.png",)), "-", "jsonl")
    assert json.loads(capsys.readouterr().out)["anomalous"] is False


@pytest.mark.parametrize("name", ["scores.csv", "scores.jsonl"])
def test_what_no_prediction_wrote_is_neither_replaced_nor_appended_to(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("player,points\nme,3\n")
    for append in (False, True):
        output = output_of(str(tmp_path / name), append=append)
        with pytest.raises(DataError, match="is not of a prediction and would be replaced"), output.open():
            pass
    assert (tmp_path / name).read_text() == "player,points\nme,3\n"


def test_a_large_picture_is_drawn_small_and_its_smallest_defect_is_kept() -> None:
    pixels, anomaly_map = np.zeros((100, 30, 3), np.uint8), np.zeros((100, 30), np.float32)
    anomaly_map[99, 29] = 1
    small, shown = shrunk(pixels, anomaly_map, longest=40)
    assert small.shape[:2] == shown.shape == (34, 10)
    assert shown[33, 9] == shown.sum() == 1
    assert shrunk(pixels, anomaly_map)[0] is pixels


def test_times_are_medians_per_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.002, 1.0, 1.006, 2.0, 2.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    times = Times()
    assert str(times) == ""
    with times.of("reading"):
        pass
    with times.of("scoring"):
        pass
    times.end_batch(2)
    with times.of("scoring"):
        pass
    times.end_batch(1)
    assert str(times) == "4.0 ms per picture (median): 1.0 ms reading, 3.0 ms scoring, 0.0 ms writing"


def test_a_closed_pipe_ends_the_prediction(folder: Path, brightness) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    scorer = brightness(batch_size=1)
    with pytest.raises(BrokenPipeError):
        Scoring(scorer, Rows(Closed(), "csv"), Drawn(folder)).run([Folder(folder)])
    assert scorer.batches == [1]
