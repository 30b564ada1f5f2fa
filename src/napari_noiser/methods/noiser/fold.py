"""Fold the moments of patches into an SRM: a network without statistics.

The normalization directly follows a linear convolution, so its mean and variance are known
from the moments of the image's patches, whatever the model: for output channel k with weights
w_k and bias b_k, ``mean_k = w_k . m + b_k`` and ``variance_k = w_k' S w_k``. The normalized
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

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.network import convolution
from napari_noiser.methods.patches import (
    Halo,
    Scratch,
    gather_taps,
    pad_missing,
    patches,
    patches_shape,
)

_VARIANCE_FLOOR = 1e-12  # of |w|^2 tr S: relative, so that faint data keep the exact invariance


@dataclass(frozen=True)
class FoldedSRM:
    """A self-regression network folded for one statistics group, to render tile by tile.

    `input_offset`, (C,), is to be subtracted from the input before any rounding: a large camera
    offset would eat the signal's digits. The centered input is to be divided by `input_scale`,
    likewise: its own scale may not fit float32. The weights are float32, on the device to render
    on. The response to an image that repeats itself does so after `grid_period` voxels as well.
    """

    input_offset: NDArray[np.float64]
    input_scale: float
    first_weight: Tensor
    first_bias: Tensor
    second_weight: Tensor
    second_bias: Tensor
    grid_period: int = 1

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

    def __call__(
        self,
        tile: Tensor,
        halo: Halo,
        scratch: Scratch | None = None,
        corner: tuple[int, ...] = (),
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        The tile is (1, C, ...) in float32, centered and scaled; its halo is less than 2 only where
        the image ends. Where in the image it lies is of no influence.

        Notes
        -----
        At the image's border each convolution replicates its *own* input: padding the image
        once by 2 would differ there by up to 0.14.
        """
        if tile.device.type == "cpu":
            return self._convolve_on_cpu(tile, halo, scratch or Scratch())
        convolve = convolution(tile.ndim - 2)
        hidden = convolve(pad_missing(tile, halo, 2), self.first_weight, self.first_bias)
        hidden = pad_missing(functional.gelu(hidden), halo, 1)
        return convolve(hidden, self.second_weight, self.second_bias)

    def _convolve_on_cpu(self, tile: Tensor, halo: Halo, scratch: Scratch) -> Tensor:
        """Convolve by matrix products: several times faster on a CPU while a tile is in cache.

        A volume is a pile of planes, its 3x3x3 convolution a 3x3 one of three planes at a time:
        they lie in memory one after the other, so that nothing is copied for it.
        """
        padded = pad_missing(tile, halo, 2)[0]
        planes = (padded if len(halo) == 3 else padded[:, None]).transpose(0, 1)
        hidden = self._convolve_patches(planes, scratch)
        functional.gelu(hidden, out=hidden)  # type: ignore[call-arg]  # torch's stub lacks it
        response = self._multiply_transposed(_pad_planes(hidden, halo), scratch)
        return response.transpose(0, 1)[None] if len(halo) == 3 else response

    def _convolve_patches(self, planes: Tensor, scratch: Scratch) -> Tensor:
        """Return the hidden channels (Z, width, Y, X) of planes (Z, C, Y, X) that have edges."""
        weight = self.first_weight.flatten(-2).view(*self.first_weight.shape[:2], -1, 9)
        width, samples, depth, taps = weight.shape
        rows = planes.flatten(0, 1)
        columns = patches(rows, scratch.take("columns", patches_shape(rows), planes))
        shape = columns.shape[-2:]
        piles = _stack_planes(columns.view(len(planes), samples * taps, -1), depth)
        hidden = scratch.take("hidden", (len(piles), width, prod(shape)), planes)
        products = weight.transpose(1, 2).reshape(width, -1).expand(len(piles), -1, -1)
        torch.baddbmm(self.first_bias[:, None], products, piles, out=hidden)
        return hidden.view(-1, width, *shape)

    def _multiply_transposed(self, hidden: Tensor, scratch: Scratch) -> Tensor:
        """Return the response (Z, C, Y, X) to hidden channels (Z, width, Y, X) that have edges.

        Transposed: each hidden pixel is multiplied once for all pixels that it contributes to,
        and what these get is summed.
        """
        weight = self.second_weight.flatten(-2).view(*self.second_weight.shape[:2], -1, 9)
        samples, _, depth, taps = weight.shape
        piles = _stack_planes(hidden.flatten(2), depth)
        transposed = weight.permute(3, 0, 2, 1).reshape(taps * samples, -1)
        sent = scratch.take("columns", (len(piles), len(transposed), piles.shape[-1]), hidden)
        torch.bmm(transposed.expand(len(piles), -1, -1), piles, out=sent)
        response = gather_taps(sent.view(len(piles), taps, samples, *hidden.shape[2:]))
        return response.add_(self.second_bias.view(-1, 1, 1))


def _stack_planes(planes: Tensor, depth: int) -> Tensor:
    """Return as many planes (Z, K, N) at a time as a kernel is deep: a view (Z', depth K, N)."""
    count, rows, length = planes.shape
    return planes.as_strided((count - depth + 1, depth * rows, length), planes.stride())


def _pad_planes(planes: Tensor, halo: Halo) -> Tensor:
    """Repeat the edges of planes (Z, C, Y, X), and the outermost planes, where the image ends."""
    padded = pad_missing(planes, halo[-2:], 1)
    if len(halo) == 2 or all(halo[0]):
        return padded
    low, high = (int(side < 1) for side in halo[0])
    return torch.cat((padded[:low], padded, padded[len(padded) - high :]))


def fold(
    weights: dict[str, Tensor],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    device: torch.device,
) -> FoldedSRM:
    """Turn a trained network and the moments of an image's patches into one without statistics.

    The moments of C * 3**ndim numbers, channel by channel, each in the order of the kernel, are
    normalized by 1/N; the covariance's trace must be above 0.

    Notes
    -----
    Instance normalization as in Zhang et al., arXiv 2211.04700, with no absolute epsilon.
    """
    first = FoldedFirstLayer.of(weights["first_weight"], mean, covariance)
    return FoldedSRM(
        first.input_offset,
        first.input_scale,
        first.weight.to(device),
        first.bias.to(device),
        weights["second_weight"].to(device),
        weights["second_bias"].to(device),
    )


@dataclass(frozen=True)
class FoldedFirstLayer:
    """A first convolution with the instance normalization behind it, folded into it, on the CPU.

    Offset and scale are those of `FoldedSRM`: weight and bias are for input centered and scaled.
    """

    input_offset: NDArray[np.float64]
    input_scale: float
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls, weight: Tensor, mean: NDArray[np.float64], covariance: NDArray[np.float64]
    ) -> FoldedFirstLayer:
        """Fold the moments of patches into a convolution's weight; its own bias cancels."""
        kernels = weight.double().numpy()
        samples = kernels.shape[1]
        flat = kernels.reshape(len(kernels), -1)
        trace = np.trace(covariance)
        scale = float(np.sqrt(trace / len(mean)))
        variance = np.einsum("ki,ij,kj->k", flat, covariance / trace, flat)
        variance = np.maximum(variance, _VARIANCE_FLOOR * (flat**2).sum(axis=1)) * len(mean)
        if not (variance > 0).all():
            raise InputError("model", "gives nothing finite: a filter of its first layer is 0")
        normalized = flat / np.sqrt(variance)[:, None]  # for input divided by scale
        center = mean.reshape(samples, -1).mean(axis=1)
        remainder = (mean.reshape(samples, -1) - center[:, None]).reshape(-1) / scale
        return cls(
            center,
            scale,
            torch.from_numpy(normalized.reshape(kernels.shape)).float(),
            torch.from_numpy(-normalized @ remainder).float(),
        )
