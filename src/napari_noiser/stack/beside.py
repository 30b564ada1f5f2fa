"""Arrays beside an image: with its axes or some of them, read region by region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.axes import Layout, Region
from napari_noiser.stack.blocks import chunk_grid, split
from napari_noiser.stack.reading import reader

__all__ = ["Beside", "axes_beside", "placed_beside"]

_PIECE = 2**20


@dataclass(frozen=True)
class Beside:
    """An array beside an image.

    Attributes
    ----------
    array : array
        Of numpy, or anything that slices and stays where it is.
    axes : str
        Its axes: a letter each.
    layout : Layout
        The image's without S.
    """

    array: Any
    axes: str
    layout: Layout

    @property
    def in_memory(self) -> bool:
        """Whether reading costs nothing."""
        return isinstance(self.array, np.ndarray)

    def read(self, region: Region) -> NDArray[Any]:
        """Return the values in a region of the image without S, repeated where they are."""
        here = dict(zip(self.layout.axes, region, strict=True))
        values = self._reader(tuple(here[letter] for letter in self.axes))
        placed = placed_beside(values, self.axes, self.layout)
        return np.broadcast_to(placed, [part.stop - part.start for part in region])

    def digest(self, said: Callable[[NDArray[Any]], NDArray[Any]]) -> str:
        """Return twelve hexadecimal digits that tell arrays apart by what is said of them.

        Of an array in memory all values count (axes along which it is only repeated are left
        out); of another the first, middle and last part, so that it need not be read twice.
        """
        digest = sha256(str(self.layout.shape).encode())
        for part in self._telling_parts():
            digest.update(said(part).tobytes())
        return digest.hexdigest()[:12]

    def _telling_parts(self) -> Iterator[NDArray[Any]]:
        if self.in_memory:
            placed = placed_beside(self.array, self.axes, self.layout)
            array = placed[tuple(slice(None) if step else slice(0, 1) for step in placed.strides)]
            rows = max(1, _PIECE // prod(array.shape[1:]))
            for first in range(0, len(array), rows):
                yield array[first : first + rows]
        else:
            grid = split(chunk_grid(self.array), _PIECE)
            counts = [len(along) - 1 for along in grid.cuts]
            for part in (tuple(at * (n - 1) // 2 for n in counts) for at in range(3)):
                yield self._reader(grid.box(part))

    @cached_property
    def _reader(self) -> Callable[[Region], NDArray[Any]]:
        return reader(self.array)


class Shaped(Protocol):
    """Anything with a shape."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def axes_beside(name: str, array: Shaped, layout: Layout) -> str:
    """Return which of an image's axes an array beside it has.

    An array of the image's shape has its axes, whichever lengths are equal; one of fewer axes is
    rather a plane or a volume, Y before X, than what trails.

    Raises
    ------
    ValueError
        If its shape is not the image's without S, its trailing axes, or one plane's or volume's.
    """
    whole = layout.without_samples
    trailing = len(whole.shape) - len(array.shape)
    shape = tuple(array.shape)
    if shape == whole.shape:
        return whole.axes
    if shape == layout.image_shape:
        return layout.spatial
    if shape and trailing > 0 and shape == whole.shape[trailing:]:
        return whole.axes[trailing:]
    fewer = f", its trailing axes, or one image's shape, {layout.image_shape}"
    raise ValueError(
        f"{name} must have the image's shape without S, {whole.shape}"
        f"{'' if whole.shape == layout.image_shape else fewer}; got {shape}"
    )


def placed_beside(array: Any, axes: str, whole: Layout) -> Any:
    """Return an array with all axes of the whole, in their order, of length 1 where repeated."""
    order = [axes.index(letter) for letter in whole.axes if letter in axes]
    turned = array.transpose(order)
    return turned[tuple(slice(None) if letter in axes else None for letter in whole.axes)]
