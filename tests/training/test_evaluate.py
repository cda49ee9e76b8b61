"""What a model says of its test images: every metric from the definitions' own functions, at either resolution."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from dlkd.data import native_mask
from dlkd.metrics import image_influences, pixel_influences, pixel_metrics, pro, segmented
from dlkd.registry import default_registry
from dlkd.training import METRICS, TrialSpec, load_model, run_trial
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import evaluate
from dlkd.training.normal_images import normal_range
from dlkd.training.trials.kept_influences import INFLUENTIAL, read_influences
from dlkd.training.trials.trial_spec import load_category

REGISTRY = default_registry()


def test_metrics_are_those_of_the_maps_at_the_networks_or_the_masks_size(
    make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY)
    trained = load_model(tmp_path / "t", REGISTRY)
    spec, model = trained.spec, trained.detector
    category = load_category(spec, REGISTRY)
    found = {}
    for where in ("network", "native"):
        train = spec.train.model_copy(update={"score_at": where})
        found[where] = evaluate(model, CategoryData(category, train, model, 0), trained.threshold)
    network, native = found["network"], found["native"]
    assert tuple(network.metrics) == tuple(native.metrics) == METRICS
    assert network.masks is not None

    labels = network.labels
    assert network.metrics["image_auroc"] == roc_auc_score(labels, network.scores)
    assert np.isclose(network.metrics["image_ap"], average_precision_score(labels, network.scores))
    assert np.isclose(network.metrics["pixel_auroc"], roc_auc_score(network.masks.ravel(), network.maps.ravel()))
    assert np.isclose(network.metrics["pixel_ap"], average_precision_score(network.masks.ravel(), network.maps.ravel()))
    assert network.metrics["pro"] == pro(network.maps, network.masks)
    assert network.metrics["pro_05"] == pro(network.maps, network.masks, 0.05)
    called = (network.maps > trained.threshold).ravel()
    assert network.metrics["seg_f1"] == f1_score(network.masks.ravel(), called) == trained.metrics["seg_f1"]
    assert "a false-positive rate of 1e-05 needs 100,000" in network.undefined["aupimo"]  # 32 pixels a side
    assert evaluate(model, CategoryData(category, spec.train, model, 0)).undefined["seg_f1"].startswith("no alarm")

    masks = np.stack([native_mask(s) for s in category.test])
    assert masks.shape[1:] == (40, 32)
    maps = F.interpolate(torch.from_numpy(network.maps)[:, None], (40, 32), mode="bilinear")[:, 0].numpy()
    assert np.isclose(native.metrics["pixel_auroc"], roc_auc_score(masks.ravel(), maps.ravel()))
    assert native.metrics["pro"] == pro(maps, masks)
    assert native.metrics["image_auroc"] == network.metrics["image_auroc"]

    expected = pixel_influences(maps, masks, pixel_metrics(maps, masks).counts, 0.3, 0.05)
    each_ones = image_influences(native.scores, labels), *expected, segmented(maps, masks, trained.threshold).influences
    having = [name for name in INFLUENTIAL if name != "aupimo"]
    for name, each in zip(having, each_ones, strict=True):
        np.testing.assert_allclose(native.influences[name], each, atol=1e-12)
    kept = read_influences(tmp_path / "t")
    assert kept is not None
    assert (kept["anomalous"] == (labels == 1)).all()
    assert np.isnan(kept["aupimo"]).all()
    for name in having:
        np.testing.assert_allclose(kept[name], network.influences[name], atol=1e-5)
    older = kept[["anomalous", "image_auroc", "pixel_auroc", "pro"]]
    np.save(tmp_path / "t/influences.npy", older)
    assert read_influences(tmp_path / "t").dtype.names == older.dtype.names
    (tmp_path / "t/influences.npy").write_bytes(b"broken")
    assert read_influences(tmp_path / "t") is read_influences(tmp_path) is None

    strict = spec.train.model_copy(update={"pro_limit": 0.05})
    at_limit = evaluate(model, CategoryData(category, strict, model, 0)).metrics["pro"]
    assert at_limit == pro(network.maps, network.masks, 0.05) != network.metrics["pro"]


def test_the_threshold_comes_from_normal_training_images_alone(
    make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    result = run_trial(make_spec(epochs=1), tmp_path / "t", REGISTRY)
    trained = load_model(tmp_path / "t", REGISTRY)
    spec, model = trained.spec, trained.detector
    data = CategoryData(load_category(spec, REGISTRY), spec.train, model, 0)
    images = torch.stack([data.train_set[i]["image"] for i in range(len(data.train_set))])
    with torch.inference_mode():
        scores = model.score(model(images)).double().numpy()
    expected = scores.mean() + 3 * scores.std()
    assert np.isclose(result.normal.threshold, expected, rtol=1e-5)
    few = normal_range(model, data, images=2)
    assert np.isclose(few.threshold, scores[[0, -1]].mean() + 3 * scores[[0, -1]].std(), rtol=1e-5)
    low, high = result.normal.scale
    assert np.isclose((low + high) / 2, result.normal.threshold)
