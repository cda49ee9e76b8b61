"""Frames of videos: in their order, upright, with number and time; what is no video is an error in its place."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from dlkd.data import DataError
from dlkd.scoring.item import Item
from dlkd.scoring.sources import Lines, sources
from dlkd.scoring.video import Video, live_video

LEVELS = (20, 90, 160, 230)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Four frames of 48x64 pixels, ten per second; their upper half is black."""
    av = pytest.importorskip("av")
    path = tmp_path / "line.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in LEVELS:
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[24:] = level
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_have_number_time_and_place(video: Path) -> None:
    (source,) = sources([str(video)], io.BytesIO())
    assert not source.live
    frames = [item for item in source if isinstance(item, Item)]
    assert [frame.name for frame in frames] == [f"{video} frame {i} at 0.{i}00 s" for i in range(4)]
    assert [(frame.image, frame.frame) for frame in frames] == [(str(video), i) for i in range(4)]
    assert frames[3].place.name == "frame00000003.png"
    assert frames[3].place.parent.name == "line.mkv"
    for frame, level in zip(frames, LEVELS, strict=True):
        pixels = frame.pixels()
        assert pixels.shape == (48, 64, 3)
        assert np.abs(pixels[30:].astype(int) - level).max() <= 4
        assert pixels[:20].max() <= 4


def test_a_line_may_name_a_video_and_a_damaged_one_costs_its_own_frames_alone(video: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    lines = io.BytesIO(f"{tmp_path}/bad.mp4\n{video}\n".encode())
    first, *others = Lines(lines)
    assert isinstance(first, DataError)
    assert "bad.mp4: cannot be read as a video" in str(first)
    assert len(others) == 4


def test_cameras_and_streams_are_live(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    camera = live_video("camera:1")
    assert camera == Video("camera:1", "/dev/video1", "v4l2", live=True)
    assert live_video("camera:/dev/video7") == Video("camera:/dev/video7", "/dev/video7", "v4l2", live=True)
    stream = live_video(f"file://{video}")
    assert stream is not None
    assert stream.live
    assert stream.endless
    frames = [item for item in stream if isinstance(item, Item)]
    assert len(frames) == 4
    assert not frames[0].place.is_absolute()
    (error,) = Video("camera:9", "/dev/none9", "v4l2", live=True)
    assert "camera:9: cannot be read as a video" in str(error)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r'need PyAV: pip install "dlkd\[video\]"'):
        sources([str(tmp_path / "a.mp4")], io.BytesIO())


def test_a_frame_that_is_stored_on_its_side_is_turned(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    turned = video.with_name("turned.mp4")
    with av.open(str(video)) as stored, av.open(str(turned), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)
        for frame in stored.decode(video=0):
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    frame = [item for item in Video("v", str(turned)) if isinstance(item, Item)][3]
    assert frame.pixels().shape == (64, 48, 3)
    # A quarter turn to the left brings the black upper half to the left.
    assert frame.pixels()[:, :16].mean() < 20
    assert frame.pixels()[:, 32:].mean() > 200
