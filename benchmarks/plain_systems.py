"""Systems that anomalib lacks as their authors describe them, in PyTorch's modules; `bench_systems.py` times them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

VT_ADL_DECODER = [[16, 4, 2, 1], [32, 4, 2, 1], [32, 4, 2, 1], [16, 4, 2, 1], [8, 4, 2, 1], [3, 3, 1, 1]]
"""A decoder for 256 pixels."""


class PlainMapping(nn.Module):
    """MB-PFM's mapping of a scale, in PyTorch's modules."""

    def __init__(self, channels: tuple[int, int], latent: int) -> None:
        super().__init__()
        wide = 2 * latent
        sizes = [(c, (c + wide) // 2) for c in channels]
        self.encoders = nn.ModuleList(self.layers([c, middle, wide]) for c, middle in sizes)
        self.shared = nn.Conv2d(wide, latent, 1)
        self.decoders = nn.ModuleList(
            nn.Sequential(self.layers([latent, wide, middle]), nn.Conv2d(middle, c, 1)) for c, middle in sizes
        )

    @staticmethod
    def layers(sizes: list[int]) -> nn.Sequential:
        each = [(nn.Conv2d(a, b, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in itertools.pairwise(sizes)]
        return nn.Sequential(*(layer for one in each for layer in one))

    def forward(self, pair: Sequence[Tensor]) -> list[Tensor]:
        codes = [self.shared(encode(x)) for encode, x in zip(self.encoders, pair, strict=True)]
        return [decode(code) for decode, code in zip(self.decoders, codes[::-1], strict=True)]


class PlainMbPfm(nn.Module):
    """MB-PFM as its authors describe it: two frozen networks, three mappings."""

    def __init__(self) -> None:
        super().__init__()
        made = [timm.create_model(f"resnet{n}", features_only=True, out_indices=(1, 2, 3)) for n in (34, 50)]
        self.networks = nn.ModuleList(made).requires_grad_(False)
        pairs = zip(*(network.feature_info.channels() for network in made), strict=True)
        self.mappings = nn.ModuleList(PlainMapping(p, n) for p, n in zip(pairs, (200, 400, 900), strict=True))

    def pairs(self, images: Tensor) -> list[tuple[Sequence[Tensor], Sequence[Tensor]]]:
        """Per scale both networks' maps, of norm 1 at each place, and what each is predicted as."""
        self.networks.eval()
        with torch.no_grad():
            maps = [[F.normalize(x, dim=1) for x in network(images)] for network in self.networks]
        scales = list(zip(*maps, strict=True))
        return [(scale, mapping(scale)) for scale, mapping in zip(scales, self.mappings, strict=True)]

    def loss(self, images: Tensor) -> Tensor:
        """Both directions' mean squared errors, added."""
        errors = [F.mse_loss(a, b) for true, made in self.pairs(images) for a, b in zip(true, made, strict=True)]
        return torch.stack(errors).sum()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (b, h, w) and scores (b,)."""
        maps = []
        for true, made in self.pairs(images):
            far = sum((a - b).square().sum(dim=1, keepdim=True) / 2 for a, b in zip(true, made, strict=True))
            maps.append(F.interpolate(far, images.shape[2:], mode="bilinear"))
        combined = torch.cat(maps, dim=1).mean(dim=1)
        return combined, combined.amax(dim=(1, 2))


class PlainNoco(nn.Module):
    """NoCo as its authors describe it, of a network whose stages end in a ReLU, as the slope costs both nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).requires_grad_(False)
        width = sum(self.network.feature_info.channels())
        self.projector = nn.Conv2d(width, width, 1)
        self.radius = nn.Parameter(torch.tensor([1e-5]))
        self.register_buffer("centre", F.normalize(torch.randn(1, width)))

    def distances(self, images: Tensor) -> Tensor:
        """From the centre, (b, 56, 56), of the crop."""
        self.network.eval()
        crop = images[:, :, 16:240, 16:240]
        with torch.no_grad():
            pooled = [F.avg_pool2d(x, 3, 1, 1) for x in self.network(crop)]
            sides = pooled[0].shape[2:]
            whole = torch.cat([F.interpolate(x, sides, mode="bilinear") for x in pooled], dim=1)
        vectors = self.projector(whole).flatten(2).transpose(1, 2)
        return torch.cdist(vectors, self.centre).view(-1, *sides)

    def loss(self, images: Tensor) -> Tensor:
        """What lies outside the sphere."""
        return 1000 * torch.relu(self.distances(images) - self.radius**2).mean()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (b, 224, 224) and scores (b,)."""
        maps = F.interpolate(self.distances(images)[:, None], (224, 224), mode="bilinear")
        offsets = torch.arange(-16, 17)
        kernel = torch.exp(-0.5 * (offsets / 4) ** 2)
        kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
        padded = F.pad(maps, (16, 16, 16, 16), mode="reflect")
        smooth = F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))[:, 0]
        return smooth, smooth.amax(dim=(1, 2))


class PlainDestseg(nn.Module):
    """DeSTSeg as its authors describe it; what it pastes into images comes from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).requires_grad_(False)
        self.encoder = timm.create_model("resnet18", features_only=True, out_indices=(4,))
        widths = [512, 512, 256, 128, 64]
        self.decoder = nn.ModuleList(nn.Sequential(unit(a, b), unit(b, b)) for a, b in itertools.pairwise(widths))
        self.residual = nn.Sequential(unit(448, 256), unit(256, 256))
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layer(256, 256, 1))
        self.dilated = nn.ModuleList(nn.Sequential(*layer(256, 256, 3, rate)) for rate in (6, 12, 18))
        self.last = nn.Sequential(*layer(1024, 256, 3), *layer(256, 256, 3), nn.Conv2d(256, 1, 1))

    def student(self, images: Tensor) -> list[Tensor]:
        """Maps of 64, 128 and 256 channels."""
        [x] = self.encoder(images)
        found = []
        for i, stage in enumerate(self.decoder):
            x = stage(F.interpolate(x, scale_factor=2, mode="bilinear") if i else x)
            found.append(x)
        return found[:0:-1]

    def pairs(self, clean: Tensor, seen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Features of the teacher and of the student, of norm 1 at each place."""
        self.teacher.eval()
        with torch.no_grad():
            teacher = self.teacher(clean)
        pairs = zip(teacher, self.student(seen), strict=True)
        return [(F.normalize(t, dim=1), F.normalize(s, dim=1)) for t, s in pairs]

    def distillation(self, clean: Tensor, seen: Tensor) -> Tensor:
        """Loss of the first stage."""
        return torch.stack([(1 - (t * s).sum(dim=1)).mean() for t, s in self.pairs(clean, seen)]).sum() * len(clean)

    def segmented(self, images: Tensor) -> Tensor:
        """Probabilities (b, 1, 64, 64)."""
        with torch.no_grad():
            maps = [-t * s for t, s in self.pairs(images, images)]
            size = maps[0].shape[2:]
            joined = torch.cat([F.interpolate(x, size, mode="bilinear") for x in maps], dim=1)
        x = self.residual(joined)
        mean = F.interpolate(self.mean(x), size, mode="bilinear")
        return self.last(torch.cat([mean, *(branch(x) for branch in self.dilated)], dim=1)).sigmoid()

    def segmentation(self, seen: Tensor, masks: Tensor) -> Tensor:
        """Loss of the second stage."""
        self.encoder.eval()
        self.decoder.eval()
        found = self.segmented(seen)
        truth = (F.interpolate(masks, found.shape[2:], mode="bilinear") >= 0.5).float()
        right = torch.where(truth > 0, found, 1 - found)
        return -((1 - right) ** 4 * right.log()).mean() + (found - truth).abs().mean()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (b, h, w) and scores (b,)."""
        maps = F.interpolate(self.segmented(images), images.shape[2:], mode="bilinear")[:, 0]
        return maps, maps.flatten(1).topk(100).values.mean(dim=1)


def layer(inputs: int, outputs: int, kernel: int, rate: int = 1) -> list[nn.Module]:
    """Convolution, norm and ReLU."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def unit(inputs: int, outputs: int) -> nn.Module:
    """timm's residual unit of a ResNet18."""
    skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
    return timm.models.resnet.BasicBlock(inputs, outputs, downsample=None if inputs == outputs else skip)


class PlainAttention(nn.Module):
    """VT-ADL's attention, with all logits in memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width, False), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (y.view(b, n, self.heads, -1).transpose(1, 2) for y in self.qkv(self.norm(x)).chunk(3, dim=-1))
        seen = (q @ k.transpose(2, 3) * self.scale).softmax(dim=-1) @ v
        return x + self.out(seen.transpose(1, 2).reshape(b, n, c))


class PlainMlp(nn.Module):
    """VT-ADL's hidden layer after each attention."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PlainVtAdl(nn.Module):
    """VT-ADL as its authors describe it, at 256 pixels: 4,096 capsules are routed, spreads are apart per Gaussian."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 512, 32, 32)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 512)), nn.Parameter(torch.randn(1, 65, 512))
        each = [(PlainAttention(512, 8), PlainMlp(512, 1024)) for _ in range(6)]
        self.layers = nn.Sequential(*(layer for pair in each for layer in pair))
        self.capsules = nn.Parameter(0.01 * torch.randn(4096, 512, 8))
        made: list[nn.Module] = []
        for before, (after, *kernel) in zip((8, 16, 32, 32, 16, 8), VT_ADL_DECODER, strict=True):
            made += [nn.ConvTranspose2d(before, after, *kernel), nn.BatchNorm2d(after), nn.ReLU()]
        self.decoder = nn.Sequential(*made[:-2], nn.Tanh())
        self.weights, self.means, self.spreads = (nn.Linear(512, n, False) for n in (10, 5120, 5120))

    def codes(self, images: Tensor) -> Tensor:
        patches = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        return self.layers(tokens + self.positions)[:, 1:]

    def reconstruct(self, codes: Tensor) -> Tensor:
        guesses = torch.einsum("nol,bnl->bno", self.capsules, codes.reshape(len(codes), 4096, 8))
        priors = torch.zeros(len(codes), 1, 4096)
        for _ in range(3):
            s = (priors.softmax(dim=1)[..., None] * guesses[:, None]).sum(dim=2)
            length = s.square().sum(dim=2, keepdim=True)
            made = length * s / ((1 + length) * length.sqrt())
            priors = priors + (made[:, :, None] * guesses.detach()[:, None]).sum(dim=3).detach()
        return self.decoder(made.view(-1, 8, 8, 8))

    def values(self, codes: Tensor) -> Tensor:
        positive = codes.clamp(min=2.2e-16)
        log_variances, means = (f(positive).view(*codes.shape, 10) for f in (self.spreads, self.means))
        log_variances = F.softplus(log_variances)
        far = (codes[..., None].expand_as(means) - means) ** 2 / log_variances.exp()
        return (self.weights(positive).softmax(dim=2) * 0.5 * (1.8379 + (log_variances + far).sum(dim=2))).sum(dim=2)

    def loss(self, images: Tensor, similarity: nn.Module) -> Tensor:
        codes = self.codes(images)
        codes = codes + 0.2 * torch.randn_like(codes)
        made = self.reconstruct(codes)
        return 5 * F.mse_loss(made, images) + 0.5 * similarity(images, made) + self.values(codes).sum(dim=1).mean()
