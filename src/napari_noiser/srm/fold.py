"""An SRM with its instance normalisation turned into plain numbers.

The normalisation directly follows a linear convolution, so its mean and variance are known
from the moments of the image's patches, whatever the model: for output channel k with weights
w_k and bias b_k, ``mean_k = w_k . m + b_k`` and ``variance_k = w_k' S w_k``. The normalised
response is then one affine convolution, ``(w_k / sigma_k) . (p - m)``: exact at any array size,
and invariant to the gain and offset of the input.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_noiser.srm.network import convolution
from napari_noiser.srm.patches import (
    Halo,
    Scratch,
    gather_taps,
    pad_missing,
    patches,
    patches_shape,
)

__all__ = ["FoldedSRM", "fold"]

_VARIANCE_FLOOR = 1e-12  # of |w|^2 tr S: relative, so that faint data keep the exact invariance


@dataclass(frozen=True)
class FoldedSRM:
    """A self-regression network for one exposure, ready to render tile by tile.

    Attributes
    ----------
    centre : array of float64, shape (C,)
        To be subtracted from the input before any rounding: a large camera offset would eat the
        signal's digits.
    scale : float
        To divide the centred input by, likewise: the input's own scale may not fit float32.
    first_weight, first_bias, second_weight, second_bias : Tensor
        float32, on the device to render on.
    """

    centre: NDArray[np.float64]
    scale: float
    first_weight: Tensor
    first_bias: Tensor
    second_weight: Tensor
    second_bias: Tensor

    def to(self, device: torch.device) -> FoldedSRM:
        """Return the same network on a device; itself if it is there."""
        if device == self.first_weight.device:
            return self
        return replace(
            self,
            first_weight=self.first_weight.to(device),
            first_bias=self.first_bias.to(device),
            second_weight=self.second_weight.to(device),
            second_bias=self.second_bias.to(device),
        )

    def __call__(self, tile: Tensor, halo: Halo, scratch: Scratch | None = None) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        Parameters
        ----------
        tile : Tensor
            (1, C, ...) in float32, centred and scaled, its halo of up to 2 included.
        halo : Halo
            What the tile carries of it; less than 2 only where the image ends.
        scratch : Scratch, optional
            Memory to work in.

        Returns
        -------
        Tensor
            The tile without its halo.

        Notes
        -----
        At the image's border each convolution replicates its *own* input: padding the image
        once by 2 would differ there by up to 0.14.
        """
        if tile.device.type == "cpu":
            return self._multiply(tile, halo, scratch or Scratch())
        convolve = convolution(tile.ndim - 2)
        hidden = convolve(pad_missing(tile, halo, 2), self.first_weight, self.first_bias)
        hidden = pad_missing(functional.gelu(hidden), halo, 1)
        return convolve(hidden, self.second_weight, self.second_bias)

    def _multiply(self, tile: Tensor, halo: Halo, scratch: Scratch) -> Tensor:
        """Do the same by matrix products: several times faster on a CPU while a tile is in cache.

        The first convolution multiplies the patches. The second turns round: each hidden voxel
        is multiplied once for all the places it contributes to, and those are summed.
        """
        padded = pad_missing(tile, halo, 2)[0]
        columns = patches(padded, scratch.take("columns", patches_shape(padded), tile))
        shape = columns.shape[2:]
        hidden = torch.addmm(
            self.first_bias[:, None],
            self.first_weight.flatten(1),
            columns.flatten(0, 1).flatten(1),
            out=scratch.take("hidden", (len(self.first_bias), prod(shape)), tile),
        )
        hidden = pad_missing(functional.gelu(hidden).view(1, -1, *shape), halo, 1)[0]
        senders = self.second_weight.flatten(2).permute(2, 0, 1).flatten(0, 1)
        taps = scratch.take("columns", (len(senders), prod(hidden.shape[1:])), tile)
        torch.mm(senders, hidden.flatten(1), out=taps)
        response = gather_taps(taps.view(-1, len(self.second_bias), *hidden.shape[1:]))
        return response.add_(self.second_bias.view(-1, *(1 for _ in shape)))[None]


def fold(
    weights: dict[str, Tensor],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    device: torch.device,
) -> FoldedSRM:
    """Turn a trained network and the moments of an image's patches into one without statistics.

    Parameters
    ----------
    weights : dict of Tensor
        The four parameters of `napari_noiser.srm.network.SRM`.
    mean : array, shape (C * 3**ndim,)
        Of the patches, channel by channel, each in the order of the kernel.
    covariance : array, shape (C * 3**ndim, C * 3**ndim)
        Of the patches, normalised by 1/N. Its trace must be above 0.
    device : torch.device
        Where the tiles will be.

    Returns
    -------
    FoldedSRM
        For this image's exposure.

    Notes
    -----
    Instance normalisation as in Zhang et al., arXiv 2211.04700, with no absolute epsilon.
    """
    kernels = weights["first_weight"].double().numpy()
    channels = kernels.shape[1]
    flat = kernels.reshape(len(kernels), -1)
    trace = np.trace(covariance)
    scale = float(np.sqrt(trace / len(mean)))
    variance = np.einsum("ki,ij,kj->k", flat, covariance / trace, flat)
    variance = np.maximum(variance, _VARIANCE_FLOOR * (flat**2).sum(axis=1)) * len(mean)
    normalised = flat / np.sqrt(variance)[:, None]  # for input divided by scale
    centre = mean.reshape(channels, -1).mean(axis=1)
    remainder = (mean.reshape(channels, -1) - centre[:, None]).reshape(-1) / scale

    def tensor(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).to(device, torch.float32)

    return FoldedSRM(
        centre,
        scale,
        tensor(normalised.reshape(kernels.shape)),
        tensor(-normalised @ remainder),
        weights["second_weight"].to(device),
        weights["second_bias"].to(device),
    )
