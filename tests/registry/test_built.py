"""What was built once is not built again by another process, unless something changed that it hangs on."""

from pathlib import Path

import pytest
from torch import nn

from dlkd.registry import ConfigError, built, load_registry, possible, register
from dlkd.registry.components import _COMPONENTS


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Resolves a variant as a new process does; says whether its model was built."""
    monkeypatch.setenv("DLKD_CACHE", str(tmp_path / "cache"))
    found: list[str] = []
    factory = possible.factory
    monkeypatch.setattr(possible, "factory", lambda rows, kind, node: found.append(kind) or factory(rows, kind, node))

    def resolve(variant: str = "dlkd-lfrb", **overrides: object) -> bool:
        found.clear()
        registry = load_registry()
        registry._possible.clear()
        registry.resolve(variant, overrides)
        return "model" in found

    return resolve


def test_a_model_is_built_once_for_all_processes(builds, monkeypatch):
    assert builds()
    assert not builds()
    assert builds(decoder={"skip": "add"})
    assert not builds(decoder={"skip": "add"})
    monkeypatch.setattr(built, "LIBRARIES", ("torch",))
    built._code.cache_clear()
    assert builds()
    built._code.cache_clear()


def test_what_cannot_be_built_is_said_each_time(builds):
    for _ in range(2):
        with pytest.raises(ConfigError, match="stages"):
            builds(teacher={"stages": [7, 8, 9]})


def test_components_of_ones_own_are_built_each_time(builds):
    @register("act", "mine")
    class Mine(nn.ReLU):
        pass

    try:
        for _ in range(2):
            assert builds(decoder={"act": "mine"})
    finally:
        del _COMPONENTS["act/mine"]


def test_without_a_place_to_remember_it_is_built_each_time(builds, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file"), "~no_such_user/cache"):
        monkeypatch.setenv("DLKD_CACHE", place)
        for _ in range(2):
            assert builds()
