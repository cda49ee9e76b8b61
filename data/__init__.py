"""Datasets: folders of pictures in, samples and tensors out.

What makes tensors is looked up where it is first asked for: datasets are listed and hashed without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlkd.data.category import Category, DataError, Dataset, Sample
from dlkd.data.inspect import CategoryReport, DatasetReport, inspect_dataset
from dlkd.data.label import dataset_label, dataset_labels
from dlkd.data.layouts.btad import BTAD
from dlkd.data.layouts.elpv import ELPV
from dlkd.data.layouts.folder import Folder, MVTec
from dlkd.data.layouts.mvtec_ad2 import MVTecAD2
from dlkd.data.layouts.mvtec_loco import MVTecLOCO
from dlkd.data.layouts.tiles import Tiles
from dlkd.data.layouts.visa import VisA
from dlkd.data.made.synthetic import carve_validation
from dlkd.data.made.textures import Textures
from dlkd.data.pictures.images import read_image, read_mask
from dlkd.data.pictures.sample_mask import native_mask
from dlkd.data.prepare import write_folder
from dlkd.machine import cache_folder

if TYPE_CHECKING:
    from dlkd.data.dataset import ImageDataset, Item

__all__ = [
    "BTAD",
    "ELPV",
    "Category",
    "CategoryReport",
    "DataError",
    "Dataset",
    "DatasetReport",
    "Folder",
    "ImageDataset",
    "Item",
    "MVTec",
    "MVTecAD2",
    "MVTecLOCO",
    "Sample",
    "Textures",
    "Tiles",
    "VisA",
    "cache_folder",
    "carve_validation",
    "dataset_label",
    "dataset_labels",
    "inspect_dataset",
    "native_mask",
    "read_image",
    "read_mask",
    "write_folder",
]


def __getattr__(name: str) -> Any:
    if name in ("ImageDataset", "Item"):
        return getattr(import_module("dlkd.data.dataset"), name)
    raise AttributeError(f"module 'dlkd.data' has no attribute '{name}'")
