"""Estimate the background of an image, beneath cells and between stars, by sigma clipping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noiser.camera.noise_variance import noise_variance
from napari_noiser.engine.moments import FEW, SWAMPED, Bounds

_MESH = 64  # pixels a side, as Source Extractor has it
_CLIP = 3.0  # standard deviations
_EMPTIER = 0.25  # of the meshes hold little else than background
_CROWDED = 0.3  # of a standard deviation between mean and median: stars fill the mesh


@dataclass(frozen=True)
class BackgroundLevel:
    """The background of a channel, and its noise: a dark display starts from them.

    `levels` has the background of each color sample, one if there is no color; `noise` is the
    noise's standard deviation.
    """

    levels: tuple[float, ...]
    noise: float


def estimate_background(
    planes: Sequence[NDArray[np.float64]], bounds: Bounds | None = None
) -> BackgroundLevel | None:
    """Return the background and the noise of a channel, from a few of its planes.

    Planes are (samples, Y, X); not finite values are left out, and from the noise also a few
    pixels beyond `bounds` that would be most of it.
    """
    samples = zip(*planes, strict=True)
    levels = [background_level(each) for each in samples]
    if not np.isfinite(levels).all():
        return None
    noise = _mean_noise(planes)
    if bounds is not None:
        low, high = bounds.arrays(0.0, 2)
        inside = [np.where((plane < low) | (plane > high), np.nan, plane) for plane in planes]
        beyond = sum(int(np.isnan(each).sum()) for each in inside)
        beyond -= sum(int(np.isnan(plane).sum()) for plane in planes)
        without = _mean_noise(inside)
        few = beyond <= FEW * sum(plane.size for plane in planes)
        noise = without if few and 0 < SWAMPED * without < noise else noise
    return BackgroundLevel(tuple(levels), noise**0.5)


def _mean_noise(planes: Iterable[NDArray[np.float64]]) -> float:
    """Return the mean variance of the planes' noise, 0 if none tells."""
    noises = [noise_variance(np.where(np.isfinite(plane), plane, np.nan)) for plane in planes]
    return float(np.mean([noise for noise in noises if not np.isnan(noise)] or 0))


def background_level(planes: Iterable[NDArray[np.float64]]) -> float:
    """Return the background of some planes (Y, X), sigma-clipped mesh by mesh.

    It is the lower quartile of the meshes' backgrounds, as cells may fill most of the others; NaN
    where nothing is finite. Each mesh of 64 x 64 pixels is clipped at 3 standard deviations until
    nothing more falls; its background is 2.5 median - 1.5 mean, or the median where those differ
    by more than 0.3 standard deviations: Bertin, Arnouts, "SExtractor", A&AS 117, 1996, and
    photutils' SExtractorBackground.
    """
    found = [_mode(mesh) for plane in planes for mesh in _meshes(plane)]
    known = [level for level in found if not np.isnan(level)]
    return float(np.quantile(known, _EMPTIER)) if known else float("nan")


def sigma_clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values within 3 standard deviations of their mean, until all that are left are.

    As `scipy.stats.sigmaclip`, whose import alone takes longer than a small image.
    """
    while True:
        far = _CLIP * values.std()
        inside = (values >= values.mean() - far) & (values <= values.mean() + far)
        if inside.all():
            return values
        values = values[inside]


def _meshes(plane: NDArray[np.float64]) -> Iterable[NDArray[np.float64]]:
    rows, columns = (max(1, length // _MESH) for length in plane.shape)
    for row in np.array_split(plane, rows):
        yield from np.array_split(row, columns, axis=1)


def _mode(mesh: NDArray[np.float64]) -> float:
    values = mesh[np.isfinite(mesh)]
    if not values.size:
        return float("nan")
    clipped = sigma_clipped(values)
    median, mean = float(np.median(clipped)), float(clipped.mean())
    if abs(mean - median) > _CROWDED * float(clipped.std()):
        return median
    return 2.5 * median - 1.5 * mean
