"""How an image falls into tiles: what to read, what to keep, where to place it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from napari_noiser.srm.fold import Halo
from napari_noiser.stack.axes import Region

__all__ = ["Tile", "tile_count", "tile_side", "tiles"]

_SIDE = {2: 256, 3: 40}
"""Default sides: on a CPU the hidden channels of such a tile stay within the caches."""

_LEAST_SIDE = 8


@dataclass(frozen=True)
class Tile:
    """One part of an image.

    Attributes
    ----------
    place : Region
        Where its result goes.
    read : Region
        What to read for it: the place and its halo, cut off where the image ends.
    halo : Halo
        How much of the halo there was on each side.
    """

    place: Region
    read: Region
    halo: Halo


def tiles(shape: tuple[int, ...], side: int, halo: int) -> Iterator[Tile]:
    """Cover an image with tiles that do not overlap but for their halos.

    Parameters
    ----------
    shape : tuple of int
        Of the image, spatial axes only.
    side : int
        Length of a tile along each axis; the last ones may be shorter.
    halo : int
        Voxels of neighbours that a tile needs on every side.

    Yields
    ------
    Tile
        In the array's order.
    """
    starts = (range(0, length, side) for length in shape)
    for corner in product(*starts):
        ends = [min(at + side, length) for at, length in zip(corner, shape, strict=True)]
        low = [min(halo, at) for at in corner]
        high = [min(halo, length - end) for end, length in zip(ends, shape, strict=True)]
        yield Tile(
            place=tuple(map(slice, corner, ends)),
            read=tuple(
                slice(at - before, end + after)
                for at, end, before, after in zip(corner, ends, low, high, strict=True)
            ),
            halo=tuple(zip(low, high, strict=True)),
        )


def tile_count(shape: tuple[int, ...], side: int) -> int:
    """Return how many tiles `tiles` yields."""
    count = 1
    for length in shape:
        count *= -(-length // side)
    return count


def tile_side(
    ndim: int, voxel_bytes: int, tile: int | None = None, memory_limit: int | None = None
) -> int:
    """Return the side of the tiles to use.

    Parameters
    ----------
    ndim : int
        2 or 3.
    voxel_bytes : int
        Working memory that a voxel of a tile takes.
    tile : int, optional
        The side that the caller wants.
    memory_limit : int, optional
        Bytes of working memory that a tile may take; it makes tiles smaller, down to 8 a side.

    Raises
    ------
    ValueError
        If `tile` or `memory_limit` is not a whole number of at least 1.
    """
    for name, value in (("tile", tile), ("memory_limit", memory_limit)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    side = _SIDE[ndim] if tile is None else tile
    if memory_limit is None:
        return side
    return min(side, max(_LEAST_SIDE, int((memory_limit / voxel_bytes) ** (1 / ndim)) - 4))
