"""Trials whose figures are known, what they leave in their store, and a report of them, made once."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from dlkd import drawing
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.plots import draw
from dlkd.ablations.report.write import write_report
from dlkd.ablations.run.costs import Measured

METRICS = ("image_auroc", "pixel_auroc", "pro")
PAPER = {"image_auroc": 99.48, "pixel_auroc": 98.06, "pro": 94.38}
CATEGORIES = ("brick", "grass", "gravel")


def _grid(name="table4", rows=("LFRB", "LFRB + GFRB", "DLKD"), paper=True, factors=()):
    made = [
        GridRow(label=r, variant=f"v{i}", paper=PAPER if paper else {}, factors=factors[i] if factors else {})
        for i, r in enumerate(rows)
    ]
    return Grid(
        name=name, title=f"Title of {name}", source="its source", rows=made, reference=rows[-1], stepwise=not factors
    )


def _trials_of(grid, *, means, categories=CATEGORIES, seeds=(0, 1), dataset="textures", spread=0.01):
    """Long format; row i has `means[i]` in every metric, give or take a known amount per category and per seed."""
    lines = []
    for i, (row, mean) in enumerate(zip(grid.rows, means, strict=True)):
        for c, category in enumerate(categories):
            for seed in seeds:
                # Over the seeds it adds up to nothing, and no two rows have the same.
                jitter = 0.002 * (1 + 0.5 * ((i + c) % 3)) * (seed - sum(seeds) / len(seeds))
                for metric in METRICS:
                    lines.append(
                        {
                            **{"table": grid.name, "row": row.label, "dataset": dataset, "category": category},
                            **{
                                "seed": seed,
                                "metric": metric,
                                "value": mean + spread * (c - 1) + jitter,
                                "status": "ok",
                            },
                            **{"reason": "", "variant": row.variant, "key": f"{row.variant}-{category}-{seed}"},
                            **{
                                "image_size": 128,
                                "epochs": 1000,
                                "max_steps": 16,
                                "settings": "teacher tf_efficientnet_lite0",
                            },
                            **{"pro_limit": 0.3, "score_at": "network"},
                            **{"parameters": 2e6, "flops": 5e8, "train_seconds": 10.0},
                        }
                    )
    return pd.DataFrame(lines)


def _alone(*grids, seconds=0.02):
    """What was measured of each row alone."""
    about = {"key": "k", "device": "a processor", "threads": 2, "day": "2026-11-28"}
    found = {"latency_1": seconds, "latency_8": 0.1, "images_per_second": 80.0, "peak_memory_bytes": 2.0**26}
    return {(g.name, row.label): Measured(g.name, row.label, **found, **about) for g in grids for row in g.rows}


def _fail(trials, row, category, seed, reason):
    at = (trials["row"] == row) & (trials["category"] == category) & (trials["seed"] == seed)
    costs = ["parameters", "flops", "train_seconds"]
    trials.loc[at, ["value", *costs]] = np.nan
    trials.loc[at, ["status", "reason"]] = ["failed", reason]


def _undefine(trials, metrics, reason, category=None):
    at = trials["metric"].isin(metrics)
    if category:
        at &= trials["category"] == category
    trials.loc[at, "value"] = np.nan
    trials.loc[at, ["status", "reason"]] = ["undefined", reason]


def _keep(store, trials, *, side=32, masks=True):
    """What trained trials leave in their folders."""
    image = np.full((3, side, side, 3), 120, np.uint8)
    mask = np.zeros((3, side, side), bool)
    mask[1:, 8:20, 8:20] = True
    for i, key in enumerate(trials["key"].unique()):
        folder = store / key
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / "examples.npz",
            **{"images": image, "maps": (1 + i + mask).astype(np.float16), "names": np.array(["a", "b", "c"])},
            **{"masks": mask if masks else np.empty(0, bool), "scores": np.array([1.0, 2.0, 2.0]) + i},
            **{"labels": np.array([0, 1, 1]), "threshold": np.array(0.975 + i)},
        )
        curve = [{"epoch": e, "step": 8 * e, "total": 4 / e, "ckd": 2 / e} for e in (1, 2)]
        result = {"curve": curve, "versions": {"torch": "9.9.9", "revision": "0123456789" * 4}}
        (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture(scope="session")
def grid():
    return _grid


@pytest.fixture(scope="session")
def trials_of():
    return _trials_of


@pytest.fixture(scope="session")
def alone():
    return _alone


@pytest.fixture(scope="session")
def fail():
    return _fail


@pytest.fixture(scope="session")
def undefine():
    return _undefine


@pytest.fixture(scope="session")
def keep():
    return _keep


class Page(HTMLParser):
    """Tables as lists of lists of text, except those of figures' numbers, and every address."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.addresses, self.images = [], [], []
        self._cell = None
        self._folded = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "srcset") if attributes.get(name)]
        if tag == "details" or self._folded:
            self._folded = True
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag == "img":
            self.images.append(attributes)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None
        elif tag == "details":
            self._folded = False

    def handle_data(self, data):
        if self._cell:
            self.tables[-1][-1][-1] = " ".join((self.tables[-1][-1][-1] + " " + data).split())


@pytest.fixture(scope="session")
def page_of():
    return Page


@pytest.fixture
def undrawn(monkeypatch):
    """Empty pictures, since drawing takes most of a report's time."""
    monkeypatch.setattr(draw, "draw", lambda data: drawing.LiteralFigure((1, 1)))


@pytest.fixture
def text_of(undrawn):
    """The page of trials, as text and parsed."""

    def make(trials, grids, store):
        page = html(make_report(trials, grids, store))
        return page, Page(page)

    return make


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A report of two grids, one with the paper's figures and one with an untrained row, store and all."""
    folder = tmp_path_factory.mktemp("report")
    four, untrained = _grid(), _grid("untrained", rows=("untrained student", "DLKD"), paper=False)
    one = _trials_of(four, means=(0.90, 0.95, 0.97))
    # The reference's cells, shared with an earlier table, come first, as `collect` gives them.
    one = pd.concat([one[one["row"] == "DLKD"], one[one["row"] != "DLKD"]])
    two = _trials_of(untrained, means=(0.50, 0.97)).assign(key=lambda t: "u-" + t["key"])
    two.loc[two["row"] == "untrained student", "epochs"] = 0
    trials = pd.concat([one, two], ignore_index=True)
    _fail(trials, "LFRB", "grass", 1, "NonFiniteLossError: at step 3")
    _keep(folder / "store", trials)
    shutil.rmtree(folder / "store" / "v0-grass-1")
    paths = write_report(trials, [four, untrained], folder / "store", folder / "out", _alone(four, untrained))
    return trials, [four, untrained], folder, {path.name: path.read_text(encoding="utf-8") for path in paths}
