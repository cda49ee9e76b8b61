"""Models: the contract of a detector, the detectors and their parts, optimisers, and anomaly maps."""

from dlkd.models.anomalib.model import Anomalib
from dlkd.models.destseg import DeSTSeg
from dlkd.models.detector import Detection, Detector
from dlkd.models.dlkd import DLKD
from dlkd.models.draem import DRAEM
from dlkd.models.mb_pfm import MBPFM
from dlkd.models.noco import NoCo
from dlkd.models.optimizers.optimizer import SGD, Adam, AdamW
from dlkd.models.optimizers.schedule import Cosine, Drops
from dlkd.models.parts.anomaly_map import cosine_map, distance_map, image_map, image_score
from dlkd.models.parts.bilinear_decoder import BilinearDecoder
from dlkd.models.parts.decoder import CoarseDecoder
from dlkd.models.parts.noise import GaussianNoise
from dlkd.models.parts.reconstruction import Reconstruction
from dlkd.models.parts.residual_decoder import ResidualDecoder
from dlkd.models.parts.student import Student
from dlkd.models.patchcore import PatchCore
from dlkd.models.reverse_distillation import ReverseDistillation
from dlkd.models.stfpm import STFPM
from dlkd.models.teachers.teacher import Teacher
from dlkd.models.teachers.weights import TeacherWeightsError
from dlkd.models.vt_adl import VTADL

__all__ = [
    "DLKD",
    "DRAEM",
    "MBPFM",
    "SGD",
    "STFPM",
    "VTADL",
    "Adam",
    "AdamW",
    "Anomalib",
    "BilinearDecoder",
    "CoarseDecoder",
    "Cosine",
    "DeSTSeg",
    "Detection",
    "Detector",
    "Drops",
    "GaussianNoise",
    "NoCo",
    "PatchCore",
    "Reconstruction",
    "ResidualDecoder",
    "ReverseDistillation",
    "Student",
    "Teacher",
    "TeacherWeightsError",
    "cosine_map",
    "distance_map",
    "image_map",
    "image_score",
]
