"""Cut an image into tiles with a given halo, of a side that suits the device and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch

from napari_noiser._validation import check_int
from napari_noiser.arrays.chunks import MIN_SIDE
from napari_noiser.arrays.layout import Slices
from napari_noiser.methods.patches import Halo


@dataclass(frozen=True)
class Tile:
    """One part of an image.

    Attributes
    ----------
    inner : Slices
        Where its result goes.
    outer : Slices
        What to read for it: the inner part and its halo, cut off where the image ends.
    halo : Halo
        How much of the halo there was on each side.
    """

    inner: Slices
    outer: Slices
    halo: Halo


def tiles(
    shape: tuple[int, ...], side: int, halo: tuple[int, ...], margin: Halo | None = None
) -> Iterator[Tile]:
    """Cover an image with tiles that do not overlap but for their halos.

    Parameters
    ----------
    shape : tuple of int
        Of the image, spatial axes only.
    side : int
        Greatest length of a tile along each axis; an axis is divided as evenly as it goes.
    halo : tuple of int
        Voxels of neighbors that a tile needs, along each axis on both sides.
    margin : Halo, optional
        How much of `shape`, at each end, is there to be read only: the neighbors of a block that
        was cut out of a larger image.
    """
    margin = ((0, 0),) * len(shape) if margin is None else margin
    inner = [(low, length - high) for length, (low, high) in zip(shape, margin, strict=True)]
    spans = [list(pairwise(_cut_points(first, last, side))) for first, last in inner]
    for span in product(*spans):
        corner, ends = zip(*span, strict=True)
        low = list(map(min, halo, corner))
        high = [min(far, n - end) for far, end, n in zip(halo, ends, shape, strict=True)]
        yield Tile(
            inner=tuple(map(slice, corner, ends)),
            outer=tuple(
                slice(at - before, end + after)
                for at, end, before, after in zip(corner, ends, low, high, strict=True)
            ),
            halo=tuple(zip(low, high, strict=True)),
        )


def subdivide(tile: Tile, side: int, halo: tuple[int, ...]) -> Iterator[Tile]:
    """Cut a tile into ones of a side at most, with the halo that they need."""
    shape = tuple(part.stop - part.start for part in tile.outer)
    for piece in tiles(shape, side, halo, tile.halo):
        yield Tile(
            _translated(piece.inner, tile.outer), _translated(piece.outer, tile.outer), piece.halo
        )


def tile_count(shape: tuple[int, ...], side: int) -> int:
    """Return how many tiles `tiles` yields."""
    count = 1
    for length in shape:
        count *= -(-length // side)
    return count


def _cut_points(first: int, last: int, side: int) -> list[int]:
    """Return where to cut between two places, so that the parts are about equally long."""
    count = -(-(last - first) // side)
    return [first + (last - first) * part // count for part in range(count + 1)]


def _translated(region: Slices, origin: Slices) -> Slices:
    return tuple(
        slice(part.start + start.start, part.stop + start.start)
        for part, start in zip(region, origin, strict=True)
    )


def default_side(halo: tuple[int, ...], device: torch.device) -> int:
    """Return the side of tiles that suits a device.

    On a CPU a narrow halo's tiles want to be worth the calls that they take, and to be shared by
    threads (measured: 384 and 512 take half the time of 192 in two threads), and volumes to stay
    within the caches (32); an accelerator wants enough work at a time. A wide halo
    is rendered again by each neighbor, and wants larger tiles: of volumes no larger than their
    patches, while they are measured, fit 100 MB.
    """
    flat, wide = len(halo) == 2, max(halo) > 2
    if device.type != "cpu":
        return 1024 if flat else 128 if wide else 96
    if wide:
        return max(192, 24 * max(halo)) if flat else 56
    return 384 if flat else 32


def tile_side(ndim: int, voxel_bytes: int, tile: Any, memory_limit: Any = None) -> int:
    """Return the side of the tiles to use.

    Parameters
    ----------
    ndim : int
        2 or 3.
    voxel_bytes : int
        Working memory that a voxel of a tile takes.
    tile : int
        The side wanted.
    memory_limit : int, optional
        Bytes of working memory that a tile may take; it makes tiles smaller, down to 8 a side.
    """
    side = check_int("tile", tile)
    if memory_limit is None:
        return side
    voxels = check_int("memory_limit", memory_limit) / voxel_bytes
    return min(side, max(MIN_SIDE, int(voxels ** (1 / ndim)) - 4))
