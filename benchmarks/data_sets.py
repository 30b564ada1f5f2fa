"""Real pairs of dim and good images, read from the folder that NAPARI_NOISER_DATA names."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.io import imread

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Pair:
    """A dim image and the good one of the same scene."""

    dim: Array
    truth: Array

    @property
    def axes(self) -> str:
        """YX, or YXS for photographs."""
        return "YXS" if self.dim.ndim == 3 else "YX"

    @property
    def megapixels(self) -> float:
        """Millions of pixels, whatever their samples."""
        return self.dim.shape[0] * self.dim.shape[1] / 1e6


def twins(dim: Path, truth: Path, pattern: str) -> Iterator[Pair]:
    """Read the images of one name in two folders."""
    for path in sorted(dim.glob(pattern)):
        yield Pair(imread(path), imread(truth / path.name))


def lol(folder: Path) -> Iterator[Pair]:
    """Read dark photographs and their well-lit twins."""
    return twins(folder / "lol/low", folder / "lol/high", "*.png")


def w2s(folder: Path) -> Iterator[Pair]:
    """Read single fluorescence frames and the means of 400."""
    return twins(folder / "w2s/avg1", folder / "w2s/avg400", "*.tif")


def hagen(folder: Path) -> Iterator[Pair]:
    """Read low and high exposures in fluorescence: green holds the signal of their displays."""
    for pair in twins(folder / "hagen/low", folder / "hagen/high", "*.png"):
        yield Pair(pair.dim[..., 1], pair.truth[..., 1])


def fmd(folder: Path) -> Iterator[Pair]:
    """Read confocal and widefield frames and the means of 50; dyes one by one."""
    for path in sorted((folder / "fmd/low").iterdir()):
        dim, truth = imread(path), imread(folder / "fmd/high" / path.name)
        if dim.ndim == 2:
            yield Pair(dim, truth)
        else:
            yield from (Pair(dim[..., dye], truth[..., dye]) for dye in range(3))


def astronomy(folder: Path) -> Iterator[Pair]:
    """Read one frame of a star field and the median of 52 aligned ones."""
    stars = folder / "astronomy"
    yield Pair(
        imread(stars / "hatp32_single_frame.tif"), imread(stars / "hatp32_reference_median.tif")
    )


def data_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser that knows the data folder."""
    parser = argparse.ArgumentParser(description=description)
    default = os.environ.get("NAPARI_NOISER_DATA")
    parser.add_argument("folder", nargs="?", default=default, help="or NAPARI_NOISER_DATA")
    return parser


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; its `folder` is a path."""
    given = parser.parse_args()
    if not given.folder:
        parser.error("name the data folder, or set NAPARI_NOISER_DATA")
    given.folder = Path(given.folder)
    return given
