"""Saved models: the same scores to the bit, files that say all, strangers' files that are refused before they act."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import hub_mixin
from safetensors.torch import load_file, save_file

import dlkd
from dlkd.cli import evaluate
from dlkd.registry import ConfigError, default_registry
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.training import TrialError, TrialSpec, run_trial
from dlkd.training.pretrained.hub import HubError
from dlkd.training.pretrained.without_files import problems, without_files
from dlkd.training.saved.weights import CheckpointError
from dlkd.training.trials.trial_spec import load_category

REGISTRY = default_registry()
PATCHES = {"patches": {"pooled": 16, "out_channels": 16}}


def trained(spec: TrialSpec, folder: Path) -> dlkd.TrainedModel:
    run_trial(spec, folder, REGISTRY)
    return dlkd.load_model(folder, REGISTRY)


@pytest.fixture(scope="module")
def model(make_spec: Callable[..., TrialSpec], tmp_path_factory: pytest.TempPathFactory) -> dlkd.TrainedModel:
    return trained(make_spec(epochs=1), tmp_path_factory.mktemp("trained") / "trial")


@pytest.fixture(scope="module")
def saved(model: dlkd.TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model, to be read only."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def edited(saved: Path, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """A copy of the saved model whose `config.json` was changed."""

    def edit(change: Callable[[Any], Any]) -> Path:
        folder = Path(shutil.copytree(saved, tmp_path / "edited"))
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config, indent=1))
        return folder

    return edit


def alike(one: dlkd.TrainedModel, other: dlkd.TrainedModel, pictures: Path) -> None:
    for a, b in zip(one.predict(pictures), other.predict(pictures), strict=True):
        assert (a.score, a.threshold, a.label) == (b.score, b.threshold, b.label)
        assert a.map is not None
        assert b.map is not None
        assert (a.map == b.map).all()
    assert str(one.metrics) == str(other.metrics)  # NaN is not itself
    assert one.result.normal == other.result.normal


def test_a_saved_model_scores_as_the_trial_to_the_bit(
    model: dlkd.TrainedModel, saved: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    torch.manual_seed(7)  # the teacher's random weights come from the file
    again = dlkd.TrainedModel.from_pretrained(saved)
    alike(model, again, tiny_folder / "disc/test")
    assert not again.detector.training
    assert again.spec.model == model.spec.model
    assert repr(again) == f"TrainedModel(dlkd-lfrb on folder/disc, seed 0; in {saved})"
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice/config.json").read_text() == (saved / "config.json").read_text()
    alike(model, dlkd.load_model(tmp_path / "twice"), tiny_folder / "disc/test")


def test_a_memory_bank_is_saved_with_its_size(
    make_spec: Callable[..., TrialSpec], tiny_folder: Path, tmp_path: Path
) -> None:
    model = trained(make_spec("patchcore", overrides=PATCHES), tmp_path / "trial")
    model.save_pretrained(tmp_path / "model")
    alike(model, dlkd.load_model(tmp_path / "model"), tiny_folder / "disc/test")


def test_no_place_of_the_machine_is_told_and_files_of_the_training_are_named_only(
    model: dlkd.TrainedModel, tiny_folder: Path, tmp_path: Path
) -> None:
    weights, textures = str(tmp_path / "secret/dino.pth"), str(tmp_path / "secret/dtd")
    pasted = {"name": "pasted_texture", "source": {"name": "folder", "path": textures}}
    node = model.spec.model | {"teacher": model.spec.model["teacher"] | {"weights": weights}}
    node |= {"pseudo_anomaly": REGISTRY.complete("pseudo_anomaly", pasted)}
    spec = model.spec.model_copy(update={"model": node})
    replace(model, spec=spec).save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["files"] == {"teacher.weights": "dino.pth", "pseudo_anomaly.source.path": "dtd"}
    assert config["trial"]["model"]["teacher"]["weights"] == "random"
    assert config["trial"]["model"]["pseudo_anomaly"]["source"]["name"] == "sample_pictures"
    card = (tmp_path / "model/README.md").read_text()
    for text in (card, json.dumps(config)):
        assert "secret" not in text
        assert str(tiny_folder) not in text
    assert "`teacher.weights` was `dino.pth`" in card
    again = dlkd.load_model(tmp_path / "model")
    alike(model, again, tiny_folder / "disc/test")
    again.save_pretrained(tmp_path / "model")
    assert "`teacher.weights` was `dino.pth`" in (tmp_path / "model/README.md").read_text()


def test_every_variant_can_be_saved_but_those_of_another_librarys_arguments() -> None:
    names = [*REGISTRY.variants, "anomalib"]
    nodes = {name: REGISTRY.checker().variant(name, None)[0] for name in REGISTRY.variants}
    nodes["anomalib"] = REGISTRY.complete("model", "anomalib")
    refused = {}
    for name in names:
        node, read = without_files(REGISTRY, "model", nodes[name])
        assert (node, read) == (nodes[name], {})
        refused[name] = [str(p) for p in problems(REGISTRY, "model", node, LocatedYaml("here", {}), ())]
    assert "arguments: model/anomalib takes values of any type" in refused.pop("anomalib")[0]
    assert not any(refused.values())


def model_of(config: Any) -> Any:
    return config["trial"]["model"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(imports=["evil.py"]), r"config\.json:\d+: imports: .*[Ee]xtra"),
        (lambda c: c.update(format=2), r"config\.json:\d+: format: a saved model of format 2, and this dlkd reads 1"),
        (lambda c: c.pop("format"), r"config\.json:1: not of dlkd"),
        (lambda c: c.pop("preprocessing"), "preprocessing: Field required"),
        (lambda c: c["trial"].update(sede=1), "trial.sede: .*[Ee]xtra"),
        (lambda c: c["result"].update(best=1), r"config\.json:\d+: result.best: Unexpected"),
        (lambda c: c["result"]["normal"].pop("proportions"), "result.normal: the key 'proportions' is missing"),
        (lambda c: c["result"]["normal"].update(threshold="0.5"), "result.normal.threshold: expected 0.5, got '0.5'"),
        (lambda c: c["preprocessing"].update(mean=[0, 0, 0]), "preprocessing.mean"),
        (lambda c: model_of(c).update(sigm=3), "trial.model.sigm: .*did you mean 'sigma'"),
        (lambda c: model_of(c).pop("sigma"), "trial.model: the key 'sigma' is missing"),
        (lambda c: model_of(c).update(sigma=-1.0), "trial.model: the model cannot be built: ValueError: dlkd: sigma"),
        (lambda c: model_of(c).update(refiner={"name": "os.system"}), r"(?s)unknown block 'os\.system'.*imports="),
        (lambda c: model_of(c)["decoder"]["local"].update(name="my_block"), r"(?s)unknown block 'my_block'.*--import"),
        (lambda c: model_of(c)["teacher"].update(backbone="hf-hub:evil/x"), "backbone: 'hf-hub:evil/x' may be a path"),
        (lambda c: model_of(c)["teacher"].update(weights="/etc/passwd"), "weights: names the file '/etc/passwd'"),
        (lambda c: model_of(c)["teacher"].update(weights="w.pth"), r"weights: names the file '.*w\.pth'"),
        (lambda c: c["trial"]["dataset"].update(name="mine"), r"(?s)trial.dataset.name: unknown dataset 'mine'"),
        (lambda c: c["trial"]["dataset"].update(unmasked="no"), "trial.dataset.unmasked: expected"),
        (lambda c: c["trial"]["dataset"].pop("unmasked"), "trial.dataset: the key 'unmasked' is missing"),
        (lambda c: c["trial"]["dataset"].update(root="/etc"), "trial.dataset.root: names a place of files"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_was_written_is_refused(
    edited: Callable[..., Path], change: Callable[[Any], Any], says: str
) -> None:
    folder = edited(change)
    with pytest.raises(ConfigError, match=says):
        dlkd.load_model(folder)


def test_a_folder_of_textures_is_not_read(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("a stranger's file has a folder searched"))
    source = {"name": "folder", "path": str(tmp_path)}
    pasted = REGISTRY.complete("pseudo_anomaly", {"name": "pasted_texture", "source": source})
    folder = edited(lambda config: model_of(config).update(pseudo_anomaly=pasted))
    with pytest.raises(ConfigError, match=r"pseudo_anomaly\.source\.path: names the file"):
        dlkd.load_model(folder)


def test_a_key_that_stands_twice_and_what_is_no_json_are_refused(edited: Callable[..., Path]) -> None:
    folder = edited(lambda _: None)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"format": 1,', '"format": 1,\n"format": 1,'))
    with pytest.raises(ConfigError, match="the key 'format' stands twice"):
        dlkd.load_model(folder)
    (folder / "config.json").write_text(text[:100])
    with pytest.raises(ConfigError, match="not readable"):
        dlkd.load_model(folder)
    (folder / "config.json").write_text('!!python/object/apply:os.system ["true"]')
    with pytest.raises(ConfigError, match="tag"):
        dlkd.load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(TrialError, match=r"edited is no saved model: it has no config\.json"):
        dlkd.TrainedModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state, name: state.pop(name), "the tensor {} is missing"),
        (lambda state, name: state.update({"more": state[name].clone()}), "the tensor more is unknown"),
        (lambda state, name: state.update({name: state[name][:1]}), r"the tensor {} is \(1, .*\), not \("),
        (lambda state, name: state.update({name: state[name].double()}), "the tensor {} is torch.float64, not torch"),
    ],
)
def test_tensors_that_are_not_the_models_are_named(
    edited: Callable[..., Path], change: Callable[[Any, str], Any], says: str
) -> None:
    folder = edited(lambda _: None)
    path = folder / "model.safetensors"
    state = load_file(path)
    name = next(name for name, value in state.items() if name.startswith("teacher.") and value.ndim == 4)
    change(state, name)
    save_file(state, path)
    with pytest.raises(CheckpointError, match=says.format(re.escape(name))):
        dlkd.load_model(folder)
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*model\.safetensors"):
        dlkd.load_model(folder)


def test_the_card_has_the_figures_of_the_trial_and_is_written_anew(model: dlkd.TrainedModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "m", model_card_kwargs={"licence": "cc-by-4.0", "data_licence": "our own"})
    card = (tmp_path / "m/README.md").read_text()
    assert card.startswith("---\nlibrary_name: dlkd\n")
    assert "license: cc-by-4.0" in card
    assert f"| image_auroc | {model.metrics['image_auroc']:.4f} |" in card
    assert f"{model.threshold:.6g}" in card
    assert model.result.normal.origin in card
    assert str(model.result.alarm) in card
    assert "Training images: our own." in card
    assert "| variant | dlkd-lfrb |" in card
    model.save_pretrained(tmp_path / "m")
    assert "license:" not in (tmp_path / "m/README.md").read_text()
    (tmp_path / "m/notes.txt").write_text("mine")
    with pytest.raises(HubError, match=r"m holds other files \(notes\.txt\); name a new folder"):
        model.save_pretrained(tmp_path / "m")
    with pytest.raises(HubError, match="holds other files"):
        model.save_pretrained(model.folder)


class Hub:
    """The parts of huggingface_hub's API that are used, on a folder."""

    place = Path()

    def __init__(self, token: str | None = None) -> None:
        del token

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        assert options == {"private": True, "exist_ok": True}
        return type("Repo", (), {"repo_id": repo_id})

    def upload_folder(self, *, repo_id: str, folder_path: Path, **_: Any) -> str:
        shutil.copytree(folder_path, self.place / repo_id)
        return f"https://hub/{repo_id}/commit/1"


def test_a_model_goes_to_the_hub_and_comes_back(
    model: dlkd.TrainedModel, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, *, allow_patterns: list[str], revision: str | None, **_: Any) -> str:
        asked.append((name, revision))
        assert allow_patterns == ["config.json", "model.safetensors"]
        return str(tmp_path / name)

    monkeypatch.setattr(Hub, "place", tmp_path)
    monkeypatch.setattr(hub_mixin, "HfApi", Hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert model.push_to_hub("org/disc", private=True) == "https://hub/org/disc/commit/1"
    assert 'from_pretrained("org/disc")' in (tmp_path / "org/disc/README.md").read_text()
    alike(model, dlkd.load_model("hub:org/disc@1"), tiny_folder / "disc/test")
    monkeypatch.chdir(tmp_path / "org")
    dlkd.TrainedModel.from_pretrained("org/disc")
    assert asked == [("org/disc", "1"), ("org/disc", None)]


def test_without_a_network_the_way_out_is_named(
    model: dlkd.TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(Hub):
        def create_repo(self, repo_id: str, **options: Any) -> Any:
            raise ConnectionError("no route")

    monkeypatch.setattr(hub_mixin, "HfApi", Away)
    with pytest.raises(HubError, match=r"org/disc cannot be put on the Hugging Face hub: no route\. `hf auth login`"):
        model.push_to_hub("org/disc")
    options = {"cache_dir": tmp_path, "local_files_only": True}
    with pytest.raises(
        HubError, match=r"org/disc is no folder here, and cannot be fetched .*\. Without a network, fetch"
    ):
        dlkd.TrainedModel.from_pretrained("org/disc", **options)
    with pytest.raises(HubError, match=r"a/b/c is no folder here, and cannot be fetched"):
        dlkd.TrainedModel.from_pretrained("a/b/c", **options)


def test_a_saved_model_is_evaluated_on_pictures_that_are_named(
    saved: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"names no folder of pictures; give --dataset folder:PATH"):
        evaluate.evaluate(saved)
    evaluate.evaluate(saved, dataset=str(tiny_folder))
    assert "image_auroc" in capsys.readouterr().out


def test_the_data_of_a_saved_model_are_asked_for_in_words(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset folder: .*needs the argument 'root'"):
        load_category(dlkd.load_model(saved).spec, REGISTRY)
