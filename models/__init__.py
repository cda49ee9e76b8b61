"""Models: the contract of a detector, the detectors and their parts, optimisers, and anomaly maps."""

from dlkd.models.anomalib_model import Anomalib
from dlkd.models.anomaly_map import cosine_map, distance_map, image_map, image_score
from dlkd.models.bilinear_decoder import BilinearDecoder
from dlkd.models.decoder import CoarseDecoder
from dlkd.models.destseg import DeSTSeg
from dlkd.models.detector import Detection, Detector
from dlkd.models.dlkd import DLKD
from dlkd.models.draem import DRAEM
from dlkd.models.mb_pfm import MBPFM
from dlkd.models.noco import NoCo
from dlkd.models.noise import GaussianNoise
from dlkd.models.optimizer import SGD, Adam, AdamW
from dlkd.models.patchcore import PatchCore
from dlkd.models.reconstruction import Reconstruction
from dlkd.models.residual_decoder import ResidualDecoder
from dlkd.models.reverse_distillation import ReverseDistillation
from dlkd.models.schedule import Cosine, Drops
from dlkd.models.stfpm import STFPM
from dlkd.models.student import Student
from dlkd.models.teacher import Teacher
from dlkd.models.vt_adl import VTADL
from dlkd.models.weights import TeacherWeightsError

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
