"""Masks of any kind of array: which pixels set the exposure, read region by region."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_noiser.stack.axes import Layout
from napari_noiser.stack.beside import Beside, axes_beside, placed_beside

__all__ = ["Mask", "place_mask"]


class Mask(Beside):
    """Which pixels of an image set its exposure: those that are not 0."""

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

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that tell masks apart; see `Beside.digest`."""
        return self.digest(lambda values: values != 0)


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
    return placed_beside(mask, _axes_of(mask, layout), layout.without_samples)


def _axes_of(mask: Any, layout: Layout) -> str:
    """Return which of the image's axes a mask has."""
    if mask.dtype.kind not in "bui":
        raise TypeError(
            f"mask must hold bool or integers (of a layer, pass its data), got {mask.dtype}"
        )
    return axes_beside("mask", mask, layout)
