"""All pixel metrics at once are those computed one by one, from one pass of sorting."""

import numpy as np
import pytest

from dlkd.metrics import (
    aupimo,
    average_precision,
    counts,
    f1_max,
    pixel_auroc,
    pixel_metrics,
    pro,
    pro_curve,
    why_undefined,
)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    return rng.integers(0, 40, (3, 12, 9)) / 40, rng.random((3, 12, 9)) < 0.15


def test_equals_the_single_metrics(case):
    found = pixel_metrics(*case, fpr_limit=0.2)
    assert found.auroc == pixel_auroc(*case)
    assert found.average_precision == average_precision(*case)
    assert found.f1_max == f1_max(*case)
    assert found.pro == pro(*case, fpr_limit=0.2)
    assert found.pro_05 == pro(*case, fpr_limit=0.05) != found.pro
    assert why_undefined(found.aupimo) == why_undefined(aupimo(*case)) == "no image is normal"
    assert found.images is not None
    curve = pro_curve(*case)
    np.testing.assert_array_equal(found.pro_curve.pro, curve.pro)
    np.testing.assert_array_equal(found.pro_curve.fpr, curve.fpr)


def test_sorts_once(case, monkeypatch):
    calls = []
    sort_once = counts.count_split
    monkeypatch.setattr(counts, "count_split", lambda *a: calls.append(1) or sort_once(*a))
    pixel_metrics(*case)
    assert calls == [1]


def test_all_normal_and_all_anomalous():
    normal = pixel_metrics(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)))
    names = ("auroc", "average_precision", "f1_max", "pro")
    assert {why_undefined(getattr(normal, name)) for name in names} == {"nothing is anomalous"}
    anomalous = pixel_metrics(np.zeros((1, 2, 2)), np.ones((1, 2, 2)))
    assert why_undefined(anomalous.auroc) == why_undefined(anomalous.pro) == "nothing is normal"
    assert (anomalous.average_precision, anomalous.f1_max) == (1.0, 1.0)


def test_maps_may_be_read_from_disk(case, tmp_path):
    maps, masks = case
    np.save(tmp_path / "maps.npy", maps)
    assert pixel_metrics(np.load(tmp_path / "maps.npy", mmap_mode="r"), masks).pro == pro(maps, masks)
