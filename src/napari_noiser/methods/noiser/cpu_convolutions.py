"""Both convolutions of a folded SRM on a CPU: matrix products, some rows at a time.

The hidden channels of so few pixels stay in the caches of a core. Whole tiles of them would go
through the memory several times, which takes most of the time where other processes, or other
guests of the same machine, use it as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.patches import Scratch

Ends = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""Along Z, Y and X, at the low and the high side: 1 where the image ends, else 0."""

_TOGETHER = 2**18  # hidden channels times pixels: a megabyte


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
    response = last_bias.view(-1, 1, 1).expand(shown[0], -1, *shown[1:]).contiguous()
    for start, stop in _strips(planes.shape[2] - 2, width * planes.shape[3]):
        beside = ends[1][0] * (start == 0), ends[1][1] * (stop == planes.shape[2] - 2)
        columns = _columns(planes[:, :, start : stop + 2], (beside, ends[2]), scratch)
        sent = _send(columns, ends[0], by_plane, taps, scratch)
        _gather(sent.unflatten(1, (9, samples)), response, start + ends[1][0] - beside[0])
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
    return sent.unflatten(-1, shape)


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
