"""Registry files from text, and components that are forgotten after a test."""

import textwrap
from pathlib import Path

import pytest

from dlkd.registry import (
    ConfigError,
    Registry,
    load_components,
    load_registry,
    register,
)
from dlkd.registry import components as registered


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Load YAML text as a user's file called mine.yaml."""
    monkeypatch.chdir(tmp_path)

    def load(text: str) -> Registry:
        (tmp_path / "mine.yaml").write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return load_registry(Path("mine.yaml"))

    return load


@pytest.fixture
def problems(read):
    """The lines of the error that YAML text gives."""

    def messages(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value).splitlines()

    return messages


@pytest.fixture
def own(monkeypatch):
    """Register components for one test only."""
    load_components()
    monkeypatch.setattr(registered, "_COMPONENTS", dict(registered._COMPONENTS))
    return register
