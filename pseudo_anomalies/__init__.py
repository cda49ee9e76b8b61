"""Pseudo-anomalies in images: masks, textures to paste, augmentations, and what is made of them."""

from dlkd.pseudo_anomalies.colour_and_turn import ColourAndTurn
from dlkd.pseudo_anomalies.pasted_texture import PastedTexture
from dlkd.pseudo_anomalies.perlin import Perlin, perlin_noise
from dlkd.pseudo_anomalies.sample_pictures import SamplePictures
from dlkd.pseudo_anomalies.texture_folder import TextureFolder
from dlkd.pseudo_anomalies.turning import Turned, turned

__all__ = [
    "ColourAndTurn",
    "PastedTexture",
    "Perlin",
    "SamplePictures",
    "TextureFolder",
    "Turned",
    "perlin_noise",
    "turned",
]
