"""Masks of any kind of array: which pixels set the exposure, read region by region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.axes import Layout, Region
from napari_noiser.stack.blocks import chunk_grid, split
from napari_noiser.stack.reading import reader

__all__ = ["Mask", "place_mask"]

_PIECE = 2**20


@dataclass(frozen=True)
class Mask:
    """Which pixels of an image set its exposure: those that are not 0.

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

    @classmethod
    def of(cls, mask: Any, layout: Layout) -> Mask:
        """Check a mask for an image of the given layout.

        Raises
        ------
        TypeError, ValueError
            As in `place_mask`.
        """
        lazy = isinstance(getattr(mask, "dtype", None), np.dtype) and hasattr(mask, "shape")
        array = mask if lazy else np.asarray(mask)
        return cls(array, _axes_of(array, layout), layout.without_samples)

    @property
    def in_memory(self) -> bool:
        """Whether reading costs nothing."""
        return isinstance(self.array, np.ndarray)

    def read(self, region: Region) -> NDArray[Any]:
        """Return the values in a region of the image without S, repeated where they are."""
        here = dict(zip(self.layout.axes, region, strict=True))
        values = self._reader(tuple(here[letter] for letter in self.axes))
        placed = _placed(values, self.axes, self.layout)
        return np.broadcast_to(placed, [part.stop - part.start for part in region])

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that tell masks apart.

        Of an array in memory all values count (axes along which it is only repeated are left
        out); of another the first, middle and last part, so that it need not be read twice.
        """
        digest = sha256(str(self.layout.shape).encode())
        if self.in_memory:
            placed = _placed(self.array, self.axes, self.layout)
            array = placed[tuple(slice(None) if step else slice(0, 1) for step in placed.strides)]
            rows = max(1, _PIECE // prod(array.shape[1:]))
            for first in range(0, len(array), rows):
                digest.update((array[first : first + rows] != 0).tobytes())
        else:
            grid = split(chunk_grid(self.array), _PIECE)
            counts = [len(along) - 1 for along in grid.cuts]
            for part in (tuple(at * (n - 1) // 2 for n in counts) for at in range(3)):
                values = self._reader(grid.box(part))
                digest.update((values != 0).tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def _reader(self) -> Callable[[Region], NDArray[Any]]:
        return reader(self.array)


def place_mask(mask: Any, layout: Layout) -> Any:
    """Return a mask with the layout's axes without S, of length 1 where it is to be repeated.

    Parameters
    ----------
    mask : array
        Of numpy or dask, which stays lazy.
    layout : Layout
        Of the image.

    Returns
    -------
    array
        The same values, of the same kind.

    Raises
    ------
    TypeError
        If it holds neither bool nor integers.
    ValueError
        If its shape is not the image's without S, its trailing axes, or one plane's or volume's.
    """
    return _placed(mask, _axes_of(mask, layout), layout.without_samples)


def _axes_of(mask: Any, layout: Layout) -> str:
    """Return which of the image's axes a mask has."""
    if mask.dtype.kind not in "bui":
        raise TypeError(
            f"mask must hold bool or integers (of a layer, pass its data), got {mask.dtype}"
        )
    whole = layout.without_samples
    trailing = len(whole.shape) - len(mask.shape)
    if tuple(mask.shape) == layout.image_shape:
        return layout.spatial
    if tuple(mask.shape) == whole.shape[max(0, trailing) :] and trailing >= 0:
        return whole.axes[trailing:]
    raise ValueError(
        f"mask must have the image's shape without S, {whole.shape}, its trailing axes, or "
        f"one image's shape, {layout.image_shape}; got {tuple(mask.shape)}"
    )


def _placed(mask: Any, axes: str, whole: Layout) -> Any:
    """Return a mask with all axes of the whole, in their order."""
    order = [axes.index(letter) for letter in whole.axes if letter in axes]
    turned = mask.transpose(order)
    return turned[tuple(slice(None) if letter in axes else None for letter in whole.axes)]
