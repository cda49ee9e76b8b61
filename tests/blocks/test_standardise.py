"""Standardised maps: batch by batch as in one, both kinds, saved, refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dlkd.blocks import Standardise
from dlkd.contract import ContractError


@pytest.mark.parametrize("per", ["scale", "place"])
def test_batches_are_one_set_also_far_from_zero(per: Any) -> None:
    maps = [1000 + torch.rand(7, *sides, dtype=torch.float64) for sides in ((4, 6), (2, 3))]
    module = Standardise(2, per=per).double()
    module.fit([[m[:3] for m in maps], [m[3:4] for m in maps], [m[4:] for m in maps]])
    for made, m in zip(module(maps), maps, strict=True):
        dims = 0 if per == "place" else (0, 1, 2)
        mean, spread = m.mean(dim=dims, keepdim=True), m.std(dim=dims, keepdim=True, correction=0)
        torch.testing.assert_close(made, (m - mean) / spread)
        torch.testing.assert_close(made.mean(dim=dims), torch.zeros_like(mean).squeeze(), atol=1e-9, rtol=0)


def test_maps_stay_before_fit_and_what_never_varies_is_not_divided_by_zero() -> None:
    module = Standardise(1)
    m = torch.rand(2, 3, 3)
    assert torch.equal(module([m])[0], m)
    module.fit([[torch.ones(4, 3, 3)]])
    torch.testing.assert_close(module([torch.full((1, 3, 3), 1.5)])[0], torch.full((1, 3, 3), 0.5 / 1e-6))


def test_the_sides_of_places_are_saved_and_others_refused() -> None:
    module, fresh = Standardise(1, per="place"), Standardise(1, per="place")
    module.fit([[torch.rand(4, 3, 5)]])
    fresh.load_state_dict(module.state_dict())
    m = torch.rand(2, 3, 5)
    assert torch.equal(fresh([m])[0], module([m])[0])
    with pytest.raises(ContractError, match=r"takes maps of \(3, 5\) at scale 0, as at its fit, got \(6, 5\)"):
        module([torch.rand(2, 6, 5)])


def test_what_makes_no_sense_is_refused() -> None:
    for arguments, told in (({"scales": 0}, "scales must be"), ({"smallest": 0.0}, "smallest must be")):
        with pytest.raises(ValueError, match=told):
            Standardise(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="expected 2 maps, got 1"):
        Standardise(2)([torch.rand(1, 2, 2)])
    with pytest.raises(ValueError, match="no normal images"):
        Standardise(2).fit([])
