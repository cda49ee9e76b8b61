from __future__ import annotations

import numpy as np
import pytest
import torch

from dlkd.data.pictures.resize import resize, resize_weights
from dlkd.export.resizing import resize_matrix, resized

SIZES = [((64, 48), (16, 16)), ((40, 31), (128, 99)), ((1, 3), (4, 1)), ((50, 33), (50, 21)), ((301, 17), (32, 33))]


@pytest.mark.parametrize(("source", "target"), [(40, 128), (64, 16), (50, 16), (1, 4), (9, 9), (901, 256), (3001, 257)])
def test_the_matrix_is_that_of_training(source: int, target: int) -> None:
    found, expected = resize_matrix(source, target).numpy(), resize_weights(source, target).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_pictures_are_resized_as_in_training(source: tuple[int, int], target: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, *source, 3), dtype=np.uint8)
    found = resized(torch.from_numpy(pictures), target).numpy()
    expected = np.stack([resize(picture, target) for picture in pictures])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
