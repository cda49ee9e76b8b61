"""A sheet of a dataset's images, for inspection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from matplotlib.axes import Axes

from dlkd.data.category import Category, DataError, Dataset, Sample
from dlkd.data.pictures.images import read_image
from dlkd.data.pictures.sample_mask import native_mask
from dlkd.drawing import LiteralFigure
from dlkd.files import atomic_path
from dlkd.text import shortened


def picture_sheet(
    dataset: Dataset, path: str | PathLike[str], *, categories: Iterable[str] | None = None, columns: int = 8
) -> Path:
    """Write a PNG with a row for each category: two training images, then test images, masks outlined.

    Damaged images are marked as such. Test images alternate between the defects; `columns` is the number of images in a
    row.
    """
    names = dataset.categories() if categories is None else tuple(categories)
    figure = LiteralFigure((1.6 * columns, 1.85 * len(names)))
    grid = figure.subplots(len(names), columns, squeeze=False)
    for row, name in zip(grid, names, strict=True):
        category = _readable(dataset, name)
        train = [("train", sample) for sample in category.train[:2]]
        test = [(sample.defect, sample) for sample in _in_turns(category.test)]
        for axes in row:
            axes.set_axis_off()
        for axes, (kind, sample) in zip(row, train + test, strict=False):
            axes.set_title(_heading(name, kind), fontsize=7)
            try:
                _draw(axes, sample)
            except DataError:
                axes.set_title(_heading(name, f"damaged {kind}"), fontsize=7, color="red")
    path = Path(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format=path.suffix[1:] or "png")
    return path


def _heading(name: str, kind: str) -> str:
    """Category and kind, as much of them as fits above a picture."""
    return f"{shortened(name, 16)}: {shortened(kind, 16)}"


def _readable(dataset: Dataset, name: str) -> Category:
    """The category as far as it can be read, as the sheet is for looking into what is wrong as well."""
    try:
        return dataset.load(name)
    except DataError as error:
        return error.found or Category("", name, (), ())


def _draw(axes: Axes, sample: Sample) -> None:
    picture = read_image(sample.image)
    axes.imshow(picture)
    if sample.mask is not None and (mask := native_mask(sample, picture)).any():
        axes.contour(mask, levels=[0.5], colors="red", linewidths=0.8)


def _in_turns(samples: Iterable[Sample]) -> list[Sample]:
    """All samples, in turns of one of each defect."""
    turns: Counter[str] = Counter()
    numbered = []
    for sample in samples:
        numbered.append((turns[sample.defect], sample))
        turns[sample.defect] += 1
    return [sample for _, sample in sorted(numbered, key=lambda pair: pair[0])]
