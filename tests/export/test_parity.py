from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlkd.data import DataError
from dlkd.export.error import ExportError
from dlkd.export.held_pictures import Held, held_pictures
from dlkd.export.parity import Parity, check, compare, difference
from dlkd.registry import default_registry
from dlkd.runtime.engine import Outputs
from dlkd.training import TrainedModel


def test_pictures_have_several_sizes_and_batches_of_several(toy: TrainedModel) -> None:
    held = held_pictures(toy.spec, default_registry(), None)
    assert held.origin == "test images of the category"
    sizes = [batch.shape[1:3] for batch in held.batches]
    assert len(set(sizes)) == len(sizes) == 5
    assert {(40, 32), (32, 36), (50, 42)} <= set(sizes)
    assert {len(batch) for batch in held.batches} == {1, 4, 5}


def test_without_data_they_are_drawn_and_given_ones_are_taken(toy: TrainedModel, tmp_path: Path) -> None:
    gone = toy.spec.model_copy(update={"dataset": {"name": "folder", "root": str(tmp_path / "gone")}})
    drawn = held_pictures(gone, default_registry(), None)
    assert drawn.origin.startswith("drawn noise")
    assert len(drawn.batches) > 5
    given = held_pictures(gone, default_registry(), [np.zeros((9, 7, 3), np.uint8)])
    assert given.origin == "given pictures"
    assert (given.batches[0].shape[1:3], len(given.batches)) == ((32, 36), 5)
    with pytest.raises(DataError, match="no such file"):
        held_pictures(gone, default_registry(), [tmp_path / "gone.png"])


class Off:
    """An engine that is off by so much from the model."""

    def __init__(self, trained: TrainedModel, threshold: float, by: float, map_by: float = 0.0) -> None:
        self.trained, self.metadata, self.by, self.map_by = trained, {"threshold": threshold}, by, map_by

    def run(self, pictures: np.ndarray, threshold: float) -> Outputs:
        found: list[Any] = list(self.trained.predict(list(pictures)))
        scores = np.array([each.score for each in found]) + self.by
        maps = np.stack([each.map for each in found]) + self.map_by
        return Outputs(scores.astype(np.float32), scores > threshold, maps, maps > threshold)


@pytest.mark.filterwarnings("ignore:.*proportions")
def test_a_file_that_differs_is_refused(toy: TrainedModel) -> None:
    held = Held([np.random.default_rng(0).integers(0, 256, (2, 30, 30, 3), dtype=np.uint8)], "noise")
    score = next(iter(toy.predict(list(held.batches[0])))).score
    same = compare(toy, Off(toy, score - 0.1, 0), held, score - 0.1)
    check(same)
    assert (same.pictures, same.sizes, same.of, same.flips) == (2, 1, "noise", 0)
    for by, map_by, says in ((2e-3, 0, "scores 2.0e-03"), (0, 2e-3, "of maps"), (float("nan"), 0, "scores inf")):
        with pytest.raises(ExportError, match=f"does not give the model's results, and is not written.*{says}"):
            check(compare(toy, Off(toy, score - 0.1, by, map_by), held, score - 0.1))
    failing = Off(toy, 0.0, 0)
    del failing.by
    with pytest.raises(ExportError, match=r"the exported file fails on pictures of the shape \(2, 30, 30, 3\)"):
        compare(toy, failing, held, 0.0)
    flipped = compare(toy, Off(toy, score + 1e-6, 5e-6), held, score + 1e-6)
    assert flipped.flips == 1
    with pytest.raises(ExportError, match="1 labels differ"):
        check(flipped)


def test_differences_are_parts_of_large_values() -> None:
    assert difference([100.0, 50.0], [100.0, 50.1]) == pytest.approx(1e-3)
    assert difference(0.5, 0.6) == pytest.approx(0.1)
    assert difference(float("nan"), 0.0) == float("inf")
    with pytest.raises(ExportError, match="gives the shape"):
        difference(np.zeros(2), np.zeros(3))
    assert "of maps" not in str(Parity(2, 1, "noise", 0.0, None, 0))
