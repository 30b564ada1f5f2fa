"""Blocks of an array, read with their neighbours' edges: each chunk once, if memory allows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.axes import Region
from napari_noiser.stack.blocks import BlockIndex, Grid, overlap, within
from napari_noiser.stack.sources import check_store
from napari_noiser.stack.values import is_dask

__all__ = ["block_reader", "reader"]


def reader(array: Any) -> Callable[[Region], NDArray[Any]]:
    """Return a function that reads regions of an array of any kind, one after the other."""
    if isinstance(array, np.ndarray):
        return array.__getitem__
    if is_dask(array):
        from napari_noiser.stack.computed import Computed  # brings dask in

        return Computed(array)

    def read(region: Region) -> NDArray[Any]:
        values = np.asarray(array[region])
        check_store(array)
        return values

    return read


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
        How many bytes of cells to keep for blocks to come. Of cells beyond, each block reads the
        part that it needs. The block itself comes on top, and what its storage takes to read.

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
    """Keeps the cells that a later block reaches into, as far as there is room."""

    def __init__(
        self, array: Any, cells: Grid, blocks: Grid, reach: tuple[int, ...], most: int
    ) -> None:
        self._read, self._dtype = reader(array), np.dtype(array.dtype)
        self._cells, self._blocks = cells, blocks
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
        kept = self._make_room(index, touched)
        if len(touched) == 1:
            return self._part(touched[0], box, kept)
        block = np.empty([part.stop - part.start for part in box], self._dtype)
        for number in touched:
            shared = overlap(box, self._cells.box(number))
            block[within(shared, box)] = self._part(number, shared, kept)
        return block

    def _part(self, number: BlockIndex, region: Region, kept: set[BlockIndex]) -> NDArray[Any]:
        """Return a region of a cell, which is read as a whole only if it will be kept."""
        place = self._cells.box(number)
        if number in kept and number not in self._held:
            self._held[number] = self._read(place)
        if number in self._held:
            return self._held[number][within(region, place)]
        return self._read(region)

    def _make_room(self, index: BlockIndex, touched: Sequence[BlockIndex]) -> set[BlockIndex]:
        """Let go of cells without further use; return which of the touched ones to keep."""
        self._held = {n: cell for n, cell in self._held.items() if self._last_use(n) >= index}
        kept = [n for n in touched if n in self._held or self._last_use(n) > index]
        later = [n for n in self._held if n not in kept]
        excess = sum(self._size(n) for n in (*later, *kept)) - self._most
        while excess > 0 and later:  # the oldest are needed first
            excess -= self._held.pop(later.pop()).nbytes
        while excess > 0 and kept:
            excess -= self._size(number := kept.pop())
            self._held.pop(number, None)
        return set(kept)

    def _last_use(self, number: BlockIndex) -> BlockIndex:
        return tuple(along[at] for along, at in zip(self._last, number, strict=True))

    def _size(self, number: BlockIndex) -> int:
        lengths = [part.stop - part.start for part in self._cells.box(number)]
        return int(prod(lengths) * self._dtype.itemsize)
