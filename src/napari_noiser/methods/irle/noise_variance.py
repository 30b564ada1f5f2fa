"""How much of crops is noise, and how far it has to be smoothed to be calm."""

from __future__ import annotations

from math import pi, sqrt

from torch import Tensor

__all__ = ["noise_variance", "smoothing_sigma"]

_KERNEL_POWER = 36  # the sum of squares of (1, -2, 1) times (1, -2, 1)
_CALM = 0.02  # of what is left, from black to white
_LEAST, _MOST = 0.5, 3.0  # pixels; less does nothing


def noise_variance(image: Tensor) -> Tensor:
    """Return the variance of each channel's noise, (C,) in float64, from second differences.

    Parameters
    ----------
    image : Tensor
        (N, C, Y, X), 3 pixels a side at least.

    Notes
    -----
    Immerkaer, "Fast Noise Variance Estimation", CVIU 64(2), 1996; the mean of squares, as in
    `napari_noiser.camera.noise_variance`.
    """
    rough = image.double().diff(2, dim=-1).diff(2, dim=-2)
    return rough.square().mean(dim=(0, 2, 3)) / _KERNEL_POWER


def smoothing_sigma(dark: Tensor) -> float:
    """Return the sigma of the Gaussian that leaves 2 % of noise in dark images, in pixels.

    Parameters
    ----------
    dark : Tensor
        (N, C, Y, X), black is 0 and white 1.

    Returns
    -------
    float
        0, or from 0.5 to 3. A Gaussian leaves the part 1 / (2 sqrt(pi) sigma) of noise that is
        independent from pixel to pixel.
    """
    noise = sqrt(float(noise_variance(dark).mean()))
    sigma = noise / (2 * sqrt(pi) * _CALM)
    return min(sigma, _MOST) if sigma >= _LEAST else 0.0
