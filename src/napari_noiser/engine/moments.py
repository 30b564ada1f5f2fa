"""Moments of patches: all that a self-regression network needs to know of a whole image.

Write p for the 3x3xC (3x3x3xC) patch around a voxel. Its mean m and covariance S over an image
fix the instance normalization of *any* such network, and moments of parts merge exactly: tiles,
planes, time points and cluster workers are sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.methods.patches import Halo, Scratch, pad_missing, patches, patches_shape


@dataclass(frozen=True)
class PatchMoments:
    """Count, mean and covariance of patches, in float64.

    Attributes
    ----------
    count : int
        How many patches.
    mean : array, shape (C * 3**ndim,)
        Channel by channel, each in the order of a convolution's kernel.
    covariance : array, shape (C * 3**ndim, C * 3**ndim)
        Normalized by 1/count.
    """

    count: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def empty(cls, size: int) -> PatchMoments:
        """Return the moments of no patch at all."""
        return cls(0, np.zeros(size), np.zeros((size, size)))

    @property
    def has_signal(self) -> bool:
        """False if there are no patches, or all values are exactly equal."""
        return self.count > 0 and float(np.trace(self.covariance)) > 0

    def __add__(self, other: PatchMoments) -> PatchMoments:
        """Merge with the moments of other patches (Chan, Golub, LeVeque 1983), exactly."""
        if self.count == 0:
            return other
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        return PatchMoments(
            count,
            self.mean + share * step,
            (1 - share) * self.covariance
            + share * other.covariance
            + share * (1 - share) * np.outer(step, step),
        )


def patch_moments(tile: Tensor, halo: Halo, scratch: Scratch | None = None) -> PatchMoments:
    """Return the moments of the patches centered in a tile.

    Parameters
    ----------
    tile : Tensor
        (C, ...) in float64, with a halo of 1 but where the image ends; there its edge is
        repeated. Voxels that are not finite leave every patch that they touch out.
    halo : Halo
        What the tile carries of the halo.
    scratch : Scratch, optional
        Memory to work in.
    """
    padded = pad_missing(tile[None], halo, 1)[0]
    scratch = scratch or Scratch()
    device_memory = scratch.take("columns of moments", patches_shape(padded), padded)
    if bool(padded.isfinite().all()):
        origin = _origin(padded.flatten(1))
        columns = patches((padded.flatten(1) - origin).view(padded.shape), device_memory).flatten(
            2
        )
        return _moments(columns.flatten(0, 1), origin.repeat_interleave(columns.shape[1], dim=0))
    columns = patches(padded, device_memory).flatten(2).flatten(0, 1)
    counted = columns.isfinite().all(dim=0)
    columns = columns[:, counted]
    if columns.shape[1] == 0:
        return PatchMoments.empty(len(columns))
    origin = _origin(columns)
    return _moments(columns - origin, origin)


def _origin(rows: Tensor) -> Tensor:
    """Return the mean of each row; of equal values exactly that value, so that nothing is left."""
    first = rows[:, :1]
    return first + (rows - first).mean(dim=1, keepdim=True)


def _moments(deviations: Tensor, origin: Tensor) -> PatchMoments:
    """Return the moments of columns that deviate, by about nothing on average, from an origin."""
    count = deviations.shape[1]
    mean = deviations.mean(dim=1, keepdim=True)
    covariance = deviations @ deviations.T / count - mean @ mean.T
    if not bool(covariance.any()) and bool((deviations - mean).any()):
        raise InputError("image", "holds values too small to square; scale them up")
    return PatchMoments(count, (origin + mean)[:, 0].cpu().numpy(), covariance.cpu().numpy())
