"""The table of shapes and parameters behind `dlkd show`."""

import functools

import torch

from dlkd.blocks import LFRB
from dlkd.models import DLKD, CoarseDecoder, Teacher
from dlkd.models.describe import describe

LOCAL = functools.partial(CoarseDecoder, global_=None, local=functools.partial(LFRB, patches=1))


def model(**arguments):
    teacher = functools.partial(Teacher, backbone="resnet18", weights="random")
    return DLKD(teacher=teacher, decoder=LOCAL, **arguments)


def test_shapes_are_the_papers_at_256():
    """The rows of the table in docs/design.md."""
    stages, _ = describe(model(), (256, 256))
    scales = "(1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16)"
    assert stages == [
        ("image", "(1, 3, 256, 256)"),
        ("T_E, teacher", scales),
        ("F_E, pseudo-anomalies", scales),
        ("fused (MFFM)", "(1, 512, 8, 8)"),
        ("F_CS, coarse decoder", scales),
        ("M_C, coarse maps", "(1, 64, 64), (1, 32, 32), (1, 16, 16)"),
        ("F_PS, refined", scales),
        ("anomaly map", "(1, 256, 256)"),
    ]


def test_without_a_refiner_its_rows_are_missing():
    stages, counts = describe(model(refiner=None), (64, 64))
    assert "F_PS, refined" not in dict(stages)
    assert "refiner" not in dict(counts)


def test_counts_are_those_of_the_parts():
    m = model()
    counts = dict(describe(m, (64, 64))[1])
    parts = {
        "teacher (frozen)": m.teacher, "fusion": m.fusion, "coarse decoder": m.decoder, "refiner": m.refiners
    }  # fmt: skip
    for name, part in parts.items():
        assert counts[name] == sum(p.numel() for p in part.parameters())
    assert counts["trained"] == sum(p.numel() for p in m.parameters() if p.requires_grad)
    assert counts["trained"] == sum(counts.values()) - counts["trained"] - counts["teacher (frozen)"]


def test_describing_changes_neither_weights_nor_statistics():
    m = model()
    before = {k: v.clone() for k, v in m.state_dict().items()}
    describe(m, (64, 64))
    assert all(torch.equal(v, before[k]) for k, v in m.state_dict().items())
