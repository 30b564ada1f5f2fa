"""What the axes of an array mean: planes or volumes, samples, and what shares its statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._validation import check_axes, check_ndim

Statistics = Literal["stack", "volume", "plane"]
"""Which images share their statistics: a whole series, each time point, or each image alone."""

Colors = Literal["auto", "balanced", "kept"]
"""What becomes of a color cast: it is removed like a lack of light, or left as it is.

Auto: it is removed, unless the model sees each color alone.
"""

ImageIndex = tuple[int, ...]
"""Which plane or volume of an array: an index along each of the layout's outer axes."""

Slices = tuple[slice, ...]
"""A part of an array or of an image: a slice along each of its axes."""

DEFAULT_AXES: Mapping[int, str] = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}

_SAMPLES = (1, 3, 4)


@dataclass(frozen=True)
class Layout:
    """The axes of one array, and how it falls into images.

    Axes have one letter each, in any order: T time, C channel (a fluorophore), Z, Y, X, and S for
    color samples (1, RGB or RGBA). Images are planes (YX) if ndim is 2, volumes if it is 3 (ZYX
    together; without Z, time stands in its place: TYX together).
    """

    axes: str
    shape: tuple[int, ...]
    ndim: int = 2

    def __post_init__(self) -> None:
        check_ndim(self.ndim)
        letters = check_axes(self.axes)
        if len(self.axes) != len(self.shape):
            raise InputError(
                "axes",
                f"{self.axes!r} names {len(self.axes)} axes, but the image has "
                f"{len(self.shape)}: shape {self.shape}",
            )
        if self.ndim == 3 and not letters & {"Z", "T"}:
            raise InputError(
                "axes",
                f"must have Z, or T in its place, for {{ndim}}, got {self.axes!r}",
                ndim=3,
            )
        if "S" in letters and self._length("S") not in _SAMPLES:
            raise InputError(
                "axes",
                f"S holds 1 sample, RGB or RGBA, got {self._length('S')}; fluorophores are axis C",
            )
        if 0 in self.shape:
            raise InputError("image", f"is empty: shape {self.shape}")

    @classmethod
    def of(cls, shape: tuple[int, ...], axes: str | None = None, ndim: int = 2) -> Layout:
        """Return the layout of an array, by default YX, ZYX, TZYX or TCZYX."""
        if axes is None and len(shape) not in DEFAULT_AXES:
            raise InputError(
                "image", f"must have 2 to 5 dimensions unless axes names them, got shape {shape}"
            )
        return cls(DEFAULT_AXES[len(shape)] if axes is None else axes, tuple(shape), ndim)

    @property
    def spatial(self) -> str:
        """The axes that one image spans, always in this order: YX, ZYX, or TYX without a Z."""
        if self.ndim == 2:
            return "YX"
        return "ZYX" if "Z" in self.axes else "TYX"

    @property
    def outer(self) -> str:
        """The other axes without S, in the array's order: an image stands at each index."""
        return "".join(letter for letter in self.axes if letter not in self.spatial + "S")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The lengths of the spatial axes."""
        return tuple(self._length(letter) for letter in self.spatial)

    @property
    def samples(self) -> int:
        """How many samples are enhanced: 1 gray, 3 RGB; alpha is not among them."""
        return min(self._length("S"), 3) if "S" in self.axes else 1

    def model_samples(self, colors: Colors) -> int:
        """Return how many samples a model sees together: all, or each alone if they are kept."""
        return 1 if colors == "kept" else self.samples

    @property
    def without_samples(self) -> Layout:
        """The layout of a mask: the same axes but S."""
        kept = [(a, n) for a, n in zip(self.axes, self.shape, strict=True) if a != "S"]
        return Layout("".join(a for a, _ in kept), tuple(n for _, n in kept), self.ndim)

    def images(self) -> Iterator[ImageIndex]:
        """Iterate over all planes or volumes, in the array's order."""
        return product(*(range(self._length(letter)) for letter in self.outer))

    def group(self, image: ImageIndex, statistics: Statistics) -> ImageIndex:
        """Return a key that is equal for the images that share their statistics.

        Channels (C) never share.
        """
        shared = self.shared(statistics)
        return tuple(
            index for letter, index in zip(self.outer, image, strict=True) if letter not in shared
        )

    @property
    def n_channels(self) -> int:
        """How many channels (C) there are."""
        return self._length("C") if "C" in self.axes else 1

    def channel(self, image: ImageIndex) -> int:
        """Return which channel an image is of."""
        return image[self.outer.index("C")] if "C" in self.axes else 0

    def channel_of_group(self, group: ImageIndex, statistics: Statistics) -> int:
        """Return which channel the images of a statistics group are of."""
        separate = self.separate(statistics)
        return group[separate.index("C")] if "C" in separate else 0

    def shared(self, statistics: Statistics) -> str:
        """Return the outer axes along which all images share their statistics."""
        shared = {"stack": "TZ", "volume": "Z", "plane": ""}[statistics]
        return "".join(letter for letter in self.outer if letter in shared)

    def separate(self, statistics: Statistics) -> str:
        """Return the other outer axes, along which each index is a statistics group of its own."""
        shared = self.shared(statistics)
        return "".join(letter for letter in self.outer if letter not in shared)

    def check_statistics(self, statistics: Statistics) -> None:
        """Raise an `InputError` if what shares its statistics does not go with volumes."""
        if statistics == "plane" and self.ndim == 3:
            raise InputError(
                "statistics",
                "'plane' does not go with {ndim}, whose images are volumes; use 'volume' or "
                "'stack', or planes",
                ndim=3,
            )

    def read(self, array: Any, image: ImageIndex, region: Slices) -> NDArray[Any]:
        """Return a region of one image as a new view or array of shape (S, *spatial).

        The array is sliced once, so it may be anything that slices: numpy, memmap, zarr, dask.
        """
        block = np.asarray(array[self._index(image, region)])
        letters = [letter for letter in self.axes if letter in self.spatial + "S"]
        if "S" not in letters:
            block, letters = block[..., None], [*letters, "S"]
        return block.transpose([letters.index(letter) for letter in "S" + self.spatial])

    def write(self, array: Any, image: ImageIndex, region: Slices, block: NDArray[Any]) -> None:
        """Put a block of shape (S, *spatial) where `read` would have read it."""
        index = self._index(image, region)
        letters = [letter for letter in self.axes if letter in self.spatial + "S"]
        if "S" not in letters:
            array[index] = block[0].transpose([self.spatial.index(a) for a in letters])
            return
        order = "S" + self.spatial
        ordered = np.empty([block.shape[order.index(a)] for a in letters], block.dtype)
        turned = ordered.transpose([letters.index(a) for a in order])
        for sample, values in zip(turned, block, strict=True):  # numpy is slow over all at once
            sample[...] = values
        array[index] = ordered

    def _index(self, image: ImageIndex, region: Slices) -> tuple[int | slice, ...]:
        place: dict[str, int | slice] = {"S": slice(None)}
        place.update(zip(self.outer, image, strict=True))
        place.update(zip(self.spatial, region, strict=True))
        return tuple(place[letter] for letter in self.axes)

    def _length(self, letter: str) -> int:
        return self.shape[self.axes.index(letter)]
