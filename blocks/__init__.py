"""Blocks: the parts of the student, each a module with a shape contract."""

from dlkd.blocks.aspp import ASPP
from dlkd.blocks.autoencoder import Autoencoder
from dlkd.blocks.capsule import Capsule
from dlkd.blocks.centre import Centre
from dlkd.blocks.double_convolution import DoubleConvolution
from dlkd.blocks.embed import Embed
from dlkd.blocks.feature_mapping import FeatureMapping
from dlkd.blocks.frfn import FRFN
from dlkd.blocks.frm import FRM
from dlkd.blocks.gfm import GFM
from dlkd.blocks.gfrb import GFRB
from dlkd.blocks.lfrb import LFRB
from dlkd.blocks.memory.farthest_first import FarthestFirst
from dlkd.blocks.memory.memory_bank import MemoryBank
from dlkd.blocks.memory.patch_memory import PatchMemory
from dlkd.blocks.mffm import MFFM
from dlkd.blocks.mixture_density import MixtureDensity
from dlkd.blocks.norm import LayerNorm2d
from dlkd.blocks.ocbe import OCBE
from dlkd.blocks.patch_pooling import PatchPooling
from dlkd.blocks.pixel_decoder import PixelDecoder
from dlkd.blocks.prl import PRL, refine
from dlkd.blocks.projector import Projector
from dlkd.blocks.residual import Residual
from dlkd.blocks.segmentation_head import SegmentationHead
from dlkd.blocks.ss2d import SS2D
from dlkd.blocks.standardise import Standardise
from dlkd.blocks.unet import UNet
from dlkd.blocks.vit import ViT

__all__ = [
    "ASPP",
    "FRFN",
    "FRM",
    "GFM",
    "GFRB",
    "LFRB",
    "MFFM",
    "OCBE",
    "PRL",
    "SS2D",
    "Autoencoder",
    "Capsule",
    "Centre",
    "DoubleConvolution",
    "Embed",
    "FarthestFirst",
    "FeatureMapping",
    "LayerNorm2d",
    "MemoryBank",
    "MixtureDensity",
    "PatchMemory",
    "PatchPooling",
    "PixelDecoder",
    "Projector",
    "Residual",
    "SegmentationHead",
    "Standardise",
    "UNet",
    "ViT",
    "refine",
]
