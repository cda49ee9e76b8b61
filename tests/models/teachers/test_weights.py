"""Weights of a backbone, found in checkpoints as training codes write them."""

import argparse
import functools

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dlkd.models import Teacher, TeacherWeightsError

BACKBONE = "test_resnet"


@functools.cache
def drawn(seed=1):
    """A state dict of the full timm model, no entry of which is as a new network has it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        k: torch.rand(v.shape, generator=generator) if v.is_floating_point() else v
        for k, v in timm.create_model(BACKBONE).state_dict().items()
    }


def under(prefix, state):
    return {prefix + k: v for k, v in state.items()}


def teacher(path):
    return Teacher(backbone=BACKBONE, weights=str(path)).network.state_dict()


def assert_loaded(path, state):
    loaded = teacher(path)
    flat = {k.replace(".", "_"): v for k, v in state.items()}
    for name, value in loaded.items():
        torch.testing.assert_close(value, flat[name.removeprefix("model.").replace(".", "_")], msg=name)


def compiled_inside(state):
    return {k.replace("layer1.", "layer1._orig_mod.", 1): v for k, v in state.items()}


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
SHAPES = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": OPTIMIZER},
    "model": lambda s: {"model": s, "args": {"lr": 0.1}},
    "model_state": lambda s: {"model_state": s, "best": 0.9},
    "net": lambda s: {"net": s},
    "teacher": lambda s: {"teacher": under("backbone.", s)},
    "a name that nobody uses": lambda s: {"my_experiment": {"weights": s}},
    "DDP": lambda s: {"state_dict": under("module.", s)},
    "compiled": lambda s: under("_orig_mod.", s),
    "compiled inside": compiled_inside,
    "DDP of compiled": lambda s: under("module._orig_mod.", s),
    "Lightning": lambda s: {
        "state_dict": under("model.", s),
        "pytorch-lightning_version": "2.5",
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [OPTIMIZER],
    },
    "Lightning of compiled": lambda s: {"state_dict": under("model._orig_mod.", s)},
    "backbone": lambda s: under("backbone.", s),
    "encoder": lambda s: {"model": under("encoder.", s)},
    "net.": lambda s: under("net.", s),
    "deep prefix": lambda s: {"state_dict": under("module.student.backbone.body.", s)},
    "heads": lambda s: {
        "state_dict": under("backbone.", s) | {"head.weight": torch.zeros(2), "fc.bias": torch.ones(1)}
    },
    "no head": lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")},
    "no counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "MoCo": lambda s: {"state_dict": under("module.encoder_q.", s) | under("module.encoder_k.", drawn(2))},
    "DINO": lambda s: {"student": under("module.backbone.", drawn(2)), "teacher": under("backbone.", s)},
    "BYOL": lambda s: under("online_encoder.", s) | under("target_encoder.", drawn(2)),
    "EMA": lambda s: {"state_dict": drawn(2), "state_dict_ema": s},
    "model_ema": lambda s: {"model": drawn(2), "model_ema": {"module": s}},
    "the same twice": lambda s: {"a": s, "b": dict(s)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_finds_the_backbone_wherever_it_lies(tmp_path, shape):
    torch.save(SHAPES[shape](drawn()), tmp_path / "weights.pth")
    assert_loaded(tmp_path / "weights.pth", drawn())


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.ckpt", "w.pth.tar", "w.safetensors", "w"])
def test_the_ending_of_the_file_does_not_matter(tmp_path, name):
    state = under("module.backbone.", drawn())
    if name.endswith("safetensors"):
        save_file(state, tmp_path / name)
    else:
        torch.save(state, tmp_path / name)
    assert_loaded(tmp_path / name, drawn())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_networks(tmp_path, dtype):
    halves = {k: v.to(dtype) if v.is_floating_point() else v for k, v in drawn().items()}
    torch.save(halves, tmp_path / "half.pth")
    loaded = teacher(tmp_path / "half.pth")
    assert all(v.dtype == torch.float32 for v in loaded.values() if v.is_floating_point())
    assert_loaded(tmp_path / "half.pth", {k: v.float() if v.is_floating_point() else v for k, v in halves.items()})


def refused(path):
    with pytest.raises(TeacherWeightsError) as raised:
        teacher(path)
    message = str(raised.value)
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (np.float64(0.9), "multiarray.scalar"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_pickled_objects_are_named_with_the_way_out(tmp_path, extra, name):
    torch.save({"state_dict": drawn(), "hyper_parameters": extra}, tmp_path / "last.ckpt")
    message = refused(tmp_path / "last.ckpt")
    assert name in message
    assert "torch.save(state['state_dict'], 'weights.pth')" in message


def test_no_object_of_the_file_is_made(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": drawn(), "x": Evil()}, tmp_path / "evil.pth")
    assert "open" in refused(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_two_networks_that_fit_are_not_chosen_between_in_silence(tmp_path):
    torch.save({"one": drawn(), "two": under("net.", drawn(2))}, tmp_path / "two.pth")
    assert "holds several networks that fit, at one, two.net; save the one you mean" in refused(tmp_path / "two.pth")


def test_missing_entries_name_the_place_and_the_nearest_names(tmp_path):
    state = {k.replace("conv1.0", "convolution1.0"): v for k, v in drawn().items()}
    assert state.keys() != drawn().keys()
    torch.save({"model": under("backbone.", state)}, tmp_path / "near.pth")
    message = refused(tmp_path / "near.pth")
    assert f"lacks 1 entries of {BACKBONE}, the first is conv1.0.weight (nearest at model.backbone)" in message
    assert "model.backbone.convolution1.0.weight" in message.split("nearest names there: ")[1]


def test_other_shapes_name_the_place(tmp_path):
    state = {k: torch.zeros(2) if k == "conv1.0.weight" else v for k, v in drawn().items()}
    torch.save({"model": state}, tmp_path / "odd.pth")
    assert f"does not fit {BACKBONE} (nearest at model): conv1.0.weight is (2,) there" in refused(tmp_path / "odd.pth")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    torch.save(drawn() | {"conv1.0.weight": drawn()["conv1.0.weight"] * float("nan")}, tmp_path / "nan.pth")
    assert "holds values that are not finite, the first in conv1.0.weight" in refused(tmp_path / "nan.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {}}, {3: torch.zeros(2)}])
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "none.pth")
    assert "holds no tensors under names" in refused(tmp_path / "none.pth")
