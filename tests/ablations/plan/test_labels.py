"""A run's labels say what its preset, or the command line, narrows."""

from pathlib import Path

import pytest

from dlkd.ablations.asked import Asked
from dlkd.ablations.plan.grid_files import grid_of
from dlkd.ablations.plan.labels import rows_called
from dlkd.ablations.run.pool import Pool
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError

ROWS = [
    {"label": "RD", "variant": "dlkd", "narrowed": {"demo": "128 pixels, 40 steps"}},
    {"label": "b", "variant": "dlkd"},
]


def labels(preset: str | None, **training: object) -> list[str]:
    asked = Asked(default_registry(), Pool(workers=1, threads=1), preset=preset, training=training)
    found = asked.labelled(grid_of({"title": "t", "rows": ROWS, "reference": "RD", "segmented": ["RD"]}))
    assert (found.reference, *found.segmented) == (found.rows[0].label,) * 2
    assert found.preset == (preset or "demo")
    assert asked.labelled(found) == found
    return [row.label for row in found.rows]


def test_a_label_has_what_the_preset_narrows_in_brackets() -> None:
    assert labels(None) == ["RD (128 pixels, 40 steps)", "b"]
    assert labels("paper") == ["RD", "b"]


def test_a_row_keeps_its_host_by_the_hosts_new_label() -> None:
    asked = Asked(default_registry(), Pool(workers=1, threads=1), preset="demo", training={})
    rows = [ROWS[0], {**ROWS[1], "host": "RD"}]
    found = asked.labelled(grid_of({"title": "t", "rows": rows}))
    assert [row.host for row in found.rows] == [None, "RD (128 pixels, 40 steps)"]
    assert found.reference is None


def test_what_the_command_line_asks_for_is_said_too() -> None:
    assert labels("demo", max_steps=1, image_size=64)[0] == "RD (128 pixels, 40 steps; here 64 pixels, 1 step)"
    assert labels("paper", epochs=2, batch_size=4)[0] == "RD (here 2 epochs, batches of 4)"
    with pytest.raises(ConfigError, match="image_size"):
        labels("demo", image_size=3)


def test_only_presets_narrow(tmp_path: Path) -> None:
    rows = [{"label": "a", "variant": "dlkd", "narrowed": {"dmeo": "small"}}]
    with pytest.raises(ConfigError, match=r"rows\[0\].narrowed.dmeo: unknown preset; did you mean 'demo'"):
        grid_of({"title": "t", "rows": rows, "reference": "a"})
    rows = [{"label": "a", "variant": "dlkd"}]
    with pytest.raises(ConfigError, match=r"paper_dataset: unknown dataset; did you mean 'mvtec'"):
        grid_of({"title": "t", "rows": rows, "reference": "a", "paper_dataset": "mvtc"})


def test_a_row_is_called_by_its_label_or_by_what_stands_before_the_brackets() -> None:
    rows = [{"label": label, "variant": "dlkd"} for label in ("RD (a)", "RD", "PFM (a)", "PFM (b)", "DLKD (c)")]
    grid = grid_of({"title": "t", "rows": rows, "reference": "RD"}, "g")
    assert rows_called(grid, ["DLKD", "RD", "PFM (b)"]) == ("DLKD (c)", "RD", "PFM (b)")
    with pytest.raises(ValueError, match=r"several rows of table 'g' begin with 'PFM': PFM \(a\), PFM \(b\)"):
        rows_called(grid, ["PFM"])
    with pytest.raises(ValueError, match="table 'g' has no row 'DLKDD'; did you mean"):
        rows_called(grid, ["DLKDD"])
    with pytest.raises(ConfigError, match=r"segmented\[0\]: no row is labelled 'R'"):
        grid_of({"title": "t", "rows": rows, "reference": "RD", "segmented": ["R"]})
