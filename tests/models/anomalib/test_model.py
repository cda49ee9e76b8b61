"""anomalib's models as rows: errors before a training, laws of a detector, and anomalib's own training, bit for bit."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.check.component import Case, Component
from dlkd.check.detector_laws import DETECTOR_LAWS
from dlkd.contract import Shape
from dlkd.models.anomalib.classes import REFUSED
from dlkd.models.optimizers.together import Together
from dlkd.registry import ConfigError, create_model, default_registry, load_registry
from dlkd.registry.resolve import Registry
from dlkd.training import PRESETS, TrainConfig, TrialSpec, load_model, run_trial

pytestmark = [
    pytest.mark.anomalib,
    pytest.mark.usefixtures("quiet"),
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason='pip install "dlkd[anomalib]"'),
]

EXAMPLES = Path(__file__).parents[3] / "examples"
SMALL = {
    "Padim": {"arguments": {"backbone": "test_resnet", "n_features": 8}},
    "Dfkde": {"arguments": {"backbone": "test_resnet", "n_pca_components": 2}},
    "Patchcore": {"arguments": {"backbone": "test_resnet"}},
    "Stfpm": {"arguments": {"backbone": "test_resnet", "layers": ["layer2", "layer3"]}},
    "Ganomaly": {"arguments": {"n_features": 4, "latent_vec_size": 8}},
}
"""One of each kind: statistics, a density without maps, a memory bank, a gradient, and steps of its own."""


@pytest.fixture
def quiet() -> Iterator[None]:
    """What anomalib's code warns of is passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def small(name: str, **changed: Any) -> dict[str, Any]:
    return {"model": "anomalib", "class": name, "image_size": 32, "weights": "random", **SMALL[name], **changed}


def refusal(tmp_path: Path, variant: str) -> str:
    """The one problem of a file with such a variant."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"variants:\n  mine: {{model: anomalib, {variant}}}\n")
    with pytest.raises(ConfigError) as raised:
        load_registry(file)
    [problem] = raised.value.problems
    assert str(problem).startswith(f"{file}:2: variants.mine: ")
    return problem.message


def test_the_page_names_every_class() -> None:
    import anomalib.models

    page = (EXAMPLES.parent / "docs" / "anomalib.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes|no)[^|]*\| ([^|]*) \|$", page, re.MULTILINE)
    assert [name for name, _, _ in rows] == sorted(anomalib.models.__all__)
    assert {name: said for name, works, said in rows if works == "no"} == REFUSED


def test_names_and_arguments_are_checked_early(tmp_path: Path) -> None:
    assert refusal(tmp_path, "class: Padmi") == "class: anomalib has no model 'Padmi'; did you mean 'Padim'?"
    assert "cannot be a row: it is not trained" in refusal(tmp_path, "class: WinClip")
    said = refusal(tmp_path, "class: Padim, arguments: {n_feature: 8, pre_trained: perhaps, post_processor: true}")
    assert said.splitlines() == [
        "arguments.n_feature: anomalib's Padim has no such argument; did you mean 'n_features'?",
        "arguments.pre_trained: expected a valid boolean, unable to interpret input, got 'perhaps'",
        "arguments.post_processor: anomalib's Padim has no such argument; known: backbone, layers, n_features, "
        "pre_trained",
    ]
    said = refusal(tmp_path, "class: Padim, arguments: {n_features: 9999}")
    assert "anomalib's Padim cannot be built with arguments {'n_features': 9999}: ValueError: For backbone" in said


def test_weights_that_cannot_be_downloaded_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network\nand much more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"ConnectionError: no network\nIf these are weights that cannot"):
        default_registry().build("model", small("Padim", weights="timm"))


def test_backbones_get_weights_from_a_file(tmp_path: Path) -> None:
    import timm

    source = timm.create_model("test_resnet", pretrained=False)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    model = default_registry().build("model", small("Stfpm", weights=str(tmp_path / "w.pt")))
    frozen, trained = (getattr(model.module.model, f"{who}_model").state_dict() for who in ("teacher", "student"))
    for name, value in frozen.items():
        if name.endswith("conv1.weight"):
            inner = name.removeprefix("feature_extractor.")
            assert torch.equal(value, source.state_dict()[inner])
            assert not torch.equal(value, trained[name])
    assert timm.create_model.__module__.startswith("timm")  # as it was


@pytest.mark.parametrize("name", list(SMALL))
def test_laws_of_a_detector(name: str) -> None:
    case = small_case(name)
    by_gradient = name in ("Stfpm", "Ganomaly")
    # Whoever steps its own optimisers gives no gradient to a step from outside.
    laws = {law.name for law in DETECTOR_LAWS if law.applies(case.component)} - {"clean"}
    laws -= set() if name == "Stfpm" else {"losses", "losses_autocast"}
    laws -= set() if by_gradient else {"generator", "frozen"}
    for law in DETECTOR_LAWS:
        if law.name in laws:
            law.test(case)


def test_a_training_is_that_of_anomalib(tmp_path: Path) -> None:
    """anomalib's module in Lightning's own trainer, on the same pictures, ends with the same weights."""
    from anomalib.data import ImageBatch

    torch.manual_seed(0)
    pictures = [torch.rand(4, 3, 40, 48) for _ in range(3)]
    ours: Any = create_model("anomalib-one", registry=registry_of(tmp_path, "Stfpm"))
    theirs: Any = create_model("anomalib-one", registry=registry_of(tmp_path, "Stfpm"))
    theirs.load_state_dict(ours.state_dict())
    module = theirs.module
    for name in ("log", "log_dict", "optimizers", "manual_backward"):
        delattr(module, name)
    batches = DataLoader([ImageBatch(image=x) for x in pictures], batch_size=None)
    options: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **options)
    trainer.fit(module, batches)
    made = ours.optimizers()
    ours.epoch_steps = 3
    for step in range(6):
        ours.begin_step(step, 6, made)
        made[0].zero_grad()
        ours.losses(pictures[step % 3], torch.Generator().manual_seed(0))["total"].backward()
        made[0].step()
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


def test_gradients_are_clipped_as_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = default_registry().build("model", small("Stfpm"))
    monkeypatch.setattr(type(model.module), "trainer_arguments", {"gradient_clip_val": 1e-3})
    [optimizer] = model.optimizers()
    assert isinstance(optimizer, Together)
    model.begin_step(0, 1, [optimizer])
    total = model.losses(torch.rand(4, 3, 32, 32))["total"]

    def closure() -> float:
        total.backward()
        return float(total)

    optimizer.step(closure)
    gradients = [p.grad for p in model.module.model.student_model.parameters() if p.grad is not None]
    assert torch.stack([g.norm() for g in gradients]).norm() == pytest.approx(1e-3, rel=1e-3)


def test_maps_of_a_crop_cover_the_whole_image() -> None:
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize

    model: Any = default_registry().build("model", small("Padim"))
    model.module.pre_processor.transform = Compose([Resize((40, 60)), CenterCrop((20, 30))])
    maps = torch.rand(2, 10, 15) + 1
    whole = model._whole(maps)
    assert whole.shape == (2, 20, 30)
    assert torch.equal(whole[:, 5:15, 7:22], maps)
    outside = whole.clone()
    outside[:, 5:15, 7:22] = maps.amin(dim=(1, 2), keepdim=True)
    assert torch.equal(outside, maps.amin(dim=(1, 2), keepdim=True).expand(2, 20, 30))


def test_the_examples_are_rows_of_a_grid() -> None:
    registry = load_registry(EXAMPLES / "anomalib.yaml")
    grid = load_grid(str(EXAMPLES / "anomalib_grid.yaml"))
    cells = make_cells(grid, registry, [(registry.complete("dataset", "textures"), ["brick"])], [0], PRESETS["demo"])
    assert [c.spec.model.get("class") for c in cells] == [None, "Padim", "Patchcore", "Stfpm"]
    assert {c.spec.model.get("image_size", 128) for c in cells} == {c.spec.train.image_size for c in cells} == {128}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SMALL))
def test_trials_resume_and_load(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, name)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    result = run_trial(spec(registry, tiny_folder, 4), whole, registry, keep_state=True)
    run_trial(spec(registry, tiny_folder, 2), cut, registry, keep_state=True)
    again = run_trial(spec(registry, tiny_folder, 4), cut, registry, resume=True, keep_state=True)
    assert again.metrics == pytest.approx(result.metrics, rel=0, abs=0, nan_ok=True)
    first, second = (load_file(folder / "weights.safetensors") for folder in (whole, cut))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert 0 <= result.metrics["image_auroc"] <= 1
    assert ("pro" in result.undefined) == (name in ("Dfkde", "Ganomaly"))
    assert bool(result.curve) == (name in ("Stfpm", "Ganomaly"))
    found = load_model(whole, registry).predict(tiny_folder / "disc/test/square/000.png")
    assert torch.isfinite(torch.tensor(found.score))


def small_case(name: str) -> Case:
    """A class as a component under test: its row has no shape, since its laws are those of the class."""
    registry = default_registry()
    row = registry.rows["model/anomalib"].model_copy(update={"shape": "b 3 h w -> b h w"})
    node = registry.complete("model", small(name))
    component = Component(registry, "model/anomalib", node, row, Shape.parse(str(row.shape)))
    return Case(component, {"b": 3, "h": 40, "w": 48})


def registry_of(folder: Path, name: str) -> Registry:
    """The shipped registry with a small variant `anomalib-one` of a class."""
    import yaml

    (folder / "one.yaml").write_text(yaml.safe_dump({"variants": {"anomalib-one": small(name)}}))
    return load_registry(folder / "one.yaml")


def spec(registry: Registry, data: Path, steps: int) -> TrialSpec:
    return TrialSpec(
        variant="anomalib-one",
        model=registry.resolve("anomalib-one"),
        dataset=registry.complete("dataset", {"name": "folder", "root": str(data)}),
        category="disc",
        train=TrainConfig(image_size=32, batch_size=3, epochs=10, max_steps=steps),
    )
