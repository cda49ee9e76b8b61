"""Detectors from exported files, without PyTorch: needs numpy, Pillow and onnxruntime (or openvino) alone.

>>> from dlkd.runtime import Detector
>>> detector = Detector("detector.onnx")            # doctest: +SKIP
>>> found = detector("part.png")                    # doctest: +SKIP
>>> found.label, found.score, found.map.shape       # doctest: +SKIP
('normal', 2.585, (480, 640))
"""

from dlkd.runtime.detector import Detector
from dlkd.runtime.engine import FileError
from dlkd.runtime.picture import Picture, PictureError, rgb_of
from dlkd.runtime.result import Result

__all__ = ["Detector", "FileError", "Picture", "PictureError", "Result", "rgb_of"]
