"""Models: teacher, coarse decoder, DLKD, and how anomaly maps come out of them."""

from dlkd.models.anomaly_map import cosine_map, image_map, image_score
from dlkd.models.decoder import CoarseDecoder
from dlkd.models.dlkd import DLKD, Reconstruction
from dlkd.models.noise import GaussianNoise
from dlkd.models.teacher import Teacher
from dlkd.models.weights import TeacherWeightsError

__all__ = [
    "DLKD",
    "CoarseDecoder",
    "GaussianNoise",
    "Reconstruction",
    "Teacher",
    "TeacherWeightsError",
    "cosine_map",
    "image_map",
    "image_score",
]
