"""A lazy array: slices of it are views, `numpy.asarray` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_noiser.arrays.layout import Slices


class DerivedArray:
    """An array whose values are read from another one.

    Attributes
    ----------
    source : array, optional
        The other one, if something needs to know: where it lies its values lie.
    """

    source: Any = None


@dataclass(frozen=True, eq=False)
class LazyView(DerivedArray):
    """An array that is sliced without being read; ``numpy.asarray(view)`` reads what it shows.

    Viewers slice in several steps (the part in view of all planes, then one plane of it): only
    the last step tells what is needed.

    `read` takes a box of the whole array and returns its values, its own and of type `dtype`;
    views that are read on several threads call it on several threads. `lengths` says how much of
    the whole array is best read at a time, `picked` what a view shows of each of its axes: one
    with a single index is gone. `source` is what is read, where something needs to know.
    """

    read: Callable[[Slices], NDArray[Any]]
    dtype: np.dtype[Any]
    lengths: tuple[int, ...]
    picked: tuple[int | range, ...]
    source: Any = None

    @classmethod
    def whole(
        cls,
        read: Callable[[Slices], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: DTypeLike,
        chunks: tuple[int, ...],
        source: Any = None,
    ) -> LazyView:
        """Return a view of all there is; chunks say how much is best read at a time."""
        return cls(read, np.dtype(dtype), tuple(chunks), tuple(map(range, shape)), source)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(len(each) for each in self.picked if isinstance(each, range))

    @property
    def chunks(self) -> tuple[int, ...]:
        """How much is best read at a time, along each axis."""
        both = zip(self.picked, self.lengths, strict=True)
        return tuple(length for each, length in both if isinstance(each, range))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that the values would take, if they were read."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __getitem__(self, key: Any) -> LazyView:
        """Return a view of a part; integers, slices and ``...`` are understood."""
        keys = iter(_for_each_axis(key, self.ndim))
        picked = (
            each[next(keys)] if isinstance(each, range) else each  # one index leaves an int
            for each in self.picked
        )
        return replace(self, picked=tuple(picked))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """Read it, and return an array of another type."""
        return np.asarray(self).astype(dtype)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a lazy view has to be read: there is no array without a copy")
        portions = list(self._portions())
        if len(portions) == 1:
            values = self._read(portions[0][1]).reshape(self.shape)
        else:
            values = np.empty(self.shape, self.dtype)
            for place, parts in portions:
                values[place] = self._read(parts).reshape(values[place].shape)
        return values if dtype is None else values.astype(dtype, copy=False)

    def _read(self, parts: tuple[range, ...]) -> NDArray[Any]:
        """Return what is at given ranges of the whole array."""
        if not all(parts):
            return np.empty([len(part) for part in parts], self.dtype)
        ends = [sorted((part[0], part[-1])) for part in parts]  # ranges may descend
        spans = tuple(slice(first, last + 1) for first, last in ends)
        return self.read(spans)[tuple(slice(None, None, part.step) for part in parts)]

    def _portions(self) -> Iterator[tuple[Slices, tuple[range, ...]]]:
        """Yield what is read at a time: where it goes, and the range along each axis.

        All at once; but where a step leaps over whole chunks, one index at a time.
        """
        portions: list[list[tuple[slice | None, range]]] = []
        for each, length in zip(self.picked, self.lengths, strict=True):
            if isinstance(each, int):
                portions.append([(None, range(each, each + 1))])
            elif abs(each.step) > length:
                one_by_one = [slice(at, at + 1) for at in range(len(each))]
                portions.append([(one, each[one]) for one in one_by_one])
            else:
                portions.append([(slice(None), each)])
        for chosen in product(*portions):
            yield (
                tuple(place for place, _ in chosen if place is not None),
                tuple(part for _, part in chosen),
            )


def _for_each_axis(key: Any, ndim: int) -> list[int | slice]:
    """Return a key for each axis, ``...`` and what was left out filled in."""
    keys = list(key) if isinstance(key, tuple) else [key]
    dots = [at for at, each in enumerate(keys) if each is Ellipsis]
    if len(dots) > 1 or len(keys) - len(dots) > ndim:
        raise IndexError(f"index has more than one for each of {ndim} axes, or '...' twice: {key}")
    at = dots[0] if dots else len(keys)
    keys[at : at + 1] = [slice(None)] * (ndim - len(keys) + len(dots))
    return [each if isinstance(each, slice) else _whole(each) for each in keys]


def _whole(key: Any) -> int:
    try:
        if isinstance(key, (bool, np.bool_)):
            raise TypeError
        return index(key)
    except TypeError:
        raise IndexError(
            f"index must be of integers, slices and '...', got {key!r}; numpy.asarray() reads "
            "what any index can then be used on"
        ) from None
