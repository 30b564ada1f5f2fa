"""Light that denoising took away, given back smoothed: sums over regions are as in raw data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noiser.srm.patches import Halo

__all__ = ["given_back", "reach_of", "without_edge"]

Floats = NDArray[np.float64]


def reach_of(deviation: float) -> int:
    """Return how far a Gaussian of this standard deviation gives back, in pixels."""
    return int(3 * deviation + 0.5)


def given_back(raw: NDArray[Any], light: Floats, deviation: float) -> Floats:
    """Return what was taken from raw data, behind a Gaussian along y and x.

    Parameters
    ----------
    raw, light : array, shape (S, ..., Y, X)
        Within `reach_of` pixels of their ends, the result holds only where the image ends, too:
        there it is mirrored. What is not finite gives nothing.
    deviation : float
        Of the Gaussian, in pixels.
    """
    taken = np.nan_to_num(raw - light, nan=0.0, posinf=0.0, neginf=0.0)
    flat = taken.ndim - 2
    return np.asarray(
        gaussian_filter(
            taken,
            (0.0,) * flat + (deviation,) * 2,
            mode="reflect",
            radius=(0,) * flat + (reach_of(deviation),) * 2,
        )
    )


def without_edge(edge: Halo) -> tuple[slice, ...]:
    """Return what takes an edge off an array (S, *spatial)."""
    return (slice(None), *(slice(low, -high or None) for low, high in edge))
