"""Blocks of an array: where it is cut, along its chunks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import prod
from numbers import Integral
from typing import Any

import numpy as np

from napari_noiser.arrays.layout import Slices

MIN_SIDE = 8
"""Of blocks and tiles that memory is too small for: below, their halos are most of the work."""

BlockIndex = tuple[int, ...]
"""Which block of a grid: the number along each axis."""


@dataclass(frozen=True)
class Grid:
    """Where an array is cut into blocks: along each axis from 0 to its length, ascending."""

    cuts: tuple[tuple[int, ...], ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Grid:
        """Return the grid of a single block."""
        return cls(tuple((0, length) for length in shape))

    @property
    def largest_chunk(self) -> tuple[int, ...]:
        """The length of the longest block along each axis."""
        return tuple(max(b - a for a, b in pairwise(along)) for along in self.cuts)

    def __len__(self) -> int:
        return prod(len(along) - 1 for along in self.cuts)

    def __iter__(self) -> Iterator[BlockIndex]:
        """Iterate over all blocks, the last axis fastest."""
        return product(*(range(len(along) - 1) for along in self.cuts))

    def box(self, index: BlockIndex, reach: Sequence[int] | None = None) -> Slices:
        """Return a block's place, widened by a reach along each axis as far as there is more."""
        reach = (0,) * len(index) if reach is None else reach
        return tuple(
            slice(max(0, along[at] - far), min(along[-1], along[at + 1] + far))
            for along, at, far in zip(self.cuts, index, reach, strict=True)
        )

    def intersecting(self, box: Slices) -> Iterator[BlockIndex]:
        """Iterate over the blocks that a box has a part of."""
        return product(
            *(
                range(bisect_right(along, part.start) - 1, bisect_left(along, part.stop))
                for along, part in zip(self.cuts, box, strict=True)
            )
        )


def chunk_grid(array: Any, plane: Collection[int] | None = None) -> Grid:
    """Return how an array is chunked: what its storage reads or writes at a time.

    A chunked array has the attribute ``shards`` or ``chunks`` (a length, or all lengths, along
    each axis), as zarr, h5py and dask have it. An array that tells no chunks is not cut along the
    axes `plane`, by default the last two.
    """
    ndim = len(array.shape)
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != ndim or not all(map(_lengths, chunks)):
        plane = (ndim - 2, ndim - 1) if plane is None else plane
        chunks = tuple(n if axis in plane else 1 for axis, n in enumerate(array.shape))
    return Grid(tuple(map(_borders, array.shape, chunks)))


def _lengths(chunk: Any) -> bool:
    """Return whether something says how long the chunks along an axis are."""
    several = chunk if isinstance(chunk, Sequence) else [chunk]
    return all(isinstance(each, Integral) for each in several)


def _borders(length: int, chunk: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(chunk, Sequence):
        return tuple(dict.fromkeys(accumulate(chunk, initial=0)))  # dask has empty chunks
    return (*range(0, length, chunk), length)


def merge_chunks(
    chunks: Grid, wanted: Sequence[int], most: int, near: Sequence[int] | None = None
) -> Grid:
    """Return blocks of whole chunks.

    A block is longer than `wanted` along an axis, and holds more than `most` values, only where a
    chunk does. Blocks become shorter than `near` only after all that are longer.
    """
    own = chunks.largest_chunk
    cuts = [_merged(*each) for each in zip(chunks.cuts, wanted, strict=True)]
    for least in (tuple(map(max, near or own, own)), own):
        while prod(largest := Grid(tuple(cuts)).largest_chunk) > most:
            excess = [now / length for now, length in zip(largest, least, strict=True)]
            axis = int(np.argmax(excess))
            if excess[axis] <= 1:
                break
            cuts[axis] = _merged(chunks.cuts[axis], max(largest[axis] // 2, least[axis]))
    return Grid(tuple(cuts))


def split_chunks(grid: Grid, most: int) -> Grid:
    """Return blocks that hold no more than so many values, halved where they are longest.

    For storage whose chunks are larger than memory: each is then read several times.
    """
    while prod(grid.largest_chunk) > most and max(grid.largest_chunk) > MIN_SIDE:
        axis = int(np.argmax(grid.largest_chunk))
        halves = [(a, (a + b) // 2) if b - a > 1 else (a,) for a, b in pairwise(grid.cuts[axis])]
        along = (*(cut for pair in halves for cut in pair), grid.cuts[axis][-1])
        grid = Grid((*grid.cuts[:axis], along, *grid.cuts[axis + 1 :]))
    return grid


def _merged(cuts: tuple[int, ...], length: int) -> tuple[int, ...]:
    """Leave out cuts as long as the parts do not exceed a length."""
    kept = [0]
    for cut, following in pairwise(cuts[1:]):
        if following - kept[-1] > length:
            kept.append(cut)
    return (*kept, cuts[-1])


def overlap(one: Slices, other: Slices) -> Slices:
    """Return the region that two have in common."""
    return tuple(
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )


def relative_to(region: Slices, whole: Slices) -> Slices:
    """Return where a region lies in an array that holds the whole one."""
    return tuple(
        slice(part.start - each.start, part.stop - each.start)
        for part, each in zip(region, whole, strict=True)
    )


def widen(region: Slices, reach: Sequence[int], shape: Sequence[int]) -> Slices:
    """Return a region of an array, widened along each axis as far as there is more."""
    return tuple(
        slice(max(0, part.start - far), min(length, part.stop + far))
        for part, far, length in zip(region, reach, shape, strict=True)
    )
