"""Read regions and blocks of arrays of any kind: each chunk once, if memory allows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import BlockIndex, Grid, chunk_grid, overlap, relative_to
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.lazy_view import DerivedArray
from napari_noiser.arrays.places import name_place
from napari_noiser.arrays.storage import arrays_in, check_store

_FEW = 8  # chunks that there must be room for: of fewer, none would stay long


def make_reader(array: Any) -> Callable[[Slices], NDArray[Any]]:
    """Return a function that reads regions of an array of any kind, one after the other."""
    if isinstance(array, np.ndarray):
        return array.__getitem__
    if is_dask(array):
        return ComputedArray(array)

    return partial(read_region, array)


def read_region(array: Any, region: Slices) -> NDArray[Any]:
    """Return a region of an array of any kind, or raise an `OSError` that says where it lies.

    A view of a numpy array; of dask's the chunks are computed.
    """
    with name_place(array):
        values = np.asarray(array[region])
    check_store(array)
    return values


def make_block_reader(
    array: Any, read_grid: Grid, blocks: Grid, reach: tuple[int, ...], max_bytes: int
) -> Callable[[BlockIndex], NDArray[Any]]:
    """Return a function that reads blocks with their neighbors' edges.

    It takes the index of a block and returns the values of ``blocks.box(index, reach)``: not to be
    written to, and valid until the next block is read. What is read at a time are cells of
    `read_grid`, whole chunks: each is read once, if blocks are asked for in the grid's order and
    `max_bytes` allows to cache what blocks to come need. Of cells beyond, each block reads the
    part that it needs. The block itself comes on top, and what its storage takes to read. Parts of
    numpy arrays are views and read nothing.
    """
    if isinstance(array, np.ndarray):
        return lambda index: array[blocks.box(index, reach)]
    return _GridReader(array, read_grid, blocks, reach, max_bytes)


class _GridReader:
    """Reads blocks, and caches the cells that a later block reaches into."""

    def __init__(
        self, array: Any, read_grid: Grid, blocks: Grid, reach: tuple[int, ...], max_bytes: int
    ) -> None:
        self._read, self._dtype = make_reader(array), np.dtype(array.dtype)
        self._read_grid, self._blocks = read_grid, blocks
        self._reach, self._max_bytes = reach, max_bytes
        self._cached: dict[BlockIndex, NDArray[Any]] = {}
        # Along each axis and for each cell, the last block that reaches into it.
        self._last = [
            [bisect_left(starts, stop + far) - 1 for stop in along[1:]]
            for along, far, starts in zip(
                read_grid.cuts, reach, (each[:-1] for each in blocks.cuts), strict=True
            )
        ]

    def __call__(self, index: BlockIndex) -> NDArray[Any]:
        box = self._blocks.box(index, self._reach)
        needed_cells = list(self._read_grid.intersecting(box))
        cached = self._evict(index, needed_cells)
        if len(needed_cells) == 1:
            return self._part(needed_cells[0], box, cached)
        block = np.empty([part.stop - part.start for part in box], self._dtype)
        for number in needed_cells:
            shared = overlap(box, self._read_grid.box(number))
            block[relative_to(shared, box)] = self._part(number, shared, cached)
        return block

    def _part(self, number: BlockIndex, region: Slices, cached: set[BlockIndex]) -> NDArray[Any]:
        """Return a region of a cell, which is read as a whole only if it is cached."""
        cell = self._read_grid.box(number)
        if number in cached and number not in self._cached:
            self._cached[number] = self._read(cell)
        if number in self._cached:
            return self._cached[number][relative_to(region, cell)]
        return self._read(region)

    def _evict(self, index: BlockIndex, needed_cells: Sequence[BlockIndex]) -> set[BlockIndex]:
        """Drop cells without further use; return which of the needed ones to cache."""
        self._cached = {n: cell for n, cell in self._cached.items() if self._last_use(n) >= index}
        cached = [n for n in needed_cells if n in self._cached or self._last_use(n) > index]
        later = [n for n in self._cached if n not in cached]
        excess = sum(self._size(n) for n in (*later, *cached)) - self._max_bytes
        while excess > 0 and later:  # the oldest are needed first
            excess -= self._cached.pop(later.pop()).nbytes
        while excess > 0 and cached:
            excess -= self._size(number := cached.pop())
            self._cached.pop(number, None)
        return set(cached)

    def _last_use(self, number: BlockIndex) -> BlockIndex:
        return tuple(along[at] for along, at in zip(self._last, number, strict=True))

    def _size(self, number: BlockIndex) -> int:
        lengths = [part.stop - part.start for part in self._read_grid.box(number)]
        return int(prod(lengths) * self._dtype.itemsize)


class ComputedArray:
    """Computes regions of a dask array, whole chunks at a time.

    Slices of a dask array have dask look through the graph of all of it, for each. Here that is
    done once; a region takes no more than its chunks and what these depend on.
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
        sources = {id(each): each for each in arrays_in(needed.values())}.values()
        for array in sources:
            check_store(array)
        chunks = self._compute(needed, keys)
        for array in sources:
            check_store(array)
        if len(numbers) == 1:
            return np.asarray(chunks[0])[relative_to(region, self._grid.box(numbers[0]))]
        values = np.empty([part.stop - part.start for part in region], self._dtype)
        for number, chunk in zip(numbers, chunks, strict=True):
            cell = self._grid.box(number)
            shared = overlap(region, cell)
            values[relative_to(shared, region)] = np.asarray(chunk)[relative_to(shared, cell)]
        return values


def with_chunk_cache(array: Any, max_bytes: int) -> Any:
    """Return an array that caches the chunks that are read, unless it is in memory already.

    It is returned itself as well if `max_bytes` is too few for some of its chunks.
    """
    if isinstance(array, np.ndarray):
        return array
    largest = (
        np.prod(chunk_grid(array).largest_chunk, dtype=float) * np.dtype(array.dtype).itemsize
    )
    return ChunkCache(array, max_bytes) if _FEW * largest <= max_bytes else array


class ChunkCache(DerivedArray):
    """An array that slices like another one, reads whole chunks and caches the latest used.

    Of chunks beyond `max_bytes`, those go that were not used for longest; `nbytes` are cached.
    """

    def __init__(self, array: Any, max_bytes: int) -> None:
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.source, self.ndim = array, len(self.shape)
        self._read, self._grid = make_reader(array), chunk_grid(array)
        self._max_bytes, self.nbytes = max_bytes, 0
        self._cached: dict[BlockIndex, NDArray[Any]] = {}  # the latest used last

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the values in a region: along each axis at a number, or in a slice of ascending
        numbers without a step."""
        box = tuple(each if isinstance(each, slice) else slice(each, each + 1) for each in key)
        values = np.empty([part.stop - part.start for part in box], self.dtype)
        for index in self._grid.intersecting(box):
            cell = self._grid.box(index)
            shared = overlap(box, cell)
            chunk = self._chunk(index, cell)
            values[relative_to(shared, box)] = chunk[relative_to(shared, cell)]
        return values[tuple(slice(None) if isinstance(each, slice) else 0 for each in key)]

    def _chunk(self, index: BlockIndex, box: Slices) -> NDArray[Any]:
        chunk = self._cached.pop(index, None)
        if chunk is None:
            chunk = self._read(box)
            self.nbytes += chunk.nbytes
        self._cached[index] = chunk
        while self.nbytes > self._max_bytes:
            oldest = next(iter(self._cached))
            self.nbytes -= self._cached.pop(oldest).nbytes
        return chunk
