"""What the files that results go into have in common: types, axes in their order, blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_int
from napari_noiser.arrays.layout import Slices
from napari_noiser.files.spatial_metadata import SpatialMetadata

__all__ = [
    "Slices",
    "as_json",
    "axis_order",
    "check_block",
    "full_region",
    "stored_shape",
    "stored_type",
]

_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


def stored_type(dtype: DTypeLike) -> np.dtype[Any]:
    """Return a type that both kinds of files can hold, in the machine's byte order.

    Raises
    ------
    ValueError
        If it is another.
    """
    found = np.dtype(dtype).newbyteorder("=")
    if found.name not in _TYPES:
        raise InputError("dtype", f"must be one of {', '.join(_TYPES)}, got {found}")
    return found


def stored_shape(shape: Iterable[int], space: SpatialMetadata) -> tuple[int, ...]:
    """Return a shape as ints, if it is none of an empty array and the axes fit it.

    Raises
    ------
    ValueError
        If they do not.
    """
    lengths = tuple(check_int("shape", length) for length in shape)
    if len(lengths) != len(space.axes):
        raise InputError(
            "space", f"names the axes {space.axes!r}, but the shape has {len(lengths)}: {lengths}"
        )
    if "S" in space.axes and lengths[space.axes.index("S")] not in (1, 3, 4):
        raise InputError("axis", f"S holds 1 sample, RGB or RGBA, got the shape {lengths}")
    return lengths


def as_json(attributes: Mapping[str, Any]) -> str:
    """Return what goes into a file beside the pixels, as JSON.

    Raises
    ------
    TypeError
        If it cannot be written so.
    """
    try:
        return json.dumps(dict(attributes))
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            "", f"attributes must be a mapping of JSON-able values: {error}"
        ) from error


def axis_order(axes: str, wanted: str) -> tuple[int, ...]:
    """Return how to transpose an array with the given axes so that they are ordered as wanted."""
    return tuple(sorted(range(len(axes)), key=lambda i: wanted.index(axes[i])))


def full_region(region: Slices, shape: tuple[int, ...]) -> Slices:
    """Return a region with all its starts and stops.

    Raises
    ------
    TypeError
        If it is not a slice for each axis.
    ValueError
        If a slice is empty, has a step, or lies outside the array.
    """
    if not isinstance(region, tuple) or not all(isinstance(each, slice) for each in region):
        raise InputTypeError("region", f"must be a tuple of slices, got {region!r}")
    full = tuple(
        slice(each.start or 0, length if each.stop is None else each.stop)
        for each, length in zip(region, shape, strict=False)
    )
    inside = all(0 <= each.start < each.stop <= n for each, n in zip(full, shape, strict=False))
    stepless = all(each.step in (None, 1) for each in region)
    if len(region) != len(shape) or not inside or not stepless:
        raise InputError(
            "region", f"must have a slice without step within each axis of {shape}, got {region}"
        )
    return full


def check_block(block: Any, region: Slices, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a block in the file's type, if it has the region's shape.

    Raises
    ------
    TypeError
        If its values would have to be rounded to integers.
    ValueError
        If it has another shape.
    """
    values = np.asarray(block)
    shape = tuple(each.stop - each.start for each in region)
    if values.shape != shape:
        raise InputError("", f"block must have the region's shape {shape}, got {values.shape}")
    return values.astype(dtype, casting="same_kind", copy=False)
