"""Models are built from nodes."""

import pytest
import torch

from dlkd.blocks import LFRB, PRL
from dlkd.losses import Contrast
from dlkd.models import DLKD
from dlkd.registry import (
    create_model,
    default_registry,
    get,
    list_variants,
)

RANDOM = {"teacher": {"backbone": "test_resnet", "weights": "random"}}


@pytest.mark.parametrize("variant", list_variants())
def test_every_variant_builds_and_runs(variant):
    resolved = default_registry().resolve(variant)
    overrides = {slot: RANDOM["teacher"] for slot in ("teacher", "second_teacher") if slot in resolved}
    if (resolved.get("decoder") or {}).get("global") is not None:
        overrides["decoder"] = {"global": {"d_state": 2}}
    if variant == "vt_adl":  # whose encoder takes 512 pixels
        overrides = default_registry().rows["model/vt_adl"].check_with
    model = create_model(variant, **overrides).eval()
    with torch.no_grad():
        model.fit([torch.rand(2, 3, 32, 32)])
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 32, 32)


def test_create_model_takes_overrides_nested_as_in_yaml():
    model = create_model(
        "dlkd",
        **RANDOM,
        decoder={"global": "none", "local": {"patches": 1}},
        refiner={"depth": 1},
        loss={"contrast": {"margin": 0.1}, "anomaly_similarity": None, "alpha": 3},
        noise={"intensity": 0.5},
        sigma=2,
    )
    assert isinstance(model, DLKD)
    frm = model.decoder.frms[0]
    assert list(frm.branches) == ["local"]
    assert frm.branches["local"].patches == 1
    assert [len(r.blocks) for r in model.refiners] == [1, 1, 1]
    assert model.refiners[0].blocks[0].patches == 4
    assert set(model.loss.losses) == {"ckd", "pkd", "contrast"}
    assert model.loss.losses["contrast"].margin == 0.1
    assert model.loss.weights["contrast"] == 3
    assert model.noise.intensity == 0.5
    assert model.sigma == 2


def test_yamls_model_is_pythons_model():
    """The same network, weight by weight, from the registry and from the constructors."""
    torch.manual_seed(0)
    composed = create_model("dlkd", **RANDOM)
    torch.manual_seed(0)
    written = DLKD(teacher=composed_teacher)
    assert {k: v.shape for k, v in composed.state_dict().items()} == {
        k: v.shape for k, v in written.state_dict().items()
    }
    assert all(torch.equal(v, written.state_dict()[k]) for k, v in composed.state_dict().items())


def composed_teacher():
    return get("teacher", "timm")(**RANDOM["teacher"])


def test_build_takes_what_the_enclosing_component_gives():
    registry = default_registry()
    block = registry.build("block", registry.complete("block", {"name": "prl", "depth": 3}), channels=8)
    assert isinstance(block, PRL)
    assert len(block.blocks) == 3
    assert isinstance(registry.build("loss", registry.complete("loss", "contrast")), Contrast)
    assert isinstance(block.blocks[0], LFRB)
