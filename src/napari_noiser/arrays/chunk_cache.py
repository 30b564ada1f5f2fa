"""Chunks that are held once they were read: random crops come back to them, again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import BlockIndex, chunk_grid, overlap, relative_to
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.reader import make_reader

__all__ = ["ChunkCache", "with_chunk_cache"]

_FEW = 8  # chunks that there must be room for: of fewer, none would be held long


def with_chunk_cache(array: Any, most: int) -> Any:
    """Return an array that holds chunks that were read, if it is not in memory already.

    Parameters
    ----------
    array : array
        Anything that slices; of numpy, it is returned itself.
    most : int
        How many bytes to hold. If that is too few for some chunks, `array` itself is returned.
    """
    if isinstance(array, np.ndarray):
        return array
    largest = (
        np.prod(chunk_grid(array).largest_chunk, dtype=float) * np.dtype(array.dtype).itemsize
    )
    return ChunkCache(array, most) if _FEW * largest <= most else array


class ChunkCache:
    """An array that slices like another one, and reads its chunks as a whole.

    Parameters
    ----------
    array : array
        Anything that slices.
    most : int
        How many bytes to hold; of chunks beyond, those go that were not used for longest.

    Attributes
    ----------
    nbytes : int
        How many bytes are held.
    """

    def __init__(self, array: Any, most: int) -> None:
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self._read, self._grid = make_reader(array), chunk_grid(array)
        self._most, self.nbytes = most, 0
        self._held: dict[BlockIndex, NDArray[Any]] = {}  # the latest used last

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the values in a region: along each axis at a number, or in a slice of ascending
        numbers without a step."""
        box = tuple(each if isinstance(each, slice) else slice(each, each + 1) for each in key)
        values = np.empty([part.stop - part.start for part in box], self.dtype)
        for index in self._grid.intersecting(box):
            place = self._grid.box(index)
            shared = overlap(box, place)
            values[relative_to(shared, box)] = self._chunk(index, place)[
                relative_to(shared, place)
            ]
        return values[tuple(slice(None) if isinstance(each, slice) else 0 for each in key)]

    def _chunk(self, index: BlockIndex, place: Slices) -> NDArray[Any]:
        chunk = self._held.pop(index, None)
        if chunk is None:
            chunk = self._read(place)
            self.nbytes += chunk.nbytes
        self._held[index] = chunk
        while self.nbytes > self._most:
            oldest = next(iter(self._held))
            self.nbytes -= self._held.pop(oldest).nbytes
        return chunk
