"""The frames of videos, cameras and streams, by PyAV."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from dlkd.data import DataError
from dlkd.scoring.item import Item, place_of

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})
CAMERA = "camera:"


@dataclass(frozen=True)
class Video:
    """The frames of a video file, a camera or a stream, decoded one at a time.

    Attributes:
        name: as it was given.
        address: what PyAV opens.
        container: PyAV's name of the format; None finds it.
        options: of the format.
        live: whether frames come as they are made, so that each is scored at once.
        place: folder of what is drawn of the frames, below that of the output; default by the name.
    """

    name: str
    address: str
    container: str | None = None
    options: Mapping[str, str] | None = None
    live: bool = False
    place: Path | None = None

    @property
    def endless(self) -> bool:
        """Whether Ctrl-C is the ordinary end."""
        return self.live

    def count(self) -> int | None:
        """The number of frames is not known: headers often lack it."""
        return None

    def check(self) -> None:
        """Raises DataError where PyAV is missing."""
        _pyav()

    def __iter__(self) -> Iterator[Item | DataError]:
        av = _pyav()
        place = self.place or place_of(Path(self.name.replace("://", "/").replace(":", "-")))
        begun: float | None = None
        try:
            with av.open(self.address, format=self.container, options=dict(self.options or {})) as container:
                if not container.streams.video:
                    raise DataError(f"{self.name}: holds no video")
                container.streams.video[0].thread_type = "AUTO"
                rate = float(container.streams.video[0].average_rate or 0)
                for number, frame in enumerate(container.decode(video=0)):
                    time = frame.time if frame.time is not None else number / rate if rate else 0.0
                    begun = time if begun is None else begun
                    upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    pixels = np.ascontiguousarray(upright)
                    yield Item(self.name, place / f"frame{number:08d}.png", pixels, number, time - begun)
        except DataError as error:
            yield error
        except (OSError, ValueError) as error:  # PyAV's errors are made of these, and of the error of FFmpeg
            yield DataError(f"{self.name}: cannot be read as a video ({error})")


def live_video(text: str) -> Video | None:
    """The camera (`camera:0`, `camera:DEVICE`) or stream (`rtsp://...`) that a word of the command line names, if any.

    Raises DataError where it names no device.
    """
    if text.startswith(CAMERA):
        return _camera(text)
    return Video(text, text, live=True) if "://" in text else None


def _camera(text: str) -> Video:
    device = text.removeprefix(CAMERA)
    if not device:
        raise DataError(f"{text}: name a camera: {CAMERA}0, or its device as in {CAMERA}/dev/video0")
    if sys.platform == "darwin":
        return Video(text, device, "avfoundation", {"framerate": "30"}, live=True)
    return Video(text, f"/dev/video{device}" if device.isdigit() else device, "v4l2", live=True)


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError:
        raise DataError('videos and cameras need PyAV: pip install "dlkd[video]"') from None
    return av
