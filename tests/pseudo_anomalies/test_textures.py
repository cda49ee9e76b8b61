"""Textures to paste: scikit-image's pictures, and a folder that the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dlkd.data.made.textures import NAMES
from dlkd.pseudo_anomalies import SamplePictures, TextureFolder
from dlkd.pseudo_anomalies.sample_pictures import LONGEST, PICTURES
from dlkd.registry import default_registry


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of one colour, in DTD's layout, beside files that are none."""
    for place, shape, value in (("a/1.jpg", (9, 7, 3), 40), ("b/2.png", (5, 8), 120), ("b/3.PNG", (6, 6, 4), 200)):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full(shape, value, np.uint8)).save(tmp_path / place)
    (tmp_path / "labels.txt").write_text("a b")
    (tmp_path / "b" / "._2.png").write_bytes(b"no picture")
    return tmp_path


def test_the_pictures_are_in_the_wheel_and_none_is_of_the_embedded_dataset() -> None:
    from skimage import data

    assert not set(PICTURES) & set(NAMES)
    assert len(PICTURES) == 15
    shipped = {p.stem for p in Path(data.__file__).parent.iterdir()}
    files = {"clock": "clock_motion", "colorwheel": "color", "immunohistochemistry": "ihc"}
    assert {files.get(name, name) for name in PICTURES} <= shipped


def test_pieces_are_squares_of_a_picture_at_the_images_size() -> None:
    from skimage import data

    draw = seeded()
    found = SamplePictures()(torch.zeros(20, 3, 24, 40), seeded())
    for n in range(20):
        name = PICTURES[int(torch.randint(0, 15, (1,), generator=draw))]
        picture = torch.from_numpy(np.array(getattr(data, name)()))
        picture = (picture[..., None].expand(-1, -1, 3) if picture.dim() == 2 else picture[..., :3]).movedim(2, 0)
        if (longest := max(picture.shape)) > LONGEST:
            sides = [round(LONGEST * s / longest) for s in picture.shape[1:]]
            picture = F.interpolate(picture[None], sides, mode="bilinear", antialias=True)[0]
        h, w = picture.shape[1:]
        side = round((0.25 + 0.75 * torch.rand(1, generator=draw).item()) * min(h, w))
        top, left = (int(torch.randint(0, s - side + 1, (1,), generator=draw)) for s in (h, w))
        piece = picture[None, :, top : top + side, left : left + side].float()
        expected = F.interpolate(piece, (24, 40), mode="bilinear", antialias=True)[0] / 255
        torch.testing.assert_close(found[n], expected, atol=2 / 255, rtol=0)
    with pytest.raises(ValueError, match="smallest must be above 0 and at most 1, got 0"):
        SamplePictures(smallest=0)


def test_all_pictures_of_a_folder_are_drawn_whole(folder: Path) -> None:
    source = TextureFolder(path=folder)
    assert [Path(f).relative_to(folder).as_posix() for f in source.files] == ["a/1.jpg", "b/2.png", "b/3.PNG"]
    found = source(torch.zeros(30, 3, 4, 6, dtype=torch.float64), seeded())
    assert found.shape == (30, 3, 4, 6)
    assert found.dtype == torch.float64
    means = (255 * found.flatten(1).mean(dim=1)).round()
    chosen = torch.randint(0, 3, (30,), generator=seeded())
    torch.testing.assert_close(means, torch.tensor([40.0, 120.0, 200.0]).double()[chosen])


def test_a_picture_is_resized_as_pillow_does_it(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "only.png")
    for file in TextureFolder(path=folder).files:
        if not file.endswith("only.png"):
            Path(file).unlink()
    [found] = TextureFolder(path=folder)(torch.zeros(1, 3, 10, 12))
    expected = np.array(Image.fromarray(pixels).resize((12, 10), Image.Resampling.BILINEAR))
    torch.testing.assert_close(found, torch.from_numpy(expected).movedim(2, 0) / 255)


def test_a_folder_without_pictures_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no folder {tmp_path / 'none'}; `path` names one with pictures"):
        TextureFolder(path=tmp_path / "none")
    with pytest.raises(ValueError, match=rf"{tmp_path} and its folders hold no picture \(.bmp, .*such as the one"):
        TextureFolder(path=tmp_path)


def test_yaml_names_a_folder_and_a_wrong_one_is_told() -> None:
    source = {"name": "folder", "path": "/none/here"}
    with pytest.raises(ValueError, match="there is no folder /none/here"):
        default_registry().build("pseudo_anomaly", {"name": "pasted_texture", "source": source})


def test_a_picture_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "a" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.jpg: this picture cannot be read: .*; mend it, or take it out"):
        TextureFolder(path=folder)(torch.zeros(30, 3, 4, 5), seeded())
