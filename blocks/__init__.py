"""Blocks: the parts of the student, each a module with a shape contract."""

from dlkd.blocks.centre import Centre
from dlkd.blocks.codes.capsule import Capsule
from dlkd.blocks.codes.mixture_density import MixtureDensity
from dlkd.blocks.codes.pixel_decoder import PixelDecoder
from dlkd.blocks.codes.vit import ViT
from dlkd.blocks.embed import Embed
from dlkd.blocks.feature_mapping import FeatureMapping
from dlkd.blocks.frfn import FRFN
from dlkd.blocks.frm import FRM
from dlkd.blocks.gfm import GFM
from dlkd.blocks.gfrb import GFRB
from dlkd.blocks.layout import in_layout_of
from dlkd.blocks.lfrb import LFRB
from dlkd.blocks.memory.farthest_first import FarthestFirst
from dlkd.blocks.memory.memory_bank import MemoryBank
from dlkd.blocks.memory.patch_memory import PatchMemory
from dlkd.blocks.memory.patch_pooling import PatchPooling
from dlkd.blocks.mffm import MFFM
from dlkd.blocks.norm import LayerNorm2d
from dlkd.blocks.ocbe import OCBE
from dlkd.blocks.prl import PRL, refine
from dlkd.blocks.projector import Projector
from dlkd.blocks.residual import Residual
from dlkd.blocks.segmentation.aspp import ASPP
from dlkd.blocks.segmentation.autoencoder import Autoencoder
from dlkd.blocks.segmentation.double_convolution import DoubleConvolution
from dlkd.blocks.segmentation.segmentation_head import SegmentationHead
from dlkd.blocks.segmentation.unet import UNet
from dlkd.blocks.ss2d import SS2D
from dlkd.blocks.standardise import Standardise

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
    "in_layout_of",
    "refine",
]
