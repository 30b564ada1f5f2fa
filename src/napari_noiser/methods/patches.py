"""Tiles: their halo, what stands beyond an image's border, and their 3x3 (3x3x3) patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

Halo = tuple[tuple[int, int], ...]
"""A spatial axis each: how many voxels of true neighbors a tile carries at its low and high
side. Fewer than a convolution needs means that the image ends there."""


Mirror = Callable[[int, int, int], Tensor]
"""Returns the indices of the pixels that extend a row: of (before, length, after) pixels."""


class Scratch:
    """Scratch memory that is used again for one tile after the other.

    To ask the system for it anew, and to fault its pages in, costs as much as the work itself.
    What is taken stays valid until its name is taken again; not for use by several threads.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return an uninitialized tensor of a shape, of the type and device of another."""
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size or buffer.dtype != like.dtype:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(*shape)


def pad_missing(tile: Tensor, halo: Halo, needed: int) -> Tensor:
    """Repeat the edge of a tile (1, C, ...) by one voxel where its halo is shorter than needed.

    `needed` is how many voxels of halo the convolutions to come take off, this one included.
    """
    pads = [int(side < needed) for sides in reversed(halo) for side in sides]
    return functional.pad(tile, pads, mode="replicate") if any(pads) else tile


def mirror_indices(before: int, length: int, after: int) -> Tensor:
    """Return the indices of a row's pixels, mirrored at both ends."""
    period = max(2 * (length - 1), 1)
    indices = torch.arange(-before, length + after).remainder(period)
    return torch.minimum(indices, period - indices).clamp_max(length - 1)


def pad_tile(
    tile: Tensor,
    halo: Halo,
    corner: Sequence[int],
    needs: Sequence[tuple[int, int]],
    mirror: Mirror = mirror_indices,
) -> tuple[Tensor, tuple[slice, ...]]:
    """Pad a tile (N, C, ...) to the halo it needs; return it with the slices of its inner part.

    It has less of its halo than needed only where the image ends: there `mirror` extends it.
    `needs` says for as many of the last axes the halo, and the period of the grid in voxels. The
    grid is the image's, whatever tile is cut out of it: the tile's first voxel lies at `corner`.
    """
    inner = []
    first = tile.ndim - len(needs)
    sides = zip(halo[-len(needs) :], corner[-len(needs) :], needs, strict=True)
    for axis, ((low, high), at, (reach, step)) in enumerate(sides, start=first):
        length = tile.shape[axis]
        before = max(reach - low, 0)
        before += (at - before) % step
        after = max(reach - high, 0)
        after += -(before + length + after) % step
        tile = tile.index_select(axis, mirror(before, length, after).to(tile.device))
        inner.append(slice(before + low, before + length - high))
    return tile, tuple(inner)


def patches(image: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the patches around all voxels of an image (C, ...) but the outermost as columns.

    Of shape (C, 3**ndim, ...), each spatial axis shorter by 2: channel by channel, each in the
    order of a convolution's kernel. They fill `out`, if it is given.
    """
    inner = [length - 2 for length in image.shape[1:]]
    columns = image.new_empty(patches_shape(image)) if out is None else out
    for tap, shift in enumerate(product(range(3), repeat=len(inner))):
        columns[:, tap] = image[_window(shift, inner)]
    return columns


def patches_shape(image: Tensor) -> tuple[int, ...]:
    """Return the shape of an image's `patches`."""
    samples, *spatial = image.shape
    return (samples, 3 ** len(spatial), *(length - 2 for length in spatial))


def _window(shift: tuple[int, ...], inner: list[int]) -> tuple[slice, ...]:
    windows = (slice(at, at + length) for at, length in zip(shift, inner, strict=True))
    return (slice(None), *windows)
