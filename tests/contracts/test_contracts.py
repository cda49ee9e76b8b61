"""Every row of registry.yaml keeps its contract; a new component is tested by having a row."""

import pytest

from dlkd.check import LAWS, check_law
from dlkd.registry import default_registry

REGISTRY = default_registry()
WITH_SHAPE = [name for name, row in REGISTRY.rows.items() if row.shape is not None]
HEAVY = ("model/", "teacher/", "decoder/")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", WITH_SHAPE)
def test_contract(name: str, law: str) -> None:
    check_law(REGISTRY, name, law, examples=2 if name.startswith(HEAVY) else 5)
