"""A dask array that is computed part by part, its graph looked through once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask
import numpy as np
from dask.base import get_scheduler
from dask.optimization import cull
from numpy.typing import NDArray

from napari_noiser.stack.axes import Region
from napari_noiser.stack.blocks import chunk_grid, overlap, within
from napari_noiser.stack.sources import arrays_in, check_store

__all__ = ["Computed"]


class Computed:
    """Computes regions of a dask array, whole chunks at a time.

    Slices of a dask array have dask look through the graph of all of it, for each. Here that is
    done once; a region takes no more than its chunks and what these depend on.

    Parameters
    ----------
    array : dask array
        Of known shape.
    """

    def __init__(self, array: Any) -> None:
        (array,) = dask.optimize(array)
        self._graph: Mapping[Any, Any] = dict(array.__dask_graph__())
        self._name, self._dtype = array.name, array.dtype
        self._compute = get_scheduler(collections=[array]) or array.__dask_scheduler__
        self._grid = chunk_grid(array)
        # Along each axis, which of dask's chunks are not empty.
        self._filled = [[at for at, n in enumerate(each) if n] for each in array.chunks]

    def __call__(self, region: Region) -> NDArray[Any]:
        numbers = list(self._grid.touching(region))
        keys = [
            (self._name, *(chunks[at] for chunks, at in zip(self._filled, number, strict=True)))
            for number in numbers
        ]
        needed, _ = cull(self._graph, keys)
        chunks = self._compute(needed, keys)
        for array in {id(each): each for each in arrays_in(needed.values())}.values():
            check_store(array)
        if len(numbers) == 1:
            return np.asarray(chunks[0])[within(region, self._grid.box(numbers[0]))]
        values = np.empty([part.stop - part.start for part in region], self._dtype)
        for number, chunk in zip(numbers, chunks, strict=True):
            place = self._grid.box(number)
            shared = overlap(region, place)
            values[within(shared, region)] = np.asarray(chunk)[within(shared, place)]
        return values
