"""Gain maps of any kind of array: how much each pixel would be amplified, known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.axes import Layout, Region
from napari_noiser.stack.beside import Beside, axes_beside

__all__ = ["GainMap", "log_gain"]


class GainMap(Beside):
    """How much each pixel of an image would be amplified: above 0."""

    @classmethod
    def of(cls, gain: Any, layout: Layout) -> GainMap:
        """Check a gain map for an image of the given layout.

        Raises
        ------
        TypeError
            If it holds neither integers nor floats.
        ValueError
            If it is no single number, and its shape is not the image's without S, its trailing
            axes, or one plane's or volume's.
        """
        lazy = isinstance(getattr(gain, "dtype", None), np.dtype) and hasattr(gain, "shape")
        array = gain if lazy else np.asarray(gain)
        if array.dtype.kind not in "uif":
            raise TypeError(f"gain must hold integers or floats, got {array.dtype}")
        axes = axes_beside("gain", array, layout) if array.shape else ""  # one number for all
        return cls(array, axes, layout.without_samples)

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that tell gain maps apart; see `Beside.digest`."""
        return self.digest(lambda values: values.astype(np.float32))

    def in_image(self, image: tuple[int, ...], region: Region) -> NDArray[np.float32]:
        """Return the logarithms in a region of one of the images: (1, *spatial)."""
        places = dict(zip(self.layout.spatial, region, strict=True))
        places |= {
            letter: slice(at, at + 1) for letter, at in zip(self.layout.outer, image, strict=True)
        }
        values = self.read(tuple(places[letter] for letter in self.layout.axes))
        nowhere = (0,) * len(image)
        return log_gain(self.layout.read(values, nowhere, _all(region)))


def log_gain(gain: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logarithm of a gain map, or raise a `ValueError` where it has none."""
    if not (np.isfinite(gain).all() and (gain > 0).all()):
        raise ValueError("gain must be finite and above 0 throughout")
    return np.log(gain.astype(np.float64)).astype(np.float32)


def _all(region: Region) -> Region:
    return tuple(slice(None) for _ in region)
