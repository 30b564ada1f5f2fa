"""Arrays that can only be sliced, and remember how: what storage would have to decode."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

Chunk = tuple[int, ...]


class CountingArray:
    """An array, perhaps in chunks, that counts what is read and written.

    Attributes
    ----------
    values : array
        What it holds.
    keys : list
        Of everything read, in order.
    read_shapes : list of tuple of int
        Of everything read, in order.
    written_shapes : list of tuple of int
        Of everything written, in order.
    chunks_read, chunks_written : Counter
        How often each chunk was, by its index, if there are chunks.
    """

    def __init__(self, values: NDArray[Any], chunks: tuple[int, ...] | None = None) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.ndim = values.ndim
        if chunks is not None:
            self.chunks = chunks
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.keys: list[Any] = []
        self.read_shapes: list[tuple[int, ...]] = []
        self.written_shapes: list[tuple[int, ...]] = []
        self.chunks_read: Counter[Chunk] = Counter()
        self.chunks_written: Counter[Chunk] = Counter()

    def __getitem__(self, key: Any) -> NDArray[Any]:
        found = np.array(self.values[key])
        self.keys.append(key)
        self.read_shapes.append(found.shape)
        self.chunks_read.update(self._touched(key))
        return found

    def __setitem__(self, key: Any, values: NDArray[Any]) -> None:
        self.values[key] = values
        self.written_shapes.append(self.values[key].shape)
        self.chunks_written.update(self._touched(key))

    @property
    def largest_read(self) -> int:
        """How many values were read at once, at most."""
        return max((int(np.prod(shape)) for shape in self.read_shapes), default=0)

    @property
    def values_read(self) -> int:
        """How many values were read in all."""
        return sum(int(np.prod(shape)) for shape in self.read_shapes)

    @property
    def n_chunks(self) -> int:
        """How many chunks there are."""
        return int(np.prod([-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)]))

    def _touched(self, key: Any) -> list[Chunk]:
        if not hasattr(self, "chunks"):
            return []
        key = key if isinstance(key, tuple) else (key,)
        spans = [
            range(part, part + 1) if isinstance(part, int) else range(*part.indices(length))
            for part, length in zip(key, self.shape, strict=True)
        ]
        return list(
            product(
                *(
                    range(span.start // chunk, -(-span.stop // chunk))
                    for span, chunk in zip(spans, self.chunks, strict=True)
                )
            )
        )


@dataclass(frozen=True)
class Labeled:
    """An array within names, as xarray's DataArray has them."""

    data: Any
    dims: tuple[str, ...]
    name: str = "counts"

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.data.dtype)

    @property
    def ndim(self) -> int:
        return len(self.dims)

    def copy(self, deep: bool = True, data: Any = None) -> Labeled:
        assert data.shape == self.shape
        return replace(self, data=data)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self.data, dtype)


@dataclass(frozen=True)
class WithMask:
    """An array beside which a mask stands, as astropy's CCDData has it."""

    data: NDArray[Any]
    mask: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    def __getitem__(self, key: Any) -> WithMask:
        return WithMask(self.data[key], None if self.mask is None else self.mask[key])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self.data, dtype)


def counting_dask(
    values: NDArray[Any], chunks: tuple[Any, ...]
) -> tuple[da.Array, Counter[Chunk]]:
    """Return a dask array, and how often each of its chunks was computed."""
    computed: Counter[Chunk] = Counter()

    def noted(block: NDArray[Any], block_id: Chunk = ()) -> NDArray[Any]:
        computed[block_id] += 1
        return block.copy()

    lazy = da.from_array(values, chunks=chunks)
    return lazy.map_blocks(noted, dtype=values.dtype, meta=values[(slice(0),) * values.ndim]), (
        computed
    )
