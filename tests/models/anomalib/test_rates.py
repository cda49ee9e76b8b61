"""Optimisers and learning rates of Lightning modules, without anomalib."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dlkd.models.anomalib.rates import Rates, configured
from dlkd.registry import ConfigError, load_registry


def test_without_anomalib_there_is_one_early_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "anomalib" else find(name, *a))
    file = tmp_path / "mine.yaml"
    file.write_text("variants:\n  mine: {model: anomalib, class: Dfm}\n")
    with pytest.raises(ConfigError, match=r'mine.yaml:2: variants.mine: .*: pip install "dlkd\[anomalib\]"'):
        load_registry(file)


class Toy(L.LightningModule):
    """A module with schedules of both intervals, which notes its rates at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))])
        self.seen: list[float] = []

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD([{"params": [self.weights[0]]}, {"params": [self.weights[1]], "lr": 0.3}], lr=0.1)
        drops = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
        waves = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 + step % 3)
        return [optimizer], [drops, {"scheduler": waves, "interval": "step", "frequency": 2}]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        optimizer: Any = self.optimizers()
        self.seen += [group["lr"] for group in optimizer.param_groups]
        return self.weights[0].sum() + self.weights[1].sum()


def test_rates_are_those_of_lightning(tmp_path: Path) -> None:
    toy = Toy()
    quiet: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(max_epochs=5, enable_model_summary=False, default_root_dir=tmp_path, **quiet)
        trainer.fit(toy, DataLoader(torch.zeros(6, 1), batch_size=2))
    trained, _ = configured(toy.configure_optimizers())
    rates = Rates(*configured(toy.configure_optimizers()), epoch_steps=3)
    found = []
    for step in range(15):
        rates.set(step, trained)
        found += [group["lr"] for group in trained[0].param_groups]
    assert found == toy.seen
    assert len(set(found)) > 6
    late = Rates(*configured(toy.configure_optimizers()), epoch_steps=3)
    late.set(13, trained)  # as a resumed training begins
    assert [group["lr"] for group in trained[0].param_groups] == toy.seen[26:28]
    assert late.at == 13


def test_configured_takes_every_form_of_lightning() -> None:
    one, two = (torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2))
    rate = torch.optim.lr_scheduler.StepLR(one, 2)
    forms: list[tuple[Any, list[Any], list[str]]] = [
        (None, [], []),
        (one, [one], []),
        ([one, two], [one, two], []),
        (([one], [rate]), [one], ["epoch"]),
        ({"optimizer": one, "lr_scheduler": {"scheduler": rate, "interval": "step"}}, [one], ["step"]),
        (({"optimizer": one, "lr_scheduler": rate}, {"optimizer": two}), [one, two], ["epoch"]),
    ]
    for form, optimizers, intervals in forms:
        made, schedules = configured(form)
        assert [id(each) for each in made] == [id(each) for each in optimizers]
        assert [each["interval"] for each in schedules] == intervals
