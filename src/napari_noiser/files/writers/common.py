"""Checks that both writers share: of dtype and shape, of regions and blocks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_int
from napari_noiser.arrays.layout import Slices
from napari_noiser.files.spatial_metadata import SpatialMetadata

_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return a dtype in native byte order, or raise an `InputError` if a file cannot hold it."""
    native = np.dtype(dtype).newbyteorder("=")
    if native.name not in _TYPES:
        raise InputError("dtype", f"must be one of {', '.join(_TYPES)}, got {native}")
    return native


def check_shape(shape: Iterable[int], space: SpatialMetadata) -> tuple[int, ...]:
    """Return a shape as ints, or raise an `InputError` if it is empty or the axes do not fit."""
    lengths = tuple(check_int("shape", length) for length in shape)
    if len(lengths) != len(space.axes):
        raise InputError(
            "space", f"names the axes {space.axes!r}, but the shape has {len(lengths)}: {lengths}"
        )
    if "S" in space.axes and lengths[space.axes.index("S")] not in (1, 3, 4):
        raise InputError("axes", f"S holds 1 sample, RGB or RGBA, got the shape {lengths}")
    return lengths


def as_json(attributes: Mapping[str, Any]) -> str:
    """Return attributes as JSON, or raise an `InputTypeError` if they cannot be."""
    try:
        return json.dumps(dict(attributes))
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            "attributes", f"must be a mapping of JSON-able values: {error}"
        ) from error


@contextmanager
def wrap_reading_error(path: str | PathLike[str], kind: str) -> Iterator[None]:
    """Raise an `InputError` for whatever a library raises over a broken file."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        problem = f"{path} is no complete {kind}: {type(error).__name__} {error}"
        raise InputError("", problem) from error


def axis_order(axes: str, wanted: str) -> tuple[int, ...]:
    """Return the order in which to transpose an array for its axes to stand as wanted."""
    return tuple(sorted(range(len(axes)), key=lambda i: wanted.index(axes[i])))


def full_region(region: Slices, shape: tuple[int, ...]) -> Slices:
    """Return a region with all its starts and stops."""
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
    """Return a block in the file's dtype."""
    values = np.asarray(block)
    shape = tuple(each.stop - each.start for each in region)
    if values.shape != shape:
        raise InputError("block", f"must have the region's shape {shape}, got {values.shape}")
    return values.astype(dtype, casting="same_kind", copy=False)
