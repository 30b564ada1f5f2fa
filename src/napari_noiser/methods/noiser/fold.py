"""Fold the moments of patches into an SRM: a network without statistics.

The normalization directly follows a linear convolution, so its mean and variance are known
from the moments of the image's patches, whatever the model: for output channel k with weights
w_k and bias b_k, ``mean_k = w_k . m + b_k`` and ``variance_k = w_k' S w_k``. The normalized
response is then one affine convolution, ``(w_k / sigma_k) . (p - m)``: exact at any array size,
and invariant to the gain and offset of the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.network import convolution
from napari_noiser.methods.patches import Halo, Scratch, pad_missing

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
        """Convolve by matrix products: several times faster on a CPU.

        A volume is a pile of planes; a plane is a volume of one.
        """
        padded = pad_missing(tile, halo, 2)
        first, second = self.first_weight, self.second_weight
        if len(halo) == 2:
            padded, first, second = (each.unsqueeze(2) for each in (padded, first, second))
        ends = [(int(low < 1), int(high < 1)) for low, high in halo]
        response = convolve_twice(
            padded[0].transpose(0, 1),
            (*[(0, 0)] * (3 - len(halo)), *ends),
            (first, self.first_bias),
            (second, self.second_bias),
            scratch,
        )
        return response.transpose(0, 1)[None] if len(halo) == 3 else response


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


# Both convolutions on a CPU: matrix products, some rows at a time. The hidden channels of so few
# pixels stay in the caches of a core. Whole tiles of them would go through the memory several
# times, which takes most of the time where others use the same machine.

Ends = tuple[tuple[int, int], ...]
"""Along Z, Y and X, at the low and the high side: 1 where the image ends, else 0."""

_TOGETHER = 2**19  # hidden channels times pixels: two megabytes


def convolve_twice(
    planes: Tensor,
    ends: Ends,
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    scratch: Scratch,
) -> Tensor:
    """Return the response (Z'', C, Y'', X'') of two convolutions with GELU between them.

    Parameters
    ----------
    planes : Tensor
        Input, (Z, C, Y, X), with a voxel beyond what the first convolution returns.
    ends : Ends
        Where the hidden channels' outermost voxels are to be repeated for the second one.
    first, second : tuple of two Tensors
        Weight, with kernels 3x3x3, or 1x3x3 for planes each alone; and bias.
    scratch : Scratch
        Memory to work in.
    """
    (weight, bias), (last_weight, last_bias) = first, second
    width, samples, depth = weight.shape[:3]
    by_plane = weight.transpose(1, 2).reshape(width, -1), bias[:, None]
    taps = last_weight.flip(2).flatten(3).permute(2, 3, 0, 1).reshape(depth, -1, width)
    grown = (sum(sides) for sides in ends)
    reach = (2 * (depth - 1), 4, 4)
    lengths = (planes.shape[0], *planes.shape[2:])
    shown = [n + more - less for n, more, less in zip(lengths, grown, reach, strict=True)]
    response = planes.new_empty((shown[0], len(last_bias), *shown[1:]))
    response.copy_(last_bias.view(-1, 1, 1))
    for start, stop in _strips(planes.shape[2] - 2, width * planes.shape[3]):
        beside = ends[1][0] * (start == 0), ends[1][1] * (stop == planes.shape[2] - 2)
        columns = _columns(planes[:, :, start : stop + 2], (beside, ends[2]), scratch)
        sent = _send(columns, ends[0], by_plane, taps, scratch)
        _gather(
            sent.view(len(sent), 9, samples, *sent.shape[2:]),
            response,
            start + ends[1][0] - beside[0],
        )
    return response


def _strips(rows: int, row_values: int) -> Iterator[tuple[int, int]]:
    """Yield first rows and ends of strips that are about equally high."""
    count = min(rows, -(-rows * row_values // _TOGETHER))
    return pairwise(rows * part // count for part in range(count + 1))


def _columns(
    planes: Tensor, ends: tuple[tuple[int, int], tuple[int, int]], scratch: Scratch
) -> Tensor:
    """Return the 3x3 patches of planes (Z, C, Y, X) as columns, (Z, C * 9, Y', X').

    The outermost are there twice where the image ends.
    """
    (above, below), (before, after) = ends
    rows, pixels = (length - 2 for length in planes.shape[2:])
    windows = planes.unfold(2, rows, 1).unfold(3, pixels, 1)  # (Z, C, 3, 3, rows, pixels)
    shape = (*windows.shape[:4], rows + above + below, pixels + before + after)
    columns = scratch.take("columns", shape, planes)
    columns[..., above : above + rows, before : before + pixels] = windows
    for axis, (low, high) in zip((-2, -1), ends, strict=True):
        if low:
            columns.select(axis, 0).copy_(columns.select(axis, 1))
        if high:
            columns.select(axis, -1).copy_(columns.select(axis, -2))
    return columns.flatten(1, 3)


def _send(
    columns: Tensor,
    ends: tuple[int, int],
    first: tuple[Tensor, Tensor],
    taps: Tensor,
    scratch: Scratch,
) -> Tensor:
    """Return what each pixel sends to the 3x3 pixels around it, (Z', 9 * C, Y, X).

    From columns (Z, C * 9, Y, X): hidden channels are multiplied once for all pixels that they
    contribute to, one plane after the other.
    """
    weight, bias = first
    depth, _, width = taps.shape
    count, rows, *shape = columns.shape
    hidden_planes = count - depth + 1
    last = hidden_planes + sum(ends)
    sent = scratch.take("sent", (last - depth + 1, taps.shape[1], columns[0, 0].numel()), columns)
    hidden = scratch.take("hidden", (width, sent.shape[-1]), columns)
    columns = columns.flatten(2)
    sent.zero_()
    for at in range(last):
        plane = min(max(at - ends[0], 0), hidden_planes - 1)
        pile = columns[plane : plane + depth].view(depth * rows, -1)
        torch.addmm(bias, weight, pile, out=hidden)
        functional.gelu(hidden, out=hidden)  # type: ignore[call-arg]  # torch's stub lacks it
        low, high = max(at - depth + 1, 0), min(at + 1, len(sent))
        reached = taps[low - (at - depth + 1) :][: high - low]
        sent[low:high].flatten(0, 1).addmm_(reached.flatten(0, 1), hidden)
    return sent.view(*sent.shape[:-1], *shape)


def _gather(sent: Tensor, response: Tensor, first: int) -> None:
    """Add to a response (Z, C, Y, X) what some rows of pixels send, (Z, 9, C, rows, X + 2).

    The first of them lies at row `first` of all hidden pixels.
    """
    rows, (length, width) = sent.shape[3], response.shape[2:]
    for tap, (down, right) in enumerate(product(range(3), repeat=2)):
        low, high = max(first - down, 0), min(first - down + rows, length)
        if low < high:
            within = slice(low + down - first, high + down - first)
            response[:, :, low:high] += sent[:, tap, :, within, right : right + width]
