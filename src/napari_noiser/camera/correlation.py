"""Correlation of noise between neighboring pixels: whether it is white."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d, correlate

from napari_noiser._errors import InputError
from napari_noiser._validation import check_not_masked
from napari_noiser.camera.noise_model import check_frames

Floats = NDArray[np.float64]
Lags = list[tuple[int, int]]

_WHITE = 0.1  # correlations up to this change the noise's estimate by less than its own error
_BLOCK = 16  # pixels a side
_BLOCKS_MOST = 4096  # looked at; a megapixel's
_BLOCKS_LEAST = 16
_FLATTEST = 0.1  # of the blocks
_BLOCK_ERROR = 0.22  # of a block's correlation, as white noise has it behind all that is done here
_PAIRS_MOST = 8  # of frames
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_EDGE = 2  # pixels on each side that the high-pass needs
_ROUNDING = 1e-28  # of a square: what a constant has behind the high-pass
_FARTHEST = 2  # pixels, in y and x, that noise is taken to be correlated over


@dataclass(frozen=True)
class Whiteness:
    """Correlations of noise with itself some pixels off, in [-1, 1]; all 0 if it is white.

    Attributes
    ----------
    horizontal, vertical : float
        With the next pixel in x, and in y.
    diagonal : float
        With the next pixel on a diagonal, the mean of both.
    two_across, two_down : float
        With the next pixel but one in x, and in y.
    error : float
        The standard error of each.
    """

    horizontal: float
    vertical: float
    diagonal: float
    two_across: float
    two_down: float
    error: float

    @property
    def strongest(self) -> float:
        """The correlation farthest from 0."""
        near = (self.horizontal, self.vertical, self.diagonal)
        return max(*near, self.two_across, self.two_down, key=abs)

    @property
    def correlated(self) -> bool:
        """Whether one is beyond 0.1 and twice its error: then pixels did not err independently."""
        return abs(self.strongest) > _WHITE + 2 * self.error

    def remark(self) -> str:
        """Return a warning of what that means for an image; empty if the noise is white."""
        if not self.correlated:
            return ""
        found = f"Pixels share noise with their neighbors (correlation {self.strongest:.2f})"
        if self.strongest < 0:
            return (
                f"{found}, with opposite signs: the image was sharpened, and the estimated noise "
                "is too large. Use raw data, from before sharpening or deconvolution."
            )
        return (
            f"{found}: the estimated noise is too small, and denoising takes grains of noise for "
            "structure. Use raw data, from before interpolation (registration, rotation, "
            "resizing, demosaicking), smoothing or lossy compression; or bin until it is white."
        )

    def residual_remark(self) -> str:
        """Return a warning of what it means for raw less denoised; empty if it is white."""
        if not self.correlated:
            return ""
        found = f"What denoising removed is not white (correlation {self.strongest:.2f})"
        if self.strongest < 0:
            return f"{found}: part of the noise was left in the result."
        return f"{found}: structure went with the noise, or the raw data's noise is not white."


def noise_correlation(image: ArrayLike) -> Whiteness:
    """Estimate how the noise of an image is correlated between neighbors.

    Parameters
    ----------
    image : array, shape (Y, X) or (frames, Y, X)
        Counts, integers or floats, of 64 pixels a side or more. Several frames of a scene that
        stands still tell more: structure cancels in their differences. Blocks of 16 x 16 pixels
        that hold a value that is not finite, or no noise, are left out.

    Returns
    -------
    Whiteness
        Noise correlated over more than 2 pixels is not told from structure.

    Raises
    ------
    TypeError
        If the image is a masked array.
    ValueError
        If the image has another number of dimensions, is smaller, or has no block with noise.

    Notes
    -----
    The image less its binomial smooth (5 x 5) is what the noise is looked for in. Of 4096 blocks
    at most, the tenth counts (16 at least) whose coarse variance, that of means of 4 x 4 pixels,
    is least beside that of the high-passed values. The median of their autocovariances, each over
    the block's variance, is a known linear function of the noise's own autocovariance, if that
    vanishes beyond 2 pixels: it is solved for it by least squares.
    """
    blocks = _blocks(_changes(check_frames(image)), _EDGE)
    fine = _high_passed(blocks)
    power = np.square(fine).mean(axis=(1, 2))
    noisy = power > _ROUNDING * np.square(blocks).mean(axis=(1, 2))
    if not noisy.any():
        raise InputError("image", "has no block of 16 x 16 finite pixels with noise in it")
    coarse = _coarse_variance(blocks)[noisy]
    fine, power = fine[noisy], power[noisy]
    count = max(int(_FLATTEST * len(power)), _BLOCKS_LEAST)
    flattest = np.argsort(coarse / power, kind="stable")[:count]
    own, measured_at = _lags(_FARTHEST), _lags(_FARTHEST + _EDGE)
    response = _response(measured_at, own)
    measured = np.median(_correlations(fine[flattest], measured_at), axis=0)
    noise = np.asarray(np.linalg.lstsq(response, measured, rcond=None)[0], np.float64)
    return _whiteness(own, noise, _BLOCK_ERROR / len(flattest) ** 0.5)


def residual_whiteness(residual: ArrayLike) -> Whiteness:
    """Return how a residual is correlated between neighbors.

    Parameters
    ----------
    residual : array, shape (Y, X)
        Raw less denoised, of 16 pixels a side or more. Blocks of 16 x 16 pixels that hold a value
        that is not finite are left out.

    Returns
    -------
    Whiteness
        Its autocorrelation in blocks less their means, the mean of 4096 blocks at most, so that
        bright regions, where noise is strong, count as much as dark ones; all 0 if it is constant.

    Raises
    ------
    TypeError
        If the residual is a masked array.
    ValueError
        If the residual is no plane, is smaller, or has no block of finite values.
    """
    plane = check_not_masked("residual", residual)
    if plane.ndim != 2 or min(plane.shape) < _BLOCK:
        raise InputError(
            "residual",
            f"must be a plane of {_BLOCK} pixels a side or more, got shape {plane.shape}",
        )
    blocks = _blocks([plane.astype(np.float64)], 0)
    if not len(blocks):
        raise InputError("residual", "has no block of 16 x 16 finite pixels")
    level = blocks.mean(axis=(1, 2), keepdims=True)
    blocks = (blocks - level)[np.ptp(blocks, axis=(1, 2)) > 0]
    if not len(blocks):
        return Whiteness(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    lags = _lags(_FARTHEST)
    return _whiteness(lags, _correlations(blocks, lags).mean(axis=0), blocks.size**-0.5)


def _whiteness(lags: Lags, covariance: Floats, error: float) -> Whiteness:
    """Return the correlations that autocovariances at these lags mean."""
    shared = dict(zip(lags, np.clip(covariance / covariance[0], -1, 1).tolist(), strict=True))
    diagonal = (shared[1, 1] + shared[1, -1]) / 2
    return Whiteness(shared[0, 1], shared[1, 0], diagonal, shared[0, 2], shared[2, 0], error)


def _changes(frames: NDArray[np.generic]) -> list[Floats]:
    """Return the plane, or what changed between some frames and the next."""
    if frames.ndim == 2 or len(frames) == 1:
        return [frames.reshape(frames.shape[-2:]).astype(np.float64)]
    first = np.unique(np.linspace(0, len(frames) - 2, _PAIRS_MOST).astype(int))
    return [frames[at + 1].astype(np.float64) - frames[at] for at in first]


def _blocks(planes: list[Floats], edge: int) -> Floats:
    """Return blocks spread evenly, each with an edge around it; edges overlap, blocks do not."""
    side = _BLOCK + 2 * edge
    blocks_of_planes = []
    for plane in planes:
        y, x = (np.arange(0, length - side + 1, _BLOCK) for length in plane.shape)
        corners = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
        chosen = np.linspace(0, len(corners) - 1, min(len(corners), _BLOCKS_MOST // len(planes)))
        corners = corners[chosen.astype(int)]
        rows, columns = (corners[:, axis, None] + np.arange(side) for axis in (0, 1))
        blocks_of_planes.append(plane[rows[:, :, None], columns[:, None, :]])
    blocks = np.concatenate(blocks_of_planes)
    return np.asarray(blocks[np.isfinite(blocks).all(axis=(1, 2))])


def _high_passed(blocks: Floats) -> Floats:
    """Return blocks less their smooth, without the edge."""
    smooth = convolve1d(convolve1d(blocks, _BINOMIAL, axis=1), _BINOMIAL, axis=2)
    return np.asarray((blocks - smooth)[:, _EDGE:-_EDGE, _EDGE:-_EDGE])


def _coarse_variance(blocks: Floats) -> Floats:
    inner = blocks[:, _EDGE:-_EDGE, _EDGE:-_EDGE].reshape(-1, _BLOCK // 4, 4, _BLOCK // 4, 4)
    return np.asarray(inner.mean(axis=(2, 4)).var(axis=(1, 2)))


def _lags(farthest: int) -> Lags:
    """Return half of the lags in a square, 0 first: those of the other half are alike."""
    reach = range(-farthest, farthest + 1)
    return [lag for lag in product(reach, reach) if lag >= (0, 0)]


def _correlations(blocks: Floats, lags: Lags) -> Floats:
    """Return each block's autocovariance over its variance, of shape (blocks, lags)."""
    variance = np.square(blocks).mean(axis=(1, 2))
    shared = np.empty((len(blocks), len(lags)))
    for number, (y, x) in enumerate(lags):
        one = blocks[:, : _BLOCK - y, max(0, -x) : _BLOCK - max(0, x)]
        other = blocks[:, y:, max(0, x) : _BLOCK - max(0, -x)]
        shared[:, number] = (one * other).mean(axis=(1, 2)) / variance
    return shared


def _response(measured_at: Lags, own: Lags) -> Floats:
    """Return the high-pass's response to unit covariance at each lag, (measured_at, own)."""
    kernel = np.pad([[1.0]], _EDGE) - np.outer(_BINOMIAL, _BINOMIAL)
    reach = 2 * _FARTHEST + _EDGE  # the sum of the lags' reaches: beyond the kernel's, zeros
    wide = np.pad(kernel, reach)
    echo = correlate(wide, kernel, mode="constant")
    middle = len(wide) // 2

    def one(lag: tuple[int, int], own: tuple[int, int]) -> float:
        same = echo[middle + lag[0] - own[0], middle + lag[1] - own[1]]
        mirrored = echo[middle + lag[0] + own[0], middle + lag[1] + own[1]]
        return float(same + mirrored) if own != (0, 0) else float(same)

    return np.array([[one(there, lag) for lag in own] for there in measured_at])
