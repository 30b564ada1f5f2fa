"""Blocks of an array, read with their neighbors' edges: each chunk once, if memory allows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import BlockIndex, Grid, chunk_grid, overlap, relative_to
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.storage import arrays_in, check_store

__all__ = ["ComputedArray", "make_block_reader", "make_reader"]


def make_reader(array: Any) -> Callable[[Slices], NDArray[Any]]:
    """Return a function that reads regions of an array of any kind, one after the other."""
    if isinstance(array, np.ndarray):
        return array.__getitem__
    if is_dask(array):
        return ComputedArray(array)

    def read(region: Slices) -> NDArray[Any]:
        values = np.asarray(array[region])
        check_store(array)
        return values

    return read


def make_block_reader(
    array: Any, cells: Grid, blocks: Grid, reach: tuple[int, ...], most: int
) -> Callable[[BlockIndex], NDArray[Any]]:
    """Return a function that reads blocks with their neighbors' edges.

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
    return _GridReader(array, cells, blocks, reach, most)


class _GridReader:
    """Keeps the cells that a later block reaches into, as far as there is room."""

    def __init__(
        self, array: Any, cells: Grid, blocks: Grid, reach: tuple[int, ...], most: int
    ) -> None:
        self._read, self._dtype = make_reader(array), np.dtype(array.dtype)
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
        touched = list(self._cells.intersecting(box))
        kept = self._make_room(index, touched)
        if len(touched) == 1:
            return self._part(touched[0], box, kept)
        block = np.empty([part.stop - part.start for part in box], self._dtype)
        for number in touched:
            shared = overlap(box, self._cells.box(number))
            block[relative_to(shared, box)] = self._part(number, shared, kept)
        return block

    def _part(self, number: BlockIndex, region: Slices, kept: set[BlockIndex]) -> NDArray[Any]:
        """Return a region of a cell, which is read as a whole only if it will be kept."""
        place = self._cells.box(number)
        if number in kept and number not in self._held:
            self._held[number] = self._read(place)
        if number in self._held:
            return self._held[number][relative_to(region, place)]
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


class ComputedArray:
    """Computes regions of a dask array, whole chunks at a time.

    Slices of a dask array have dask look through the graph of all of it, for each. Here that is
    done once; a region takes no more than its chunks and what these depend on.

    Parameters
    ----------
    array : dask array
        Of known shape.
    """

    def __init__(self, array: Any) -> None:
        import dask
        from dask.base import get_scheduler

        (array,) = dask.optimize(array)
        self._graph: Mapping[Any, Any] = dict(array.__dask_graph__())
        self._name, self._dtype = array.name, array.dtype
        self._compute = get_scheduler(collections=[array]) or array.__dask_scheduler__
        self._grid = chunk_grid(array)
        # Along each axis, which of dask's chunks are not empty.
        self._filled = [[at for at, n in enumerate(each) if n] for each in array.chunks]

    def __call__(self, region: Slices) -> NDArray[Any]:
        from dask.optimization import cull

        numbers = list(self._grid.intersecting(region))
        keys = [
            (self._name, *(chunks[at] for chunks, at in zip(self._filled, number, strict=True)))
            for number in numbers
        ]
        needed, _ = cull(self._graph, keys)
        chunks = self._compute(needed, keys)
        for array in {id(each): each for each in arrays_in(needed.values())}.values():
            check_store(array)
        if len(numbers) == 1:
            return np.asarray(chunks[0])[relative_to(region, self._grid.box(numbers[0]))]
        values = np.empty([part.stop - part.start for part in region], self._dtype)
        for number, chunk in zip(numbers, chunks, strict=True):
            place = self._grid.box(number)
            shared = overlap(region, place)
            values[relative_to(shared, region)] = np.asarray(chunk)[relative_to(shared, place)]
        return values
