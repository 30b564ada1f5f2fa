"""Random fields and scales: what structured noise is drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.random import Generator as Random

__all__ = ["Floats", "log_uniform", "power_law_field", "rescale", "smooth", "uniform"]

Floats = NDArray[np.float32]


def power_law_field(shape: tuple[int, ...], exponent: float, random: Random) -> Floats:
    """Return a normal random field of mean 0 and variance 1 with a power-law spectrum."""
    frequencies = [np.fft.fftfreq(length) for length in shape]
    squares = sum(each**2 for each in np.meshgrid(*frequencies, indexing="ij", sparse=True))
    squares.flat[0] = np.inf  # no mean
    white = np.fft.fftn(random.standard_normal(shape))
    drawn = np.fft.ifftn(white * squares ** (-exponent / 2)).real
    return np.asarray(drawn / drawn.std(), np.float32)


def smooth(light: NDArray[Any], deviation: float) -> Floats:
    """Return light of shape (channels, ...) behind a Gaussian of a standard deviation."""
    from scipy.ndimage import gaussian_filter  # slow to import, and recipes are listed often

    return np.asarray(gaussian_filter(light, deviation, axes=tuple(range(1, light.ndim))))


def rescale(light: NDArray[Any]) -> Floats:
    """Move and scale to 0 and about 1; highlights lie above."""
    light = light - light.min()
    return np.asarray(light / (np.quantile(light, 0.999) + 1e-6), np.float32)


def log_uniform(span: Sequence[float], random: Random) -> float:
    """Draw a scale: all of its orders of magnitude are equally likely."""
    return exp(random.uniform(log(span[0]), log(span[1])))


def uniform(span: Sequence[float], random: Random) -> float:
    """Draw a number between two."""
    return random.uniform(span[0], span[1])
