"""Moments of patches: all that a self-regression network needs to know of a whole image.

Write p for the 3x3xC (3x3x3xC) patch around a voxel. Its mean m and covariance S over an image
fix the instance normalization of *any* such network, and moments of parts merge exactly: tiles,
planes, time points and cluster workers are sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize
from napari_noiser.methods.patches import Halo, Scratch, pad_missing, patches, patches_shape

_TOGETHER = 2**17  # numbers of patches at a time: a megabyte
_FAR = 8.0  # times the spread: nothing in photographs and fluorescence lies as far from the median
_SPREAD = (1.0, 50.0, 99.0)  # percentiles
_LOOKED_AT = 2**16  # values tell these
FEW = 0.01  # of the pixels may be bounded
SWAMPED = 1.5  # times the variance without them: less does not show


@dataclass(frozen=True)
class Bounds:
    """Values, of each sample, that few pixels of an image lie beyond: stars and hot pixels."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(
        cls, planes: Sequence[NDArray[np.float64]], camera: CameraNoise | None = None
    ) -> Bounds | None:
        """Find them in planes (samples, Y, X), NaN where nothing counts; None if these are flat.

        The planes are in counts; with a camera, bounds are of stabilized values.
        """
        step = max(1, ceil((sum(plane[0].size for plane in planes) / _LOOKED_AT) ** 0.5))
        thin = [plane[:, ::step, ::step].reshape(len(plane), -1) for plane in planes]
        if not thin:
            return None
        low, high = [], []
        for values in np.concatenate(thin, axis=1):
            known = values[np.isfinite(values)]
            if not known.size:
                return None
            found = np.percentile(known, _SPREAD)
            darkest, middle, brightest = found if camera is None else stabilize(found, camera)
            with np.errstate(over="ignore", invalid="ignore"):
                spread = _FAR * max(brightest - middle, middle - darkest)
                low.append(float(middle - spread))
                high.append(float(middle + spread))
            if not (spread > 0 and np.isfinite([low[-1], high[-1]]).all()):
                return None
        return cls(tuple(low), tuple(high))

    def arrays(self, offset: float, ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both, less an offset, of shape (samples, 1, ...) to be compared with images."""
        low, high = (np.reshape(each, (-1, *(1,) * ndim)) for each in (self.low, self.high))
        return low - offset, high - offset


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
    bounded : PatchMoments, optional
        Those of the same patches with all values within an image's `Bounds`; None if they are.
    beyond : int
        How many pixels are not.
    """

    count: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    bounded: PatchMoments | None = None
    beyond: int = 0

    @classmethod
    def empty(cls, size: int) -> PatchMoments:
        """Return the moments of no patch at all."""
        return cls(0, np.zeros(size), np.zeros((size, size)))

    @property
    def has_signal(self) -> bool:
        """False if there are no patches, or all values are exactly equal."""
        return self.count > 0 and float(np.trace(self.covariance)) > 0

    @property
    def swamped(self) -> bool:
        """Whether a few pixels beyond an image's bounds are most of its variance."""
        if self.bounded is None or self.beyond > FEW * self.count:
            return False
        rest = float(np.trace(self.bounded.covariance))
        return 0 < SWAMPED * rest < float(np.trace(self.covariance))

    def __add__(self, other: PatchMoments) -> PatchMoments:
        """Merge with the moments of other patches (Chan, Golub, LeVeque 1983), exactly."""
        merged = self._merge(other)
        if self.bounded is None and other.bounded is None:
            return merged
        one, two = (each.bounded or each for each in (self, other))
        bounded = replace(one._merge(two), bounded=None, beyond=0)
        return replace(merged, bounded=bounded, beyond=self.beyond + other.beyond)

    def _merge(self, other: PatchMoments) -> PatchMoments:
        """Merge as if nothing lay beyond any bounds."""
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
    if bool(padded.isfinite().all()):
        origin = _origin(padded.flatten(1))
        centered = (padded.flatten(1) - origin).view(padded.shape)
        taps = patches_shape(padded)[1]
        return _moments(_strips(centered, scratch), origin.repeat_interleave(taps, dim=0))
    buffer = scratch.take("columns of moments", patches_shape(padded), padded)
    columns = patches(padded, buffer).flatten(2).flatten(0, 1)
    counted = columns.isfinite().all(dim=0)
    columns = columns[:, counted]
    if columns.shape[1] == 0:
        return PatchMoments.empty(len(columns))
    origin = _origin(columns)
    return _moments([columns - origin], origin)


def _strips(padded: Tensor, scratch: Scratch) -> Iterator[Tensor]:
    """Yield the patches of a tile as columns (C * 3**ndim, N), on a CPU some rows at a time.

    So few stay in a core's caches, and each is valid until the next.
    """
    shape = patches_shape(padded)
    length = shape[2]
    count = min(length, -(-prod(shape) // _TOGETHER)) if padded.device.type == "cpu" else 1
    for start, stop in pairwise(length * part // count for part in range(count + 1)):
        rows = padded[:, start : stop + 2]
        memory = scratch.take("columns of moments", patches_shape(rows), rows)
        yield patches(rows, memory).flatten(2).flatten(0, 1)


def _origin(rows: Tensor) -> Tensor:
    """Return the mean of each row; of equal values exactly that value, so that nothing is left."""
    first = rows[:, :1]
    return first + (rows - first).mean(dim=1, keepdim=True)


def _moments(strips: Iterable[Tensor], origin: Tensor) -> PatchMoments:
    """Return the moments of columns that deviate, by about nothing on average, from an origin."""
    count, varied = 0, False
    total, products, first = torch.zeros_like(origin), origin.new_zeros(()), None
    for deviations in strips:
        first = deviations[:, :1].clone() if first is None else first
        count += deviations.shape[1]
        total += deviations.sum(dim=1, keepdim=True)
        products = products + deviations @ deviations.T
        varied |= not bool(products.any()) and bool((deviations != first).any())
    mean = total / count
    covariance = products / count - mean @ mean.T
    if varied and not bool(covariance.any()):
        raise InputError("image", "holds values too small to square; scale them up")
    return PatchMoments(count, (origin + mean)[:, 0].cpu().numpy(), covariance.cpu().numpy())
