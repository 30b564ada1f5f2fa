"""The generalized Anscombe transform, which makes the noise's variance 1, and its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._validation import check_not_masked
from napari_noiser.camera.noise_model import CameraNoise, check_camera

_LEAST = 2 * (3 / 8) ** 0.5  # what no electrons and no read noise are turned into
_STEPS = 4096  # of a table; a straight line between two of them is right to 1e-6


def stabilize(image: ArrayLike, noise: CameraNoise) -> NDArray[np.float64]:
    """Turn counts into values whose noise has a variance of about 1, whatever their mean.

    Parameters
    ----------
    image : array
        Counts, of any shape.
    noise : CameraNoise
        Of the camera that took it.

    Returns
    -------
    array of float64
        ``2 sqrt(electrons + 3/8 + read_noise**2)``; 0 where that would be the root of a negative.

    Raises
    ------
    TypeError
        If the image is a masked array, or `noise` is no CameraNoise.

    Notes
    -----
    Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", 1998. Not invariant to gain
    and offset, unless the camera's parameters are scaled along.
    """
    noise = check_camera(noise)
    electrons = (
        np.asarray(check_not_masked("image", image), np.float64) - noise.offset
    ) / noise.gain
    return np.asarray(2 * np.sqrt(np.maximum(electrons + 3 / 8 + noise.read_noise**2, 0)))


def unstabilize(values: ArrayLike, noise: CameraNoise) -> NDArray[np.float64]:
    """Return the mean counts whose stabilized values have these means: the unbiased inverse.

    The algebraic inverse would be too dark: the mean of a root is not the root of the mean.

    Parameters
    ----------
    values : array
        Means of what `stabilize` returned, as a denoiser estimates them.
    noise : CameraNoise
        As of `stabilize`.

    Returns
    -------
    array of float64
        In counts.

    Notes
    -----
    The closed form of the exact unbiased inverse: Makitalo, Foi, "Optimal inversion of the
    generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22(1), 2013.
    """
    noise = check_camera(noise)
    electrons = _to_electrons(np.asarray(values, np.float64)) - noise.read_noise**2
    return np.asarray(noise.gain * electrons + noise.offset)


def stabilized_mean(mean: ArrayLike, noise: CameraNoise) -> NDArray[np.float64]:
    """Return the mean of what `stabilize` makes of counts of a mean: `unstabilize` takes it back.

    It is below `stabilize` of the mean itself, by up to a quarter where photons are few.
    """
    electrons = (np.asarray(mean, np.float64) - noise.offset) / noise.gain + noise.read_noise**2
    brightest = 2 * (max(float(electrons.max(initial=0.0)), 0.0) + 1) ** 0.5 + 1
    values = np.geomspace(_LEAST, brightest, _STEPS)
    return np.asarray(np.interp(electrons, _to_electrons(values), values))


def _to_electrons(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean electrons, the square of the read noise included."""
    d = np.maximum(values, _LEAST)
    root = (3 / 2) ** 0.5
    return np.asarray(d**2 / 4 + root / 4 / d - 11 / 8 / d**2 + 5 / 8 * root / d**3 - 1 / 8)
