"""L_AS, eq. 10, with bilinear upsampling written out by hand."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from dlkd.contract import ContractError
from dlkd.losses import AnomalySimilarity

SIDES = [(8, 6), (4, 3), (2, 2)]


def draw(b=2, sides=SIDES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(b, h, w, generator=generator, dtype=torch.float64) for h, w in sides]


def source(i, small, large, align_corners):
    """The two cells of a side of `small` that cell i of a side of `large` lies between, and how near the second is."""
    if align_corners:
        x = i * (small - 1) / (large - 1) if large > 1 else 0.0
    else:
        x = max((i + 0.5) * small / large - 0.5, 0.0)  # cells have extent; outside the first centre it is constant
    low = min(math.floor(x), small - 1)
    return low, min(low + 1, small - 1), x - low


def upsampled(m, h, w, align_corners):
    """M_i^j: rows of numbers m to (h, w), bilinearly."""
    out = [[0.0] * w for _ in range(h)]
    for i in range(h):
        for j in range(w):
            top, bottom, down = source(i, len(m), h, align_corners)
            left, right, along = source(j, len(m[0]), w, align_corners)
            upper = m[top][left] * (1 - along) + m[top][right] * along
            lower = m[bottom][left] * (1 - along) + m[bottom][right] * along
            out[i][j] = upper * (1 - down) + lower * down
    return out


def difference(small, large, align_corners):
    """Eq. 10, L_SL of one sample and one pair of scales."""
    h_j, w_j = large.shape
    up = upsampled(small.tolist(), h_j, w_j, align_corners)
    total = 0.0
    for w in range(w_j):
        for h in range(h_j):
            total += (up[h][w] - large[h, w].item()) ** 2
    return total / (h_j * w_j)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("pairs", "indices"), [("all", [(1, 0), (2, 0), (2, 1)]), ("neighbours", [(1, 0), (2, 1)])])
@pytest.mark.parametrize("sides", [SIDES, [(7, 5), (4, 3), (1, 1)]])
def test_equals_equation_10(pairs, indices, align_corners, sides):
    maps = draw(3, sides)
    total = 0.0
    for n in range(3):
        for small, large in indices:
            total += difference(maps[small][n], maps[large][n], align_corners) / 3
    loss = AnomalySimilarity(pairs=pairs, align_corners=align_corners)(maps)
    torch.testing.assert_close(loss, torch.tensor(total, dtype=torch.float64))


def test_the_order_of_the_scales_does_not_matter():
    maps = draw()
    torch.testing.assert_close(AnomalySimilarity()(maps[::-1]), AnomalySimilarity()(maps))


def test_maps_of_equal_sides_are_compared_as_they_are():
    """A ViT's scales all have one size."""
    first, second = draw(sides=[(3, 3), (3, 3)])
    torch.testing.assert_close(AnomalySimilarity()([first, second]), (first - second).square().mean())


def test_equal_constant_maps_cost_nothing():
    assert AnomalySimilarity()([torch.full((2, s, s), 0.3) for s in (8, 4, 2)]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("pairs", ["all", "neighbours"])
def test_gradient(pairs):
    maps = [m.requires_grad_() for m in draw(sides=[(4, 3), (2, 2), (1, 1)])]
    assert gradcheck(lambda *m: AnomalySimilarity(pairs=pairs)(m), maps)


def test_a_batchs_loss_is_the_mean_of_its_samples():
    maps = draw(b=4)
    alone = torch.stack([AnomalySimilarity()([m[n : n + 1] for m in maps]) for n in range(4)])
    torch.testing.assert_close(AnomalySimilarity()(maps), alone.mean())


def test_refuses_a_single_scale():
    with pytest.raises(ContractError, match="anomaly_similarity: expected at least two scales, got 1"):
        AnomalySimilarity()(draw(sides=[(3, 3)]))
    with pytest.raises(ContractError, match="anomaly_similarity: expected at least one anomaly map, got none"):
        AnomalySimilarity()([])
