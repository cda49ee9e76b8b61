"""The coarse decoder: up, FRM, from the fused map to every teacher scale."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import FRM, LFRB
from dlkd.contract import ContractError
from dlkd.models import CoarseDecoder

LOCAL = functools.partial(CoarseDecoder, global_=None, skip="none")
"""Without scans, which have their own tests and take time."""


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_transposed(x: Tensor, weight: Tensor, factor: int) -> Tensor:
    """Each cell is spread over its own factor x factor cells."""
    b, _, h, w = x.shape
    y = torch.zeros(b, weight.shape[1], h * factor, w * factor, dtype=x.dtype)
    for n in range(b):
        for o in range(weight.shape[1]):
            for i in range(h * factor):
                for j in range(w * factor):
                    kernel = weight[:, o, i % factor, j % factor]
                    y[n, o, i, j] = (x[n, :, i // factor, j // factor] * kernel).sum()
    return y


def literal_decoder(decoder: CoarseDecoder, x: Tensor, factors: list[int]) -> list[Tensor]:
    """Three times up (eval-mode norm and ReLU behind it) and FRM, smallest scale first, given largest first."""
    features = []
    for k in reversed(range(len(factors))):
        up = decoder.ups[k]
        x = literal_transposed(x, up.conv.weight, factors[k])
        scale = up.norm.weight / (up.norm.running_var + up.norm.eps).sqrt()
        x = (x - up.norm.running_mean[:, None, None]) * scale[:, None, None] + up.norm.bias[:, None, None]
        x = decoder.frms[k](x.clamp(min=0))
        features.insert(0, x)
    return features


@pytest.mark.parametrize(
    ("channels", "reductions", "factors"),
    [((4, 8), None, [2, 2]), ((4, 8, 4), (4, 8, 16), [2, 2, 2]), ((4, 8), (4, 16), [4, 2]), ((4, 4), (16, 16), [1, 2])],
)
def test_equals_the_literal_decoder(channels, reductions, factors):
    decoder = LOCAL(channels, in_channels=6, reductions=reductions).double().eval()
    for up in decoder.ups:
        nn.init.normal_(up.norm.weight)
        nn.init.normal_(up.norm.bias)
        nn.init.normal_(up.norm.running_mean)
        nn.init.uniform_(up.norm.running_var, 0.5, 2)
    x = draw(2, 6, 2, 3)
    for found, expected in zip(decoder(x), literal_decoder(decoder, x, factors), strict=True):
        torch.testing.assert_close(found, expected)


def test_bilinear_upsampling_then_a_convolution():
    decoder = LOCAL((4,), in_channels=6, upsample="bilinear").double().eval()
    x = draw(1, 6, 2, 3)
    up = decoder.ups[0]
    expected = decoder.frms[0](F.relu(up.norm(up.conv(F.interpolate(x, (4, 6), mode="bilinear")))))
    torch.testing.assert_close(decoder(x)[0], expected)
    assert up.conv.kernel_size == (3, 3)
    assert decoder(x, [(5, 7)])[0].shape == (1, 4, 5, 7)


def test_resnet18_at_256():
    decoder = LOCAL().eval()
    shapes = [tuple(x.shape) for x in decoder(torch.zeros(1, 512, 8, 8))]
    assert shapes == [(1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16)]


@pytest.mark.parametrize("upsample", ["transposed", "bilinear"])
@pytest.mark.parametrize(
    "sizes",
    [
        [(9, 13), (5, 7), (3, 4)],  # strides that round up: 2 * 2 and 2 * 2 are cut
        [(8, 15), (4, 7), (2, 3)],  # pooling that rounds down: a pixel is missing
    ],
)
def test_gives_the_teachers_sides_where_strides_do_not_divide_the_image(upsample, sizes):
    decoder = LOCAL((4, 8, 4), in_channels=6, upsample=upsample).double().eval()
    assert [tuple(x.shape[2:]) for x in decoder(draw(1, 6, 2, 2), sizes)] == sizes


def test_cutting_off_keeps_the_cells_in_place():
    decoder = LOCAL((4,), in_channels=6).double().eval()
    decoder.frms[0] = nn.Identity()
    x = draw(1, 6, 2, 3)
    assert torch.equal(decoder(x, [(3, 5)])[0], decoder(x)[0][..., :3, :5])


def test_branches_reach_every_frm():
    decoder = CoarseDecoder((4, 8), in_channels=6, local=None, global_=functools.partial(LFRB, patches=1))
    for frm, c in zip(decoder.frms, (4, 8), strict=True):
        assert isinstance(frm, FRM)
        assert frm.channels == c
        assert list(frm.branches) == ["global"]
        assert frm.branches["global"].patches == 1


def test_refuses_what_it_cannot_take():
    with pytest.raises(ContractError, match="coarse: axis c must be multiple of 4, got 6"):
        CoarseDecoder((4, 6))
    with pytest.raises(ContractError, match="coarse: axis c must be == 6, got 5"):
        LOCAL((4,), in_channels=6)(torch.zeros(1, 5, 2, 2))
    with pytest.raises(ValueError, match="coarse: 2 channels but 1 reductions"):
        CoarseDecoder((4, 8), reductions=(4,))


def skipped(skip, channels=(4, 8)):
    torch.manual_seed(0)
    decoder = LOCAL(channels, in_channels=6, skip=skip).double().eval()
    features = [draw(2, channels[0], 8, 12), draw(2, channels[1], 4, 6)]
    return decoder, draw(2, 6, 2, 3), features


def test_the_skip_adds_the_features_before_each_frm():
    decoder, x, features = skipped("add")
    expected = []
    for k in (1, 0):
        x = decoder.frms[k](decoder.ups[k](x, None) + features[k])
        expected.insert(0, x)
    found = decoder(draw(2, 6, 2, 3), features=features)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_skip_puts_the_features_beside_the_map_and_restores_the_channels():
    decoder, x, features = skipped("concat")
    expected = []
    for k in (1, 0):
        conv, norm, _ = decoder.merges[k]
        nn.init.normal_(norm.running_mean)
        up = decoder.ups[k](x, None)
        merged = torch.empty_like(up)
        for n in range(2):
            for i in range(up.shape[2]):
                for j in range(up.shape[3]):
                    merged[n, :, i, j] = conv.weight[:, :, 0, 0] @ torch.cat([up[n, :, i, j], features[k][n, :, i, j]])
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        merged = (merged - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
        x = decoder.frms[k](merged.clamp(min=0))
        expected.insert(0, x)
    found = decoder(draw(2, 6, 2, 3), features=features)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_another_skip_leaves_the_other_weights_as_they_were():
    none, add, concat = (skipped(skip)[0].state_dict() for skip in ("none", "add", "concat"))
    assert none.keys() == add.keys()
    assert {k.split(".")[0] for k in concat.keys() - none.keys()} == {"merges"}
    for other in (add, concat):
        assert all(torch.equal(value, other[k]) for k, value in none.items())


@pytest.mark.parametrize("skip", ["add", "concat"])
def test_a_skip_refuses_features_that_do_not_fit(skip):
    decoder, x, features = skipped(skip)
    for given in (None, features[:1]):
        with pytest.raises(ContractError, match=f"coarse: skip {skip} needs 2 feature maps, got"):
            decoder(x, features=given)
    with pytest.raises(ContractError, match=f"coarse: skip {skip} takes features .* at scale 1, got"):
        decoder(x, features=[features[0], features[1][:, :4]])


def test_without_a_skip_the_features_are_not_looked_at():
    decoder, x, features = skipped("none")
    assert not decoder.takes_features
    for a, b in zip(decoder(x), decoder(x, features=features), strict=True):
        assert torch.equal(a, b)
