"""Score the bundled recipes beside the honest baselines, on real pairs of dim and good images.

Run as ``python benchmarks/quality.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
It prints one table. What is measured, and how, is explained in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.exposure import equalize_adapthist
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import napari_noiser as noiser

Array = NDArray[np.generic]
Floats = NDArray[np.floating]
Score = tuple[float, float]
"""PSNR in dB, and SSIM."""


@dataclass(frozen=True)
class Pair:
    """A dim image and the good one of the same scene."""

    dim: Array
    truth: Array

    @property
    def axes(self) -> str:
        """YX, or YXS for photographs."""
        return "YXS" if self.dim.ndim == 3 else "YX"


# The methods: a dim image and its axes become an image in [0, 1].


def unchanged(image: Array, axes: str) -> Floats:
    """Scale to [0, 1]: by 255 for 8 bits, else by the image's own range."""
    if image.dtype == np.uint8:
        return image / 255.0
    values = image.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def auto_gamma(image: Array, axes: str) -> Floats:
    """Raise to the power that brings the mean to 0.45, found by bisection."""
    values, low, high = unchanged(image, axes), -10.0, 10.0  # of the power's logarithm
    for _ in range(60):
        middle = (low + high) / 2
        too_bright = (values ** np.exp(middle)).mean() > 0.45
        low, high = (middle, high) if too_bright else (low, middle)
    return values ** np.exp(low)


def clahe(image: Array, axes: str) -> Floats:
    """Equalise the histogram adaptively, with scikit-image's defaults."""
    return equalize_adapthist(unchanged(image, axes))


def closed_form(image: Array, axes: str) -> Floats:
    """Box mean, standardise, tanh: no training, no network."""
    return noiser.closed_form(image, axes=axes)


def recipe(name: str) -> Callable[[Array, str], Floats]:
    """Return a bundled model as a method."""
    return lambda image, axes: noiser.enhance(image, name, axes=axes, device="cpu")


METHODS: Mapping[str, Callable[[Array, str], Floats]] = {
    "input": unchanged,
    "auto-gamma": auto_gamma,
    "CLAHE": clahe,
    "closed form": closed_form,
    "noiser": recipe("noiser"),
    "noiser-es": recipe("noiser-es"),
    "noiser-var3": recipe("noiser-var3"),
}


# The scores: a result in [0, 1] beside the truth.


def score_photograph(result: Floats, truth: Array) -> Score:
    """Compare in 8 bits, as both are shown."""
    shown = np.rint(result.clip(0, 1) * 255).astype(np.uint8)
    similarity = structural_similarity(
        truth / 255.0, shown / 255.0, channel_axis=-1, data_range=1.0
    )
    return float(peak_signal_noise_ratio(truth, shown)), float(similarity)


def score_fitted(result: Floats, truth: Array) -> Score:
    """Fit gain and offset by least squares, and compare over the truth's 99.9 % range."""
    wanted, values = truth.astype(np.float64), result.astype(np.float64)
    columns = np.stack([values.ravel(), np.ones(values.size)], axis=1)
    (gain, offset), *_ = np.linalg.lstsq(columns, wanted.ravel(), rcond=None)
    fitted = gain * values + offset
    span = float(np.subtract(*np.percentile(wanted, [99.95, 0.05])))
    similarity = structural_similarity(wanted, fitted, data_range=span)
    return float(peak_signal_noise_ratio(wanted, fitted, data_range=span)), float(similarity)


# The data sets.


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


def astronomy(folder: Path) -> Iterator[Pair]:
    """Read one frame of a star field and the median of 52 aligned ones."""
    stars = folder / "astronomy"
    yield Pair(
        imread(stars / "hatp32_single_frame.tif"), imread(stars / "hatp32_reference_median.tif")
    )


@dataclass(frozen=True)
class DataSet:
    """Pairs, and how results are scored on them."""

    name: str
    pairs: Callable[[Path], Iterator[Pair]]
    score: Callable[[Floats, Array], Score]


DATA_SETS = (
    DataSet("LOL", lol, score_photograph),
    DataSet("W2S", w2s, score_fitted),
    DataSet("Hagen", hagen, score_fitted),
    DataSet("astronomy", astronomy, score_fitted),
)


# The table.


def table(folder: Path) -> list[list[str]]:
    """Score all methods on all data sets; return the cells, a header first."""
    header, rows = ["PSNR (dB) / SSIM"], [[name] for name in METHODS]
    for data in DATA_SETS:
        pairs = list(data.pairs(folder))
        if not pairs:
            raise FileNotFoundError(f"{folder} holds no images of {data.name}")
        header.append(f"{data.name} ({len(pairs)})")
        for row, method in zip(rows, METHODS.values(), strict=True):
            scores = [data.score(method(pair.dim, pair.axes), pair.truth) for pair in pairs]
            psnr, ssim = np.mean(scores, axis=0)
            row.append(f"{psnr:.2f} / {ssim:.3f}")
    return [header, *rows]


def aligned(cells: list[list[str]]) -> str:
    """Return a table in Markdown, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = [f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    lines = []
    for first, *others in [cells[0], rule, *cells[1:]]:
        numbers = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append(f"| {' | '.join([first.ljust(widths[0]), *numbers])} |")
    return "\n".join(lines)


def machine() -> str:
    """Return processor, cores and versions in a line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0].partition(":")[2].strip() if names else processor
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-image"))
    return f"{processor}, {os.cpu_count()} cores; napari-noiser {noiser.__version__}, {packages}"


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=os.environ.get("NAPARI_NOISER_DATA"))
    folder = parser.parse_args().folder
    if not folder:
        parser.error("name the data folder, or set NAPARI_NOISER_DATA")
    print(f"{machine()}\n\n{aligned(table(Path(folder)))}")


if __name__ == "__main__":
    main()
