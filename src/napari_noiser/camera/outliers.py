"""Find and repair hot pixels, dead pixels and cosmic rays: sharper than any point of light."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_float, check_not_masked
from napari_noiser.camera.noise_model import CameraNoise, check_camera
from napari_noiser.camera.stabilization import stabilize

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REACH = 3
"""Pixels around a region that its repair depends on: 2 tell outliers, 1 more replaces them."""

_AROUND = 2  # pixels on each side of the window that a pixel is judged in
_POINT = 0.25
"""The least of a point's height that both neighbors in its row, or column, have in the mean:
0.37 of a FWHM of 1.5 pixels, 0.54 of 2 pixels; more where its center is between pixels."""
_SHARPER = 2.0  # standard deviations by which an outlier's neighbors are below that


def repair_outliers(
    image: ArrayLike,
    noise: CameraNoise,
    *,
    sigmas: float = 6.0,
    mask: ArrayLike | None = None,
) -> Array:
    """Replace outliers by the median of their neighbors that are none.

    Parameters
    ----------
    image : array, shape (..., Y, X)
        Integers or floats; each plane for itself.
    noise : CameraNoise
        Of the camera that took it.
    sigmas, mask : optional
        As in `find_outliers`.

    Returns
    -------
    array
        Of the image's shape and dtype, integers rounded: the image itself if it has no outliers,
        a copy if it has. Where all 8 neighbors are outliers or not finite, a pixel stays.

    Raises
    ------
    TypeError, ValueError
        As `find_outliers` does.

    Notes
    -----
    The repair of a region depends on `REACH` pixels around it, and on no others.
    """
    given = check_not_masked("image", image)
    found = find_outliers(given, noise, sigmas, mask)
    if not found.any():
        return given
    repaired = given.copy()
    for plane in np.ndindex(given.shape[:-2]):
        outliers = np.nonzero(found[plane])
        if len(outliers[0]):
            good = np.where(found[plane], np.nan, _counted(given, mask, plane))
            good = _padded(good, 1)
            median = _quantile(np.sort(_windows(good, outliers, 1), axis=1), 2)
            if given.dtype.kind in "iu":
                median = np.rint(median)
            known = ~np.isnan(median)
            pixels = tuple(index[known] for index in outliers)
            repaired[plane][pixels] = median[known].astype(given.dtype)
    return repaired


def find_outliers(
    image: ArrayLike, noise: CameraNoise, sigmas: float = 6.0, mask: ArrayLike | None = None
) -> Bools:
    """Find pixels that stand out from their neighbors, and more sharply than a lens draws.

    Parameters
    ----------
    image : array, shape (..., Y, X)
        Integers or floats; each plane for itself. NaN and infinity are no outliers and count
        for no neighbor; at an edge those neighbors count that exist.
    noise : CameraNoise
        Of the camera that took it.
    sigmas : float, optional
        How many standard deviations of the noise an outlier differs by; above 0.
    mask : array of bool, optional
        Which pixels count, of the image's shape or its trailing axes: others are as NaN.

    Returns
    -------
    array of bool
        Of the image's shape.

    Raises
    ------
    TypeError
        If the image does not hold integers or floats, or is a masked array, or `sigmas` is no
        number.
    ValueError
        If the image has less than 2 dimensions, or `sigmas` is not above 0.

    Notes
    -----
    An outlier passes two tests. It differs from the median of the 24 pixels around it by more
    than `sigmas`: with noise at that level if it is dark, in the generalized Anscombe transform
    if it is bright, as a few photons in the dark would stand out otherwise. And its two
    neighbors in its row, or those in its column, rise with it less than those of a point of
    light, whose FWHM is 1.5 pixels or more, by twice their noise; heights count from the lower
    quartile of the 24, the upper one if it is dark. Rays of one pixel's width in any direction
    pass that as single pixels do; stars, strands and edges behind a lens do not.
    Two outliers side by side in x and one of them also in y, as in a block of 2 x 2, are taken
    for a point of light; a saturated star's bleeding column is taken for a ray.

    A local form of what tells cosmic rays from stars in van Dokkum, "Cosmic-ray rejection by
    Laplacian edge detection", PASP 113, 2001.
    """
    given = check_not_masked("image", image)
    if given.dtype.kind not in "iuf":
        raise InputTypeError("image", f"must hold integers or floats, got {given.dtype}")
    if given.ndim < 2:
        raise InputError("image", f"must have 2 dimensions or more, got shape {given.shape}")
    noise, sigmas = check_camera(noise), check_float("sigmas", sigmas, above=0.0)
    found = np.zeros(given.shape, bool)
    for plane in np.ndindex(given.shape[:-2]):
        values = _padded(_counted(given, mask, plane), _AROUND)
        suspects = np.nonzero(_suspects(values, noise, (1 - _POINT) * sigmas))
        if len(suspects[0]):
            sure = _is_outlier(_windows(values, suspects, _AROUND), noise, sigmas)
            found[plane][tuple(index[sure] for index in suspects)] = True
    return found


def _counted(given: Array, mask: ArrayLike | None, plane: tuple[int, ...]) -> Array:
    """Return a plane of an image, NaN where a mask leaves it out."""
    if mask is None:
        return np.asarray(given[plane])
    counted = np.broadcast_to(np.asarray(mask) != 0, given.shape)[plane]
    return np.where(counted, given[plane], np.nan)


def _suspects(values: Floats, noise: CameraNoise, sigmas: float) -> Bools:
    """Return the pixels far from their neighbors in the row, or column: few of the noise."""
    level = stabilize(values[1:-1, 1:-1], noise)
    middle = level[1:-1, 1:-1]
    row = _mean(level[1:-1, :-2], level[1:-1, 2:])
    column = _mean(level[:-2, 1:-1], level[2:, 1:-1])
    bright = middle - np.fmin(row, column) > sigmas
    return np.asarray(bright | (np.fmax(row, column) - middle > sigmas))


def _is_outlier(windows: Floats, noise: CameraNoise, sigmas: float) -> Bools:
    """Return which windows, of shape (pixels, 25), have an outlier in their middle."""
    center, around = windows[:, 12], np.sort(np.delete(windows, 12, axis=1), axis=1)
    level = _quantile(around, 2)
    bright = center > level
    differs = np.where(
        bright,
        stabilize(center, noise) - stabilize(level, noise),
        (level - center) / _deviation(level, noise),
    )
    base = np.where(bright, _quantile(around, 1), _quantile(around, 3))
    least = base + _POINT * (center - base)
    row, column = windows[:, [11, 13]], windows[:, [7, 17]]
    below = np.where(bright, least - _lower(row, column), -least - _lower(-row, -column))
    unsure = np.hypot(_deviation(least, noise) / 2**0.5, _POINT * _deviation(center, noise))
    return np.asarray((differs > sigmas) & (below > _SHARPER * unsure))


def _lower(row: Floats, column: Floats) -> Floats:
    """Return the lower of two pairs' means; at an edge that of the whole one, in a corner the
    higher of what is left: there half of a star is out of sight."""
    whole = np.fmin(row.mean(axis=1), column.mean(axis=1))
    rest = np.fmax(_mean(*row.T), _mean(*column.T))
    return np.where(np.isnan(whole), rest, whole)


def _deviation(mean: Floats, noise: CameraNoise) -> Floats:
    """Return the noise's standard deviation as Anscombe's transform has it: not 0 in the dark."""
    return np.asarray(np.sqrt(noise.variance(mean) + 3 / 8 * noise.gain**2))


def _padded(plane: Array, width: int) -> Floats:
    """Return a plane inside a frame, with NaN for what is not there or not finite."""
    rows, columns = plane.shape
    padded = np.full((rows + 2 * width, columns + 2 * width), np.nan)
    inside = padded[width : width + rows, width : width + columns]
    inside[:] = plane
    inside[np.isinf(inside)] = np.nan
    return padded


def _windows(padded: Floats, pixels: tuple[NDArray[np.intp], ...], width: int) -> Floats:
    """Return the square around each pixel, one a row."""
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1,) * 2)
    return np.asarray(windows[pixels].reshape(len(pixels[0]), -1))


def _mean(one: Floats, other: Floats) -> Floats:
    """Return the mean of two, or the one that is there."""
    return np.asarray((np.fmin(one, other) + np.fmax(one, other)) / 2)


def _quantile(ascending: Floats, quarter: int) -> Floats:
    """Return a quartile of what is there in each row, NaN coming last; NaN if nothing is."""
    last = np.maximum(np.isfinite(ascending).sum(axis=1) - 1, 0) * quarter
    rows = np.arange(len(ascending))
    return np.asarray((ascending[rows, last // 4] + ascending[rows, -(-last // 4)]) / 2)
