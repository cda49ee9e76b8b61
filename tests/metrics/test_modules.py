"""The torchmetrics: equal to the functions over batches, collections, merged states and processes."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torchmetrics import MetricCollection

from dlkd.metrics import PixelHistogram, Regions, aupimo, image_auroc, pixel_auroc, pixel_metrics, pro, seg_f1
from dlkd.metrics.modules import AUPIMO, PRO, ImageAUROC, PixelAUROC, PixelScores, SegF1

RATES = (0.02, 0.5)


def maps_and_masks(n=6, side=10):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(n, side, side, generator=generator).mul(10).round() / 10
    masks = torch.rand(n, side, side, generator=generator) < 0.2
    masks[::3] = False
    return maps, masks


def test_image_auroc_over_batches():
    scores, labels = torch.tensor([0.1, 0.4, 0.4, 0.9, 0.2]), torch.tensor([0, 0, 1, 1, 1])
    metric = ImageAUROC()
    metric.update(scores[:2], labels[:2])
    metric.update(scores[2:], labels[2:])
    assert metric.compute().item() == image_auroc(scores, labels)


def test_exact_over_batches_in_a_collection():
    maps, masks = maps_and_masks()
    metrics = MetricCollection([PixelAUROC(), PRO(fpr_limit=0.2), PixelScores(fpr_limit=0.2), AUPIMO(rates=RATES)])
    for batch in (slice(0, 1), slice(1, 4), slice(4, 6)):
        metrics.update(maps[batch], masks[batch])
    found, exact = metrics.compute(), pixel_metrics(maps, masks, 0.2)
    assert found["PixelAUROC"].item() == exact.auroc == found["pixel_auroc"].item()
    assert found["PRO"].item() == exact.pro == found["pro"].item()
    assert found["pixel_ap"].item() == exact.average_precision
    assert found["pixel_f1_max"].item() == exact.f1_max
    assert found["pro_05"].item() == exact.pro_05 == pro(maps, masks, 0.05)
    assert found["AUPIMO"].item() == aupimo(maps, masks, RATES) > 0
    assert found["aupimo"].isnan()
    assert len(metrics.compute_groups) == 1  # the pixels are kept once for all four


def test_seg_f1_over_batches():
    maps, masks = maps_and_masks()
    metric = SegF1(0.75)
    metric.update(maps[:2], masks[:2])
    metric.update(maps[2:, :7], masks[2:, :7])
    assert metric.compute().item() == seg_f1([*maps[:2], *maps[2:, :7]], [*masks[:2], *masks[2:, :7]], 0.75) > 0
    metric.reset()
    metric.update(maps, masks & False)
    assert metric.compute().isnan()
    assert metric.undefined == "nothing is anomalous"


def test_with_bits_it_is_the_histogram():
    maps, masks = maps_and_masks()
    histogram = PixelHistogram(12)
    histogram.update(maps, masks)
    metric = PixelScores(bits=12)
    for map_, mask in zip(maps, masks, strict=True):
        metric.update(map_[None], mask[None])
    assert metric.compute()["pro"].item() == pytest.approx(histogram.metrics().pro, abs=1e-12)
    assert metric.compute()["pixel_auroc"].item() == histogram.metrics().auroc
    assert sum(t.nbytes for t in metric.metric_state.values()) == 40 * 2**12 + 4 * 8
    of_images = AUPIMO(bits=12, rates=RATES)
    of_images.update(maps, masks)
    assert of_images.compute().item() == pytest.approx(histogram.aupimo(RATES), abs=1e-12)
    assert 0 < histogram.aupimo(RATES) <= aupimo(maps, masks, RATES)


@pytest.mark.parametrize("bits", [None, 20])
def test_regions_in_place_of_masks(bits):
    """Two regions share the first pixel, and one of them has a second pixel far from it."""
    maps = torch.tensor([[[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]]])
    regions = Regions(np.array([[1 / (1 + 1 / 2), 0, 2], [0, 0, 0]], np.float32))
    metric = PixelScores(bits=bits, fpr_limit=1.0)
    metric.update(maps, [regions])
    # Shares at 3: 1 and 1/2; at 1, below one of four normal pixels: both whole.
    assert metric.compute()["pro"].item() == pytest.approx(0.75 * 0.25 + 0.75, abs=1e-6)
    assert metric.compute()["pixel_auroc"].item() == pixel_auroc(maps, regions.mask[None])
    assert pro(maps, [regions], 1.0) == pytest.approx(0.9375, abs=1e-6)
    with pytest.raises(ValueError, match=r"must both be \(h, w\)"):
        metric.update(maps[:, :1], [regions])


@pytest.mark.parametrize("sizes", [np.zeros(3), np.full((2, 2), np.nan), np.full((2, 2), -1.0)])
def test_sizes_that_are_none(sizes):
    with pytest.raises(ValueError, match="sizes must be"):
        Regions(sizes)


@pytest.mark.parametrize("bits", [None, 16])
def test_reset_forgets_and_merge_adds(bits):
    maps, masks = maps_and_masks()
    left, right = PRO(bits=bits), PRO(bits=bits)
    left.update(-maps, masks)
    left.reset()
    left.update(maps[:4], masks[:4])
    right.update(maps[4:], masks[4:])
    left.merge_state(right)
    whole = PRO(bits=bits)
    whole.update(maps, masks)
    assert left.compute().item() == pytest.approx(whole.compute().item(), abs=1e-12)


def test_sizes_may_change_between_updates_and_bfloat16_is_taken():
    maps, masks = maps_and_masks()
    metric = PRO()
    metric.update(maps[:3].bfloat16(), masks[:3])
    metric.update(maps[3:, :7], masks[3:, :7])
    every_map = [*maps[:3].bfloat16(), *maps[3:, :7]]
    assert metric.compute().item() == pytest.approx(pro(every_map, [*masks[:3], *masks[3:, :7]]), abs=1e-12)


def test_undefined_is_nan_and_says_why():
    maps, masks = maps_and_masks()
    for metric in (PixelAUROC(), PRO(), PixelAUROC(bits=12)):
        metric.update(maps, torch.zeros_like(masks))
        assert metric.compute().isnan()
        assert metric.undefined == "nothing is anomalous"
        metric.update(maps, masks)
        assert not metric.compute().isnan()
        assert metric.undefined is None
    every = PixelScores()
    every.update(maps, torch.ones_like(masks))
    every.compute()
    names = ("pixel_auroc", "pro", "pro_05")
    assert every.undefined == {**dict.fromkeys(names, "nothing is normal"), "aupimo": "no image is normal"}
    image = ImageAUROC()
    image.update(torch.zeros(2), torch.ones(2))
    assert image.compute().isnan()
    assert image.undefined == "nothing is normal"


@pytest.mark.parametrize("bits", [None, 12])
def test_nan_scores_are_refused_at_the_update(bits):
    with pytest.raises(ValueError, match="NaN has no rank"):
        PRO(bits=bits).update(torch.full((1, 2, 2), torch.nan), torch.zeros(1, 2, 2))


def run_rank(rank, folder):
    """What one of two processes finds: an uneven share each, then all data on process 1."""
    meet = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    maps, masks = maps_and_masks()
    found = []
    for shares in ((slice(0, 1), slice(1, 6)), (slice(0, 0), slice(0, 6))):
        for bits in (None, 14):
            metric = PixelScores(bits=bits)
            if len(maps[shares[rank]]):
                metric.update(maps[shares[rank]], masks[shares[rank]])
            else:
                metric._update_count = 1  # compute without an update warns, as torchmetrics always does
            found.append({name: value.item() for name, value in metric.compute().items() if name != "aupimo"})
            of_images = AUPIMO(rates=RATES, bits=bits)
            of_images._update_count = 1
            if len(maps[shares[rank]]):
                of_images.update(maps[shares[rank]], masks[shares[rank]])
            found[-1]["aupimo"] = of_images.compute().item()
    nothing_anomalous = PixelAUROC()
    nothing_anomalous.update(maps, torch.zeros_like(masks))
    found.append(nothing_anomalous.compute().isnan().item())
    image = ImageAUROC()
    image.update(maps[rank::2].amax((1, 2)), masks[rank::2].any(2).any(1))
    found.append(image.compute().item())
    dist.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="ascii")


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path):
    commands = [[sys.executable, __file__, str(rank), str(tmp_path)] for rank in range(2)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    found = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="ascii")) for rank in range(2)]
    assert found[0] == found[1]

    maps, masks = maps_and_masks()
    alone = []
    for bits in (None, 14):
        metric = PixelScores(bits=bits)
        metric.update(maps, masks)
        of_images = AUPIMO(rates=RATES, bits=bits)
        of_images.update(maps, masks)
        alone.append(
            {name: value.item() for name, value in metric.compute().items()} | {"aupimo": of_images.compute().item()}
        )
    for together, single in zip(found[0][:4], alone * 2, strict=True):
        assert together == pytest.approx(single, abs=1e-12)
    assert found[0][4] is True
    assert found[0][5] == image_auroc(maps.amax((1, 2)), masks.any(2).any(1))
    assert alone[0]["pixel_auroc"] == pixel_auroc(maps, masks)


if __name__ == "__main__":
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
