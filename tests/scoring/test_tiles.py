"""Tiles: weights that sum to 1, no seams, the score of the worst tile, the memory of one batch."""

import itertools
import math

import numpy as np
import pytest

from dlkd.scoring.scorer import Answer
from dlkd.scoring.tiles import Tiled, weights


@pytest.mark.parametrize(("side", "tile", "overlap"), [(100, 32, 0.25), (33, 32, 0.5), (32, 32, 0.1), (640, 64, 0.0)])
def test_weights_sum_to_one_and_tiles_overlap_as_asked(side: int, tile: int, overlap: float) -> None:
    total = np.zeros(side)
    tiles = weights(side, tile, overlap)
    for first, weight in tiles:
        total[first : first + tile] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    firsts = [first for first, _ in tiles]
    assert firsts[0] == 0
    assert firsts[-1] + tile == side
    assert all(b - a <= max(1, round(tile * (1 - overlap))) for a, b in itertools.pairwise(firsts))
    # The fewest tiles that do so.
    assert len(tiles) == 1 + math.ceil((side - tile) / round(tile * (1 - overlap)))


@pytest.mark.parametrize("size", [(100, 70), (20, 90), (20, 16)])
def test_a_blended_map_is_the_whole_one_where_tiles_agree(size, brightness) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    scorer = brightness(batch_size=4)
    (found,) = Tiled(scorer, (32, 24), 0.3).detect([pixels])
    np.testing.assert_allclose(found.make_map(), pixels.mean(axis=2) / 255, atol=1e-6)
    assert set(scorer.sizes) == {(32, 24)}
    assert max(scorer.batches) <= 4


def test_the_score_is_the_largest_of_the_tiles_and_nan_is_not_lost(brightness) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[40:44, 8:12] = 255  # 1/64 of one tile
    (found,) = Tiled(brightness(), (32, 32), 0).detect([pixels])
    assert found.score == pytest.approx(1 / 64)

    class Odd(brightness):
        def detect(self, prepared):
            return [Answer(math.nan if m.any() else 0.0, None) for m in prepared]

    (found,) = Tiled(Odd(), (32, 32), 0).detect([pixels])
    assert math.isnan(found.score)
    assert found.make_map is None


def test_maps_that_disagree_meet_without_a_seam(brightness) -> None:
    class Counting(brightness):
        """Each tile's map is its number."""

        def detect(self, prepared):
            numbers = range(len(self.sizes) - len(prepared), len(self.sizes))
            return [Answer(0.0, lambda m=m, n=n: np.full_like(m, n)) for m, n in zip(prepared, numbers, strict=True)]

    def largest_step(overlap: float) -> float:
        (found,) = Tiled(Counting(batch_size=1), (64, 64), overlap).detect([np.zeros((64, 256, 3), np.uint8)])
        return float(np.abs(np.diff(found.make_map(), axis=1)).max())

    assert largest_step(0.0) == 1
    assert largest_step(0.25) < 0.2
    assert largest_step(0.5) < 0.1


def test_what_makes_no_tiles_is_refused(brightness) -> None:
    with pytest.raises(ValueError, match="at least 2x2 pixels, got 1x64"):
        Tiled(brightness(), (1, 64))
    with pytest.raises(ValueError, match=r"from 0 to 0\.9, got 1\.0"):
        Tiled(brightness(), (64, 64), 1.0)
