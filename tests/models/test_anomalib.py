"""Systems beside anomalib's own, set to anomalib's reading: weights copied both ways, numbers equal."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from dlkd.registry import create_model

pytestmark = [
    pytest.mark.anomalib,
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason='pip install "dlkd[anomalib]"'),
]

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LAYERS = ["layer1", "layer2", "layer3"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What anomalib's imports warn of is passed over, and no network loads weights."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: create(*a, **{**k, "pretrained": False}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def pictures(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def move(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


@pytest.mark.parametrize("ours_first", [True, False])
def test_stfpm(ours_first: bool) -> None:
    from anomalib.models.image.stfpm.loss import STFPMLoss
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    reading = {"zero_init_last": True, "factor": 0.5, "batch_sum": True, "combine_at": "image"}
    ours: Any = create_model("stfpm", teacher={"backbone": "resnet18", "weights": "random"}, **reading)
    theirs = STFPMModel(layers=LAYERS, backbone="resnet18")
    for our, their in ((ours.teacher, theirs.teacher_model), (ours.student, theirs.student_model)):
        pair = (our.network, their.feature_extractor)
        move(*(pair if ours_first else pair[::-1]))
    images = pictures()
    theirs.train()
    ours.train()
    their_features = theirs(images)
    for mine, yours in zip((ours.teacher(images), ours.student(images)), their_features, strict=True):
        for a, b in zip(mine, yours.values(), strict=True):
            torch.testing.assert_close(a, b, **CLOSE)
    # Once more in both, so that the running statistics of both are those of two batches.
    torch.testing.assert_close(ours.losses(images)["total"], STFPMLoss()(*theirs(images)), **CLOSE)
    compare_answers(ours, theirs, images)


def compare_answers(ours: Any, theirs: Any, images: Tensor) -> None:
    with torch.no_grad():
        found = ours.eval().detect(images)
        expected = theirs.eval()(images)
    torch.testing.assert_close(found.maps, expected.anomaly_map.squeeze(1), **CLOSE)
    torch.testing.assert_close(found.scores, expected.pred_score.flatten(), **CLOSE)


@pytest.mark.parametrize("ours_first", [True, False])
def test_reverse_distillation(ours_first: bool) -> None:
    from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
    from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
    from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel

    ours: Any = create_model(
        "reverse_distillation",
        teacher={"backbone": "resnet18", "weights": "random"},
        fusion={"depth": 2, "bottleneck": False},
        decoder={"depths": [2, 2, 2], "bottleneck": False},
        border="reflect",
    )
    theirs = ReverseDistillationModel("resnet18", (64, 64), LAYERS, AnomalyMapGenerationMode.ADD, pre_trained=False)
    pair = (ours.teacher.network, theirs.encoder.feature_extractor)
    move(*(pair if ours_first else pair[::-1]))
    embedding: Any = theirs.bottleneck
    names = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
    same = [
        ([m for scale in ours.fusion.scales for m in leaves(scale)], [getattr(embedding, name) for name in names]),
        (leaves(ours.fusion.fuse), leaves(embedding.bn_layer)),
        *(
            ([*leaves(up), *leaves(units)], leaves(layer))
            for up, units, layer in zip(
                ours.decoder.ups,
                ours.decoder.units,
                (theirs.decoder.layer3, theirs.decoder.layer2, theirs.decoder.layer1),
                strict=True,
            )
        ),
    ]
    for mine, yours in same:
        for a, b in zip(mine, yours, strict=True):
            move(*((a, b) if ours_first else (b, a)))
    images = pictures()
    theirs.train()
    ours.train()
    torch.testing.assert_close(ours.losses(images)["total"], ReverseDistillationLoss()(*theirs(images)), **CLOSE)
    # Not in train mode: norms over the eight places of the smallest map multiply what the last bit differs in.
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        features, encoded = ours.teacher(images), list(theirs.encoder(images).values())
        decoded = theirs.decoder(theirs.bottleneck(encoded))
        for a, b in zip((*features, *ours.reconstruct(features)), (*encoded, *decoded), strict=True):
            torch.testing.assert_close(a, b, **CLOSE)
    compare_answers(ours, theirs, images)


@pytest.mark.parametrize("ours_first", [True, False])
def test_patchcore(ours_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from anomalib.models.components.dimensionality_reduction import SparseRandomProjection
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    from dlkd.blocks.memory import farthest_first

    ours: Any = create_model(
        "patchcore",
        teacher={"backbone": "resnet18", "weights": "random"},
        patches={"pooled": None, "out_channels": None},
        memory={"distance": "euclidean", "coreset": {"projection": "sparse", "width": None, "start": "random"}},
        crop=1.0,
        score_neighbors=9,
        upsampling="nearest",
        border="reflect",
    )
    theirs = PatchcoreModel(LAYERS[1:], backbone="resnet18", pre_trained=False)
    pair = (ours.teacher.network, theirs.feature_extractor.feature_extractor)
    move(*(pair if ours_first else pair[::-1]))
    images = pictures(1), pictures(2)
    ours.eval()
    with torch.no_grad():
        for batch in images:
            found = ours.features(batch).permute(0, 2, 3, 1).flatten(0, 2)
            torch.testing.assert_close(found, theirs.train()(batch), **CLOSE)
        # The map is drawn by dlkd and given to both; the random start is the first number after the same seed.
        width = farthest_first.safe_width(sum(len(part) for part in theirs.embedding_store))
        matrix = farthest_first.random_projection(384, width, "sparse")
        monkeypatch.setattr(farthest_first, "random_projection", lambda *_: matrix)
        monkeypatch.setattr(
            SparseRandomProjection, "fit", lambda self, _: setattr(self, "sparse_random_matrix", matrix)
        )
        torch.manual_seed(0)
        theirs.subsample_embedding(0.1)
        torch.manual_seed(0)
        ours.fit(images)
    assert len(ours.memory.bank) == 25
    torch.testing.assert_close(ours.memory.bank, theirs.memory_bank, **CLOSE)
    compare_answers(ours, theirs, pictures())


@pytest.mark.parametrize("ours_first", [True, False])
def test_draem(ours_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from anomalib.models.image.draem import torch_model
    from anomalib.models.image.draem.loss import DraemLoss

    ours: Any = create_model(
        "draem",
        augmentation="none",
        reconstruction={"width": 8},
        segmentation={"width": 8},
        structure_loss={"border": "reflect"},
        mask_loss={"alpha": 1.0, "smoothing": 0.0},
        mask_weight=0.5,
        reconstruction_first=False,
        bgr=False,
        weight_std=None,
        score_window=1,
    )
    theirs = torch_model.DraemModel()
    theirs.reconstructive_subnetwork = torch_model.ReconstructiveSubNetwork(base_width=8)
    theirs.discriminative_subnetwork = torch_model.DiscriminativeSubNetwork(6, 2, base_width=8)
    pairs = (
        (ours.reconstruction, theirs.reconstructive_subnetwork),
        (ours.segmentation, theirs.discriminative_subnetwork),
    )
    for our, their in pairs:
        for a, b in zip(leaves(our), leaves(their), strict=True):
            move(*((a, b) if ours_first else (b, a)))
    normal, spoiled = (pictures(seed).sigmoid() for seed in (1, 2))
    masks = (pictures(3)[:, :1] > 0.5).float()
    monkeypatch.setattr(ours.pseudo_anomaly, "forward", lambda *_: (spoiled, masks))
    theirs.train()
    ours.train()
    made, logits = theirs(spoiled)
    for a, b in zip(ours.answers(spoiled), (made, logits), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    # Once more in both, so that the running statistics of both are those of two batches.
    made, logits = theirs(spoiled)
    torch.testing.assert_close(ours.losses(normal)["total"], DraemLoss()(normal, made, masks, logits), **CLOSE)
    compare_answers(ours, theirs, normal)


def test_draems_noise_and_blend() -> None:
    """Their noise of sides that are no power of two, and their sum of texture and image."""
    from anomalib.data.utils.generators.perlin import generate_perlin_noise

    from dlkd.pseudo_anomalies import PastedTexture, perlin_noise

    torch.manual_seed(0)
    theirs = generate_perlin_noise(40, 24, scale=(4, 8), device=torch.device("cpu"))
    torch.manual_seed(0)
    angles = torch.zeros(1, 9, 9)
    angles[0, :5] = 2 * torch.pi * torch.rand(5, 9)
    found = perlin_noise(angles, torch.tensor([[4 / 64, 8 / 32]]), (40, 24))
    torch.testing.assert_close(found[0], theirs, **CLOSE)

    image, texture = (pictures(seed).sigmoid() for seed in (1, 2))
    masks = (theirs[None, None, :24, :24] > 0.1).float()
    image, texture = image[:1, :, :24, :24], texture[:1, :, :24, :24]
    beta = 0.7  # of the texture, from 0.1 to 1 there
    spoil = PastedTexture(augmentation=None, probability=1.0, image_weight=(1 - beta, 1 - beta))
    spoil.source, spoil.mask = Fixed(texture), Fixed(masks)
    expected = image * (1 - masks) + beta * texture * masks + (1 - beta) * image * masks
    torch.testing.assert_close(spoil(image)[0], expected, **CLOSE)


class Fixed(nn.Module):
    """Gives the same tensor for all images."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.value


def leaves(module: nn.Module) -> list[nn.Module]:
    """Convolutions and norms of a module, in an order that is that of the other library's module."""
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)]
