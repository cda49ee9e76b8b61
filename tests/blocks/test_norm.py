"""LayerNorm2d against a loop over locations; the names that YAML may give to norms and activations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dlkd.blocks import LayerNorm2d
from dlkd.registry import get


def test_layer_norm_2d_equals_a_loop_over_locations(random_weights, random_map):
    norm, x = random_weights(LayerNorm2d(5)), random_map(2, 5, 3, 4)
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    expected = np.empty(x.shape)
    for n, i, j in np.ndindex(2, 3, 4):
        location = x[n, :, i, j].numpy()
        mean = sum(location) / 5
        var = sum((v - mean) ** 2 for v in location) / 5
        for c in range(5):
            expected[n, c, i, j] = (location[c] - mean) / math.sqrt(var + 1e-6) * weight[c] + bias[c]
    torch.testing.assert_close(norm(x), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("name", "expected"), [("batch", nn.BatchNorm2d), ("layer", LayerNorm2d), ("none", nn.Identity)]
)
def test_norms_by_name_take_the_number_of_channels(name, expected):
    norm = get("norm", name)
    assert norm is expected
    assert norm(6)(torch.zeros(2, 6, 3, 3)).shape == (2, 6, 3, 3)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("relu", -1.5, 0.0),
        ("relu", 1.5, 1.5),
        ("gelu", 1.0, 0.5 * (1 + math.erf(1 / math.sqrt(2)))),
        ("silu", 1.0, 1 / (1 + math.exp(-1))),
    ],
)
def test_activations_by_name(name, value, expected):
    torch.testing.assert_close(get("act", name)()(torch.tensor(value).double()), torch.tensor(expected).double())
