"""An image less its banding, found plane by plane when it is first read."""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import relative_to, widen
from napari_noiser.arrays.fill import FILL_REACH, Fill, fill_mask, find_fill
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices
from napari_noiser.arrays.lazy_view import DerivedArray
from napari_noiser.arrays.reader import make_reader
from napari_noiser.camera.banding import Banding, Lines, banding_profile

_ACROSS = 2048  # pixels of a line that tell its offset: those in the middle


class WithoutBanding(DerivedArray):
    """An array that slices like another one, less the offsets of its rows or columns.

    Of each plane and sample the middles of all lines are read once, which a mask and fill are left
    out of; what is fill stays as it is. So it does not matter in which parts it is read.
    """

    def __init__(self, array: Any, layout: Layout, banding: Banding, mask: Any, fill: Any) -> None:
        self.source, self.shape, self.ndim = array, layout.shape, len(layout.shape)
        small = np.can_cast(array.dtype, np.float32)
        self.dtype = np.dtype(np.float32 if small else np.float64)
        self.chunks = tuple(
            n if letter in "YXS" else 1
            for letter, n in zip(layout.axes, layout.shape, strict=True)
        )
        self._planes = Layout(layout.axes, layout.shape)  # whatever is rendered together
        self._lines: tuple[Lines, ...] = (
            ("rows", "columns") if banding == "both" else (banding,)  # type: ignore[assignment]
        )
        self._mask, self._fill = mask, fill
        self._found: dict[ImageIndex, tuple[NDArray[np.float64], Fill]] = {}

    @cached_property
    def _read(self) -> Any:
        return make_reader(self.source)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the values in a region: along each axis at a number, or in a slice."""
        planes, wanted = self._planes, dict(zip(self._planes.axes, key, strict=True))
        box = {
            letter: slice(each, each + 1) if isinstance(each, int) else slice(*each.indices(n)[:2])
            for (letter, each), n in zip(wanted.items(), self.shape, strict=True)
        }
        if "S" in box:  # a plane's samples are read together
            box["S"] = slice(0, self.shape[planes.axes.index("S")])
        values = np.empty([part.stop - part.start for part in box.values()], self.dtype)
        part, region = Layout(planes.axes, values.shape), (box["Y"], box["X"])
        everything = tuple(slice(0, n) for n in part.image_shape)
        images = product(*(range(box[a].start, box[a].stop) for a in planes.outer))
        for image, inner in zip(images, part.images(), strict=True):
            part.write(values, inner, everything, self._plane(image, region))
        return values[
            tuple(
                0 if isinstance(each, int) else each if letter == "S" else slice(None)
                for letter, each in wanted.items()
            )
        ]

    @property
    def outer_axes(self) -> int:
        """How many axes the index of a plane has."""
        return len(self._planes.outer)

    def profile(self, image: ImageIndex) -> NDArray[np.float64]:
        """Return what is taken from a plane: the offsets of rows and columns, (samples, Y + X)."""
        return self._of(image)[0]

    def _plane(self, image: ImageIndex, region: Slices) -> NDArray[Any]:
        """Return a region of a plane, (S, Y, X)."""
        profile, fill = self._of(image)
        height, samples = self._planes.image_shape[0], self._planes.samples
        wide = widen(region, (FILL_REACH,) * 2, self._planes.image_shape) if fill else region
        raw = self._raw(image, wide)
        inner = relative_to(region, wide)
        values = raw[(slice(None), *inner)].astype(self.dtype)
        rows, columns = (
            profile[:, :height][:, region[0], None],
            profile[:, height:][:, None, region[1]],
        )
        less = (values[:samples] - rows - columns).astype(self.dtype)
        if fill:
            filled = fill_mask(raw[:samples], fill)[inner]
            less = np.where(filled, values[:samples], less)
        values[:samples] = less
        return values

    def _of(self, image: ImageIndex) -> tuple[NDArray[np.float64], Fill]:
        """Return the profile of a plane and the values that are fill in it."""
        if image not in self._found:
            height, width = self._planes.image_shape
            total = np.zeros((self._planes.samples, height + width))
            fill = Fill()
            for lines in self._lines:
                region = tuple(
                    slice(0, length) if along else _middle(length)
                    for length, along in ((height, lines == "rows"), (width, lines == "columns"))
                )
                fill, part = self._counted(image, region, fill)
                part -= total[:, :height][:, region[0], None]
                own = slice(0, height) if lines == "rows" else slice(height, None)
                total[:, own] = [banding_profile(sample, lines) for sample in part]
            self._found[image] = total, fill
        return self._found[image]

    def _counted(
        self, image: ImageIndex, region: Slices, fill: Fill
    ) -> tuple[Fill, NDArray[np.float64]]:
        """Return which values are fill, and a region of samples, NaN where it does not count."""
        raw = self._raw(image, region)[: self._planes.samples]
        if self._fill == "auto":
            fill = fill or find_fill([raw])
        elif self._fill:
            fill = find_fill([raw], self._fill)
        values = raw.astype(np.float64)
        if fill:
            values[:, fill_mask(raw, fill)] = np.nan
        if self._mask is not None:
            counted = self._planes.without_samples.read(self._mask, image, region)[0] != 0
            values[:, ~counted] = np.nan
        return fill, values

    def _raw(self, image: ImageIndex, region: Slices) -> NDArray[Any]:
        return self._planes.read(_Slicing(self._read), image, region)


def _middle(length: int) -> slice:
    start = max(0, (length - _ACROSS) // 2)
    return slice(start, min(length, start + _ACROSS))


class _Slicing:
    """A reader that slices, also at single numbers."""

    def __init__(self, read: Any) -> None:
        self._read = read

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        box = tuple(each if isinstance(each, slice) else slice(each, each + 1) for each in key)
        return np.asarray(self._read(box))[
            tuple(slice(None) if isinstance(each, slice) else 0 for each in key)
        ]
