"""Moments of patches: all that a self-regression network needs to know of a whole image.

Write p for the 3x3xC (3x3x3xC) patch around a voxel. Its mean m and covariance S over an image
fix the instance normalisation of *any* such network, and moments of parts merge exactly: tiles,
planes, time points and cluster workers are sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.srm.fold import Halo, pad_missing

__all__ = ["PatchMoments", "patch_moments"]


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
        Normalised by 1/count.
    """

    count: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def none(cls, size: int) -> PatchMoments:
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


def patch_moments(tile: Tensor, halo: Halo, inside: Tensor | None = None) -> PatchMoments:
    """Return the moments of the patches centred in a tile.

    Parameters
    ----------
    tile : Tensor
        (C, ...) in float64, with a halo of 1 but where the image ends; there its edge is
        repeated. Voxels that are not finite leave every patch that they touch out.
    halo : Halo
        What the tile carries of the halo.
    inside : Tensor of bool, optional
        Of the tile without its halo: which patches count.

    Returns
    -------
    PatchMoments
        To be added to those of the other tiles.

    Raises
    ------
    ValueError
        If values differ by so little that the squares are 0 in float64.
    """
    patches = _patches(pad_missing(tile[None], halo, 1)[0])
    if not bool(tile.isfinite().all()):
        inside = patches.isfinite().all(dim=0) & (True if inside is None else inside.reshape(-1))
    if inside is not None:
        patches = patches[:, inside.reshape(-1)]
    size, count = patches.shape
    if count == 0:
        return PatchMoments.none(size)
    # Taking one patch off first keeps a constant image's covariance exactly 0.
    first = patches[:, :1].clone()
    patches = patches - first
    mean = patches.mean(dim=1, keepdim=True)
    patches -= mean
    covariance = patches @ patches.T / count
    if not bool(covariance.any()) and bool(patches.any()):
        raise ValueError("image holds values too small to square; scale them up")
    return PatchMoments(count, (first + mean)[:, 0].cpu().numpy(), covariance.cpu().numpy())


def _patches(image: Tensor) -> Tensor:
    """Return all 3x3 (3x3x3) patches of (C, ...) as columns: (C * 3**ndim, number)."""
    spatial = image.ndim - 1
    windows = image
    for axis in range(1, spatial + 1):
        windows = windows.unfold(axis, 3, 1)
    order = [0, *range(spatial + 1, 2 * spatial + 1), *range(1, spatial + 1)]
    return windows.permute(order).reshape(image.shape[0] * 3**spatial, -1)
