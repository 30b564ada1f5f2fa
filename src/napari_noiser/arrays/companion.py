"""Masks and gain maps of an image: arrays with its axes or some of them, read by region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_unmasked
from napari_noiser.arrays.axis_names import is_labeled, own_axes, plain_array
from napari_noiser.arrays.chunks import chunk_grid, split_chunks
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.mapped_file import unmapped
from napari_noiser.arrays.reader import make_reader

_DIGEST_VALUES = 2**20


@dataclass(frozen=True)
class CompanionArray:
    """An array beside an image.

    The array is numpy's, or anything that slices and stays where it is; the layout is the image's
    without S.
    """

    array: Any
    axes: str
    layout: Layout

    @property
    def in_memory(self) -> bool:
        """Whether reading costs nothing."""
        return isinstance(self.array, np.ndarray)

    def read(self, region: Slices) -> NDArray[Any]:
        """Return the values in a region of the image without S, broadcast along axes it lacks."""
        here = dict(zip(self.layout.axes, region, strict=True))
        values = self._reader(tuple(here[letter] for letter in self.axes))
        placed = expand_to_axes(values, self.axes, self.layout)
        return np.broadcast_to(placed, [part.stop - part.start for part in region])

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return what stands at a number, or in a slice, along each of the layout's axes."""
        box = tuple(each if isinstance(each, slice) else slice(each, each + 1) for each in key)
        first = tuple(slice(None) if isinstance(each, slice) else 0 for each in key)
        return self.read(box)[first]

    def digest(self, said: Callable[[NDArray[Any]], NDArray[Any]]) -> str:
        """Return twelve hexadecimal digits that tell arrays apart by what is said of them.

        Of an array in memory all values count (axes along which it is only repeated are left
        out); of another the first, middle and last part, so that it need not be read twice.
        """
        digest = sha256(str(self.layout.shape).encode())
        for part in self._sampled_parts():
            digest.update(said(part).tobytes())
        return digest.hexdigest()[:12]

    def _sampled_parts(self) -> Iterator[NDArray[Any]]:
        if self.in_memory:
            placed = expand_to_axes(self.array, self.axes, self.layout)
            array = placed[tuple(slice(None) if step else slice(0, 1) for step in placed.strides)]
            rows = max(1, _DIGEST_VALUES // prod(array.shape[1:]))
            for first in range(0, len(array), rows):
                yield array[first : first + rows]
        else:
            grid = split_chunks(chunk_grid(self.array), _DIGEST_VALUES)
            counts = [len(along) - 1 for along in grid.cuts]
            for part in (tuple(at * (n - 1) // 2 for n in counts) for at in range(3)):
                yield self._reader(grid.box(part))

    @cached_property
    def _reader(self) -> Callable[[Slices], NDArray[Any]]:
        return make_reader(self.array)


class HasShape(Protocol):
    """Anything with a shape."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def infer_axes(name: str, array: HasShape, layout: Layout) -> str:
    """Return which of an image's axes an array beside it has.

    An array of the image's shape has its axes, whichever lengths are equal; one of fewer axes is
    rather a plane or a volume, Y before X, than what trails.
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
    raise InputError(
        name,
        f"must have the image's shape without S, {whole.shape}"
        f"{'' if whole.shape == layout.image_shape else fewer}; got {shape}",
    )


def expand_to_axes(array: Any, axes: str, whole: Layout) -> Any:
    """Return an array with all axes of the whole, in their order, of length 1 where repeated."""
    order = [axes.index(letter) for letter in whole.axes if letter in axes]
    turned = array.transpose(order)
    return turned[tuple(slice(None) if letter in axes else None for letter in whole.axes)]


def as_companion(name: str, array: Any, layout: Layout) -> Any:
    """Return an array beside an image without names of its own, placed by them if it has some.

    dask's stays lazy. An array with a mask of its own is refused.
    """
    check_unmasked(name, array)
    axes, whole = own_axes(array) if is_labeled(array) else None, layout.without_samples
    if axes is None:
        return plain_array(array)
    lengths = dict(zip(whole.axes, whole.shape, strict=True))
    if any(lengths.get(a) != n for a, n in zip(axes, array.shape, strict=True)):
        raise InputError(
            name,
            f"must have axes of the image, {whole.axes!r} of shape {whole.shape}; got {axes!r} "
            f"of shape {array.shape}",
        )
    placed = expand_to_axes(array.data, axes, whole)
    if isinstance(placed, np.ndarray):
        return np.broadcast_to(placed, whole.shape)
    from dask.array import broadcast_to

    return broadcast_to(placed, whole.shape)


class Mask(CompanionArray):
    """Which pixels of an image count in its statistics: those that are not 0."""

    @classmethod
    def of(cls, mask: Any, layout: Layout) -> Mask:
        """Check a mask for an image of the given layout."""
        mask = as_companion("mask", mask, layout)
        lazy = isinstance(getattr(mask, "dtype", None), np.dtype) and hasattr(mask, "shape")
        array = unmapped(mask if lazy else np.asarray(mask))
        return cls(array, _axes_of(array, layout), layout.without_samples)

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that tell masks apart; see `CompanionArray.digest`."""
        return self.digest(lambda values: values != 0)


def without_masked(values: Any, mask: Any, layout: Layout) -> Any:
    """Return values in float64, NaN where a mask without the axis S leaves them out."""
    if "S" in layout.axes:
        mask = np.expand_dims(mask, layout.axes.index("S"))
    return np.where(mask != 0, values, np.nan)


def expand_mask(mask: Any, layout: Layout) -> Any:
    """Return a mask (dask's stays lazy) with an image's axes but S, of length 1 where repeated."""
    return expand_to_axes(mask, _axes_of(mask, layout), layout.without_samples)


def _axes_of(mask: Any, layout: Layout) -> str:
    """Return which of the image's axes a mask has."""
    if mask.dtype.kind not in "bui":
        raise InputTypeError(
            "mask", f"must hold bool or integers (of a layer, pass its data), got {mask.dtype}"
        )
    return infer_axes("mask", mask, layout)


class GainMap(CompanionArray):
    """How much each pixel of an image would be amplified: above 0."""

    @classmethod
    def of(cls, gain: Any, layout: Layout) -> GainMap:
        """Check a gain map for an image of the given layout."""
        gain = as_companion("gain_map", gain, layout)
        lazy = isinstance(getattr(gain, "dtype", None), np.dtype) and hasattr(gain, "shape")
        array = unmapped(gain if lazy else np.asarray(gain))
        if array.dtype.kind not in "uif":
            raise InputTypeError("gain_map", f"must hold integers or floats, got {array.dtype}")
        axes = infer_axes("gain_map", array, layout) if array.shape else ""  # one number for all
        return cls(array, axes, layout.without_samples)

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that tell gain maps apart; see `digest`."""
        return self.digest(lambda values: values.astype(np.float32))

    def read_log(self, image: tuple[int, ...], region: Slices) -> NDArray[np.float32]:
        """Return the logarithm in a region of one of the images: (1, *spatial)."""
        return log_gain(self.layout.read(self, image, region))


def log_gain(gain: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logarithm of a gain map, or raise an `InputError` where it has none."""
    if not (np.isfinite(gain).all() and (gain > 0).all()):
        raise InputError("gain_map", "must be finite and above 0 throughout")
    return np.log(gain.astype(np.float64)).astype(np.float32)
