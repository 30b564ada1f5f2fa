"""Counts as they come in: whole arrays, of which nothing is masked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["unmasked"]


def unmasked(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return values as an array, or raise a `TypeError` if some may be masked."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: pass its data, {name}.data")
    return np.asarray(values)
