"""Layers written out as loops in float64, which the blocks' literal versions are made of."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def conv(x, weight, bias=None, *, stride=1, depthwise=False):
    """A convolution with zeros around the map ("same" at stride 1), one output number at a time."""
    b, _, h, w = x.shape
    out, k = weight.shape[0], weight.shape[-1]
    pad = k // 2
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = np.zeros((b, out, -(-h // stride), -(-w // stride)))
    for n, o, i, j in np.ndindex(*y.shape):
        seen = x[n, o : o + 1] if depthwise else x[n]
        y[n, o, i, j] = (weight[o] * seen[:, i * stride : i * stride + k, j * stride : j * stride + k]).sum()
        if bias is not None:
            y[n, o, i, j] += bias[o]
    return y


def batch_norm(x, state, name, *, training=False):
    """Batch normalisation, channel by channel; statistics of the batch in training, the running ones otherwise."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        mean, var = state[f"{name}.running_mean"][c], state[f"{name}.running_var"][c]
        if training:
            mean, var = x[:, c].mean(), x[:, c].var()
        y[:, c] = (x[:, c] - mean) / math.sqrt(var + 1e-5) * state[f"{name}.weight"][c] + state[f"{name}.bias"][c]
    return y


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def frfn(x, state, prefix=""):
    """AST's description: partial convolution, linear and GELU, one half convolved and gated by the other, linear."""
    c = x.shape[1]
    x = np.concatenate([conv(x[:, : c // 4], state[f"{prefix}partial_conv.weight"]), x[:, c // 4 :]], axis=1)
    x = gelu(conv(x, state[f"{prefix}linear_in.weight"], state[f"{prefix}linear_in.bias"]))
    hidden = x.shape[1] // 2
    value = conv(x[:, :hidden], state[f"{prefix}dwconv.weight"], state[f"{prefix}dwconv.bias"], depthwise=True)
    product = gelu(value) * x[:, hidden:]
    return conv(product, state[f"{prefix}linear_out.weight"], state[f"{prefix}linear_out.bias"])


def embed(x, state, prefix="", *, training=False):
    """1x1, norm, ReLU, 3x3, norm, ReLU, 1x1."""
    x = relu(batch_norm(conv(x, state[f"{prefix}layers.0.weight"]), state, f"{prefix}layers.1", training=training))
    x = relu(batch_norm(conv(x, state[f"{prefix}layers.3.weight"]), state, f"{prefix}layers.4", training=training))
    return conv(x, state[f"{prefix}layers.6.weight"], state[f"{prefix}layers.6.bias"])


def state_of(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def randomised(module: nn.Module) -> nn.Module:
    """The module in float64 and eval mode with every weight, bias and running statistic drawn at random."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=generator)
            elif value.is_floating_point():
                value.normal_(0, 0.4, generator=generator)
    return module


@pytest.fixture
def literal() -> SimpleNamespace:
    """conv, batch_norm, relu, gelu, frfn, embed and state_of, on NumPy arrays (b, c, h, w)."""
    return SimpleNamespace(
        conv=conv, batch_norm=batch_norm, relu=relu, gelu=gelu, frfn=frfn, embed=embed, state_of=state_of
    )


@pytest.fixture
def random_weights() -> Callable[[nn.Module], nn.Module]:
    return randomised


@pytest.fixture
def random_map() -> Callable[..., Tensor]:
    def draw(*shape: int, seed: int = 1) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    return draw
