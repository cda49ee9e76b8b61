"""Losses: the four terms of the paper and their weighted sum, and losses of other systems."""

from dlkd.losses.contrast import Contrast
from dlkd.losses.distillation import CKD, PKD
from dlkd.losses.flat_cosine import FlatCosine
from dlkd.losses.focal import Focal
from dlkd.losses.mse import MSE
from dlkd.losses.similarity import AnomalySimilarity
from dlkd.losses.sphere import Sphere
from dlkd.losses.ssim import SSIM
from dlkd.losses.total import TotalLoss

__all__ = ["CKD", "MSE", "PKD", "SSIM", "AnomalySimilarity", "Contrast", "FlatCosine", "Focal", "Sphere", "TotalLoss"]
