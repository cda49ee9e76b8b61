"""A table of two rows, one of which failed in one category."""

import pytest

from dlkd.ablations.report.tables import tabulate


@pytest.fixture
def table(grid, trials_of, fail):
    cells = grid(rows=("A", "B"), paper=False)
    trials = trials_of(cells, means=(0.8, 0.9), seeds=(0, 1, 2, 3))
    for seed in range(4):
        fail(trials, "A", "gravel", seed, "killed for memory")
    return tabulate(trials, cells)
