"""Blocks of an array: cut along its chunks, read with their neighbours' edges, each chunk once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BlockIndex", "Box", "Grid", "block_reader", "chunk_grid", "fitted", "split"]

_LEAST_SIDE = 8

Box = tuple[slice, ...]
"""A part of an array: a slice along each of its axes."""

BlockIndex = tuple[int, ...]
"""Which block of a grid: the number along each axis."""


@dataclass(frozen=True)
class Grid:
    """Where an array is cut into blocks.

    Attributes
    ----------
    cuts : tuple of tuple of int
        Along each axis of the array, from 0 to its length, ascending.
    """

    cuts: tuple[tuple[int, ...], ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Grid:
        """Return the grid of a single block."""
        return cls(tuple((0, length) for length in shape))

    @property
    def largest(self) -> tuple[int, ...]:
        """The length of the longest block along each axis."""
        return tuple(max(b - a for a, b in pairwise(along)) for along in self.cuts)

    def __len__(self) -> int:
        return prod(len(along) - 1 for along in self.cuts)

    def __iter__(self) -> Iterator[BlockIndex]:
        """Iterate over all blocks, the last axis fastest."""
        return product(*(range(len(along) - 1) for along in self.cuts))

    def box(self, index: BlockIndex, reach: Sequence[int] | None = None) -> Box:
        """Return a block's place, widened by a reach along each axis as far as there is more."""
        reach = (0,) * len(index) if reach is None else reach
        return tuple(
            slice(max(0, along[at] - far), min(along[-1], along[at + 1] + far))
            for along, at, far in zip(self.cuts, index, reach, strict=True)
        )

    def touching(self, box: Box) -> Iterator[BlockIndex]:
        """Iterate over the blocks that a box has a part of."""
        return product(
            *(
                range(bisect_right(along, part.start) - 1, bisect_left(along, part.stop))
                for along, part in zip(self.cuts, box, strict=True)
            )
        )


def chunk_grid(array: Any, plane: Collection[int] | None = None) -> Grid:
    """Return how an array is chunked: what its storage reads or writes at a time.

    Parameters
    ----------
    array : array
        With the attribute ``shards`` or ``chunks`` (a length, or all lengths, along each axis)
        if it is chunked, as zarr, h5py and dask have it.
    plane : collection of int, optional
        The axes, by default the last two, that are not cut in an array that tells no chunks.
    """
    ndim = len(array.shape)
    chunks = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != ndim:
        plane = (ndim - 2, ndim - 1) if plane is None else plane
        chunks = tuple(n if axis in plane else 1 for axis, n in enumerate(array.shape))
    return Grid(tuple(map(_borders, array.shape, chunks)))


def _borders(length: int, chunk: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(chunk, Sequence):
        return tuple(dict.fromkeys(accumulate(chunk, initial=0)))  # dask has empty chunks
    return (*range(0, length, chunk), length)


def fitted(chunks: Grid, wanted: Sequence[int], most: int) -> Grid:
    """Return blocks of whole chunks.

    Parameters
    ----------
    chunks : Grid
        Of the array.
    wanted : sequence of int
        How long a block may be along each axis; it is longer only where a chunk is.
    most : int
        How many values a block may hold; it holds more only if a chunk does.
    """
    lengths, least = list(wanted), chunks.largest
    cuts = [_merged(*each) for each in zip(chunks.cuts, lengths, strict=True)]
    while prod(largest := Grid(tuple(cuts)).largest) > most:
        excess = [now / chunk for now, chunk in zip(largest, least, strict=True)]
        axis = int(np.argmax(excess))
        if excess[axis] <= 1:
            break
        lengths[axis] = max(largest[axis] // 2, least[axis])
        cuts[axis] = _merged(chunks.cuts[axis], lengths[axis])
    return Grid(tuple(cuts))


def split(grid: Grid, most: int) -> Grid:
    """Return blocks that hold no more than so many values, halved where they are longest.

    For storage whose chunks are larger than memory: each is then read several times.
    """
    while prod(grid.largest) > most and max(grid.largest) > _LEAST_SIDE:
        axis = int(np.argmax(grid.largest))
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


def block_reader(
    array: Any, cells: Grid, blocks: Grid, reach: tuple[int, ...], most: int
) -> Callable[[BlockIndex], NDArray[Any]]:
    """Return a function that reads blocks with their neighbours' edges.

    Parameters
    ----------
    array : array
        Anything that slices.
    cells : Grid
        What is read at a time: whole chunks. Each is read once, if blocks are asked for in the
        grid's order and `most` allows; parts of numpy arrays are views and read nothing.
    blocks : Grid
        What is asked for.
    reach : tuple of int
        How far, along each axis, the edges go.
    most : int
        How many bytes to keep for the blocks to come. Beyond them cells are read again.

    Returns
    -------
    callable
        Takes the index of a block, returns the values of ``blocks.box(index, reach)``: not to be
        written to, and valid until the next block is read.
    """
    if isinstance(array, np.ndarray):
        return lambda index: array[blocks.box(index, reach)]
    return _CellReader(array, cells, blocks, reach, most)


class _CellReader:
    """Keeps the cells that a later block reaches into, and no others."""

    def __init__(
        self, array: Any, cells: Grid, blocks: Grid, reach: tuple[int, ...], most: int
    ) -> None:
        self._array, self._cells, self._blocks = array, cells, blocks
        self._reach, self._most = reach, most
        self._held: dict[BlockIndex, NDArray[Any]] = {}
        # Along each axis and for each cell, the last block that reaches into it.
        self._last = [
            [bisect_left(starts, stop + far) - 1 for stop in along[1:]]
            for along, far, starts in zip(
                cells.cuts, reach, (each[:-1] for each in blocks.cuts), strict=True
            )
        ]

    def __call__(self, index: BlockIndex) -> NDArray[Any]:
        box = self._blocks.box(index, self._reach)
        touched = list(self._cells.touching(box))
        self._forget(index, touched)
        if len(touched) == 1 and self._cells.box(touched[0]) == box:
            return self._cell(touched[0])
        block = np.empty([part.stop - part.start for part in box], self._array.dtype)
        for number in touched:
            cell, place = self._cell(number), self._cells.box(number)
            shared = [
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(box, place, strict=True)
            ]
            block[_within(shared, box)] = cell[_within(shared, place)]
        return block

    def _cell(self, number: BlockIndex) -> NDArray[Any]:
        if number not in self._held:
            self._held[number] = np.asarray(self._array[self._cells.box(number)])
            _check_store(self._array)
        return self._held[number]

    def _forget(self, index: BlockIndex, touched: Sequence[BlockIndex]) -> None:
        """Let go of cells without further use; then, of the newest, until the rest fits."""
        for number in list(self._held):
            last = tuple(along[at] for along, at in zip(self._last, number, strict=True))
            if last < index:
                del self._held[number]
        held = sum(cell.nbytes for cell in self._held.values())
        # The oldest are needed first.
        for number in reversed(list(self._held)):
            if held <= self._most:
                break
            if number not in touched:
                held -= self._held.pop(number).nbytes


def _check_store(array: Any) -> None:
    """Raise a `FileNotFoundError` if a zarr array's folder is gone: zarr would read zeros."""
    root = getattr(getattr(getattr(array, "store_path", None), "store", None), "root", None)
    if isinstance(root, Path) and not (place := root / array.path).exists():
        raise FileNotFoundError(f"image has vanished while it was read: {place} is not there")


def _within(box: Sequence[slice], place: Sequence[slice]) -> Box:
    return tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(box, place, strict=True)
    )
