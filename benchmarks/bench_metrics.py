"""Pixel metrics: time and peak memory against anomalib's (or plain scikit-learn's) on one input; influences.

    python benchmarks/bench_metrics.py --json metrics.json           # 100 maps of 256x256, two regions each
    python benchmarks/bench_metrics.py --json metrics.json --large   # and 1,000 maps of 1,024x1,024

Two sets are compared: pixel AUROC and PRO; and, where 27 of the 100 images are normal, these with PRO up to 0.05,
AUPIMO and the F1 of the pixels above a threshold. Each implementation runs in its own process, one after another in
rounds, so that a busy machine slows all alike; the ratio is the median over rounds. Added memory is what the call adds
at its peak to the process that holds the input. The influences of the test images on image AUROC, pixel AUROC and PRO
are timed beside all metrics of one cell of MVTec's size, 115 images of 256x256 with the regions known, as a trial
knows them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from said import counted, say
from scipy.ndimage import gaussian_filter, label

Array = np.ndarray[Any, Any]
Found = dict[str, float]
THRESHOLD = 0.6
"""Of the maps' scores, for the F1 of the pixels above it."""


def make_input(n: int, side: int, *, smooth: bool, normal: float = 0.0) -> tuple[Array, Array]:
    """Maps (n, side, side) in [0, 1] and masks with two regions an image, scores raised on half of each.

    A share `normal` of the images has no region.
    """
    rng = np.random.default_rng(0)
    maps, masks = np.empty((n, side, side), np.float32), np.zeros((n, side, side), bool)
    for i, (map_, mask) in enumerate(zip(maps, masks, strict=True)):
        rng.random(map_.shape, dtype=np.float32, out=map_)
        if smooth:
            map_[:] = gaussian_filter(map_, 4)
            map_ -= map_.min()
            map_ /= 2 * map_.max()
            if normal:  # else the highest scores of all images would be the same
                map_ *= rng.uniform(0.8, 1.0)
        for left in (side // 16, side // 2 + side // 16) if i >= normal * n else ():
            height, width = rng.integers(side // 32, side // 4, 2)
            top = rng.integers(0, side - height)
            mask[top : top + height, left : left + width] = True
            map_[top : top + height // 2, left : left + width] += 0.3
    maps /= maps.max()
    return maps, masks


def run_dlkd(maps: Array, masks: Array) -> Found:
    """Every exact pixel metric of dlkd, of which pixel AUROC and PRO are compared."""
    from dlkd.metrics import pixel_metrics

    found = pixel_metrics(maps, masks)
    return {"pixel_auroc": found.auroc, "pro": found.pro}


def run_dlkd_all(maps: Array, masks: Array) -> Found:
    """And those that need normal images or a threshold."""
    from dlkd.metrics import pixel_metrics, seg_f1

    found = pixel_metrics(maps, masks)
    four = {"pixel_auroc": found.auroc, "pro": found.pro, "pro_05": found.pro_05, "aupimo": found.aupimo}
    return {**four, "seg_f1": seg_f1(maps, masks, THRESHOLD)}


def run_histogram(maps: Array, masks: Array) -> Found:
    """dlkd's streaming form, with the bound it states."""
    from dlkd.metrics import PixelHistogram

    histogram = PixelHistogram()
    histogram.update(maps, masks)
    found, bound = histogram.metrics(), histogram.error_bound()
    return {"pixel_auroc": found.auroc, "pro": found.pro, "auroc_bound": bound.auroc, "pro_bound": bound.pro}


def run_anomalib(maps: Array, masks: Array) -> Found:
    """anomalib's AUROC and AUPRO, exact (no thresholds given)."""
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC

    scores, labels = torch.from_numpy(maps), torch.from_numpy(masks).int()
    found = {}
    for name, metric in (("pixel_auroc", _AUROC()), ("pro", _AUPRO(fpr_limit=0.3))):
        metric.update(scores, labels)
        found[name] = metric.compute().item()
    return found


def run_anomalib_all(maps: Array, masks: Array) -> Found:
    """These, AUPRO up to 0.05, AUPIMO with its default of 300,000 thresholds, and F1 at the threshold."""
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.pimo.pimo import _AUPIMO
    from torchmetrics.classification import BinaryF1Score  # what anomalib's F1Score is

    scores, labels = torch.from_numpy(maps), torch.from_numpy(masks).int()
    found = run_anomalib(maps, masks)
    for name, metric in (("pro_05", _AUPRO(fpr_limit=0.05)), ("seg_f1", BinaryF1Score(threshold=THRESHOLD))):
        metric.update(scores, labels)
        found[name] = metric.compute().item()
    pimo = _AUPIMO()
    pimo.update(scores, labels)
    return {**found, "aupimo": pimo.compute().item()}


def run_plain(maps: Array, masks: Array) -> Found:
    """scikit-learn's AUROC and PRO from 200 evenly spaced thresholds, region by region."""
    from sklearn.metrics import roc_auc_score

    regions = []
    for map_, mask in zip(maps, masks, strict=True):
        labelled, n = label(mask, np.ones((3, 3)))
        regions += [map_[labelled == k] for k in range(1, n + 1)]
    normal = maps[~masks]
    thresholds = np.linspace(maps.max(), maps.min(), 200)
    fpr = np.array([0.0, *(np.mean(normal >= t) for t in thresholds)])
    pro = np.array([0.0, *(np.mean([np.mean(region >= t) for region in regions]) for t in thresholds)])
    grid = np.r_[fpr[fpr < 0.3], 0.3]
    area = np.trapezoid(np.r_[pro[fpr < 0.3], np.interp(0.3, fpr, pro)], grid) / 0.3
    return {"pixel_auroc": float(roc_auc_score(masks.ravel(), maps.ravel())), "pro": float(area)}


RUNS: dict[str, Callable[[Array, Array], Found]] = {
    "dlkd": run_dlkd,
    "dlkd-histogram": run_histogram,
    "anomalib": run_anomalib,
    "plain": run_plain,
    "dlkd-all": run_dlkd_all,
    "anomalib-all": run_anomalib_all,
}
NORMAL = dict.fromkeys(("dlkd-all", "anomalib-all"), 0.27)
"""Share of normal images, as in MVTec AD; those that lack here have none."""


def status_mib(field: str) -> float:
    """A field of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def measure(name: str, n: int, side: int, *, smooth: bool) -> dict[str, float]:
    """One timed call after one on a tiny input, with the memory that it adds at its peak."""
    RUNS[name](*make_input(8, 192, smooth=True, normal=NORMAL.get(name, 0.0) and 0.5))
    maps, masks = make_input(n, side, smooth=smooth, normal=NORMAL.get(name, 0.0))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts from here
    before = status_mib("VmRSS")
    start, cpu_start = time.perf_counter(), time.process_time()
    found = RUNS[name](maps, masks)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = status_mib("VmHWM")
    timing = {"seconds": seconds, "cpu_seconds": cpu_seconds}
    return {**timing, "added_mib": peak - before, "peak_mib": peak, **found}


def in_own_process(name: str, n: int, side: int, *, smooth: bool) -> dict[str, float]:
    """`measure` in a fresh process."""
    say(f"{n:,} maps of {side}x{side}: {name}")
    command = [sys.executable, __file__, "--one", name, str(n), str(side), str(int(smooth))]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def compare(rounds: int, ours: str, theirs: str, what: str, *others: str) -> dict[str, Any]:
    """Medians over rounds of implementations on 100 maps of 256x256."""
    runs = [
        {name: in_own_process(name, 100, 256, smooth=True) for name in (ours, *others, theirs)}
        for _ in counted("round", range(rounds))
    ]
    medians = {
        name: {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]} for name in runs[0]
    }
    ratios, of_processor = ([run[theirs][key] / run[ours][key] for run in runs] for key in ("seconds", "cpu_seconds"))
    found: dict[str, Any] = {
        "medians": medians,
        "speed_ratio": statistics.median(ratios),
        "speed_ratios": ratios,
        "processor_ratio": statistics.median(of_processor),
        "memory_ratio": medians[theirs]["added_mib"] / medians[ours]["added_mib"],
        "targets": [],
    }
    if not theirs.startswith("anomalib"):
        return found | {"skipped": "speed and memory against anomalib: it is not installed: pip install dlkd[bench]"}
    for measure, bound in (("speed", 20.0), ("memory", 1.0)):
        value = found[f"{measure}_ratio"]
        row = {"what": f"{what}, {measure}, anomalib / dlkd", "measured": value, "target": f">= {bound:g}"}
        found["targets"].append({**row, "met": value >= bound})
    return found


def influences(rounds: int) -> dict[str, Any]:
    """Medians of the CPU seconds of one cell's metrics and of its influences, and of 135 cells' influences."""
    from dlkd.metrics import Regions, image_auroc, image_influences, pixel_influences, pixel_metrics
    from dlkd.metrics.regions import region_sizes

    maps, masks = make_input(115, 256, smooth=True)
    masks[84:] = False  # in MVTec AD 73% of the test images are anomalous
    regions = []
    for mask in masks:
        sizes = np.zeros(mask.shape)
        sizes[mask] = region_sizes(mask)[0]
        regions.append(Regions(sizes))
    scores, labels = maps.max(axis=(1, 2)), masks.any(axis=(1, 2))

    def metrics() -> Any:
        image_auroc(scores, labels)
        return pixel_metrics(maps, regions).counts

    def both(counts: Any) -> None:
        image_influences(scores, labels)
        pixel_influences(maps, regions, counts)

    counts = metrics()
    found: dict[str, list[float]] = {"metrics": [], "influences": []}
    for _ in counted("influences, round", range(rounds)):
        for name, run in (("metrics", metrics), ("influences", lambda: both(counts))):
            start = time.process_time()
            run()
            found[name].append(time.process_time() - start)
    seconds = {name: statistics.median(times) for name, times in found.items()}
    extra = 135 * seconds["influences"]
    row = {"what": "influences of 135 cells of MVTec's size, seconds", "measured": extra, "target": "<= 60"}
    return {"cpu_seconds": seconds, "targets": [{**row, "met": extra <= 60}]}


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file to write the figures to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also 1,000 maps of 1,024x1,024 (6 GiB, minutes)")
    arguments = parser.parse_args()
    peer = "anomalib" if importlib.util.find_spec("anomalib") else "plain"
    figures: dict[str, Any] = {
        "machine": {
            "processor": platform.processor(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        },
        "100x256x256": compare(arguments.rounds, "dlkd", peer, "pixel AUROC + PRO", "dlkd-histogram"),
        "influences": influences(arguments.rounds),
    }
    if peer == "anomalib":  # whose AUPIMO takes most of a minute
        what = "these + PRO to 0.05 + AUPIMO + F1"
        figures["and 27 normal maps"] = compare(-(-arguments.rounds // 3), "dlkd-all", "anomalib-all", what)
    if arguments.large:
        figures["1000x1024x1024"] = {
            name: in_own_process(name, 1000, 1024, smooth=False) for name in ("dlkd", "dlkd-histogram")
        }
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _, _, one, n_maps, map_side, is_smooth = sys.argv
        print(json.dumps(measure(one, int(n_maps), int(map_side), smooth=bool(int(is_smooth)))))
    else:
        main()
