"""Laws that take many seconds on the largest rows are run with the slow tests."""

import pytest

LARGE = (
    "block/autoencoder",
    "block/ocbe",
    "block/patch_pooling",
    "block/segmentation_head",
    "block/unet",
    "decoder/bilinear",
    "decoder/coarse",
    "decoder/residual",
    "model/destseg",
    "model/dlkd",
    "model/draem",
    "model/mb_pfm",
    "model/noco",
    "model/patchcore",
    "model/reverse_distillation",
    "model/stfpm",
    "model/vt_adl",
)
SLOW = {f"{name}-{law}" for name in LARGE for law in ("compile", "export")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them before pytest chooses by marks."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and item.callspec.id in SLOW:
            item.add_marker(pytest.mark.slow)
