"""DeSTSeg's student: an untrained backbone and a decoder, from an image with a defect to features without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from dlkd.models.parts.student import Student
from dlkd.models.teachers.teacher import Teacher


class DenoisingStudent(nn.Module):
    """Student of Zhang et al. (CVPR 2023): the backbone's stage below the teacher's last one, and back up from there.

    Args:
        teacher: gives backbone and scales.
        decoder: class of the decoder, without skips; see `dlkd.models.parts.bilinear_decoder.BilinearDecoder`.
        zero_init_last: see `dlkd.models.parts.student.Student`.

    Raises:
        ValueError: the backbone has no stage below the teacher's last one, or the decoder asks for features.
    """

    def __init__(self, teacher: Teacher, decoder: Callable[..., nn.Module], *, zero_init_last: bool = True) -> None:
        super().__init__()
        info: Any = teacher.network.feature_info
        below = 2 * teacher.reductions[-1]
        stages = [i for i, stage in enumerate(info.info) if stage["reduction"] == below]
        if not stages:
            raise ValueError(
                f"destseg: the student begins at 1/{below} of the image, and {teacher.backbone} has no stage there; "
                f"set `teacher.stages` to others, or another `teacher.backbone`"
            )
        self.encoder = Student(teacher, stages=stages[:1], zero_init_last=zero_init_last)
        in_channels = info.info[stages[0]]["num_chs"]
        self.decoder = decoder(teacher.channels, in_channels=in_channels, reductions=teacher.reductions)
        if getattr(self.decoder, "takes_features", False):
            raise ValueError("destseg: the student's decoder gets no features; set `decoder.skip: none`")

    def forward(self, images: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> list[Tensor]:
        """Images (b, 3, h, w) -> maps as the teacher's, [(b, c_k, h_k, w_k), ...], of `sizes`, largest first."""
        [bottom] = self.encoder(images)
        made: list[Tensor] = self.decoder(bottom, sizes)
        return made
