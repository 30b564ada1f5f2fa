"""Standardize denoised light for a display, from the moments of an image's patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GAIN = 50 / 127.5
"""Standard deviations to the argument of tanh; fixed in 8-bit units, where 127.5 spans it."""

_LEAST_LIGHT = 0.01  # of the variance


@dataclass(frozen=True)
class OutputStandardization:
    """The light that a response before tanh means, in the units of the image.

    A response of 0 is `offset`, the mean of all samples; `scale` is the light that makes a
    response of 1 more. `noise_std` is the standard deviation of the image's noise.
    """

    offset: float
    scale: float
    noise_std: float

    @classmethod
    def of(
        cls, mean: NDArray[np.float64], covariance: NDArray[np.float64], samples: int
    ) -> OutputStandardization:
        """Standardize by all samples together, so that colors keep their cast.

        The moments are those of the 3x3 (3x3x3) patches of all samples: 9 C (27 C) numbers and
        their square. The light's variance is what neighboring pixels have in common: noise that is
        independent from pixel to pixel does not count. It is taken for at least a hundredth of the
        whole, lest an image of nothing but noise has what is left of that stretched to black and
        white.
        """
        centers = mean.reshape(samples, -1).mean(axis=1)
        blocks = covariance.reshape(samples, -1, samples, len(mean) // samples)
        variance = float(np.einsum("cici->", blocks)) / len(mean)
        own = [_in_plane(blocks[at, :, at]) for at in range(samples)]
        shared = float(np.mean([_shared(each) for each in own]))
        middle = float(centers.mean())
        spread = float(np.square(centers - middle).mean())
        light = float(np.sqrt(max(shared, _LEAST_LIGHT * variance) + spread))
        noise = float(np.mean([_noise(each) for each in own]) ** 0.5)
        return cls(middle, light / _GAIN, noise)


def _in_plane(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of 3x3 patches, or of the middle planes of 3x3x3 patches."""
    first = (len(covariance) - 9) // 2
    return covariance[first : first + 9, first : first + 9]


def _noise(covariance: NDArray[np.float64]) -> float:
    """Return the variance of the noise, as second differences along both axes tell it.

    As `napari_noiser.camera.noise_variance.noise_variance` does, from the covariance of 3x3
    patches.
    """
    kernel = np.outer((1, -2, 1), (1, -2, 1)).ravel()
    return float(max(kernel @ covariance @ kernel, 0.0) / np.square(kernel).sum())


def _shared(covariance: NDArray[np.float64]) -> float:
    """Return the covariance of pixels that touch along an axis, from that of 3x3 patches."""
    side = round(len(covariance) ** 0.5)
    cells = np.arange(side * side).reshape(side, side)
    pairs = [(cells[1:], cells[:-1]), (cells[:, 1:], cells[:, :-1])]
    return float(np.mean([covariance[a.ravel(), b.ravel()].mean() for a, b in pairs]))
