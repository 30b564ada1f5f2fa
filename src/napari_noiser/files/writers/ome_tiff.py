"""An OME-TIFF file that is filled block by block: uncompressed, memory-mapped."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from napari_noiser._errors import InputError
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.units import unit_symbol
from napari_noiser.files.writers.common import (
    Slices,
    as_json,
    axis_order,
    check_block,
    full_region,
    stored_shape,
    stored_type,
)

__all__ = ["OmeTiff"]


@dataclass(frozen=True)
class OmeTiff:
    """An OME-TIFF file to be filled block by block; `create` or `open` makes one.

    The file holds planes, Y and X (and S) last, and the other axes in their order. All that is
    given and returned here is in the order of `axes`, the source's. The file is open only while
    a block is written, so it may be moved in between.

    Attributes
    ----------
    path : Path
        Of the file.
    axes : str
        One letter an axis.
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the pixels.
    offset : int
        Where they begin in the file.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def create(
        cls,
        path: str | PathLike[str],
        shape: Iterable[int],
        dtype: DTypeLike,
        space: SpatialMetadata,
        *,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        source: tuple[int, ...] | None = None,
    ) -> OmeTiff:
        """Create a file of its full size with all metadata, all zero; BigTIFF above 4 GB.

        Parameters
        ----------
        path : str or path
            Where nothing is yet.
        shape : sequence of int
            Of the array.
        dtype : dtype
            An integer of up to 32 bits, float32 or float64.
        space : Space
            The axes and the steps. OME-TIFF has no place for `translate`, nor for a step with a
            unit that OME-XML does not know, or of time without one: they are left out.
        name : str
            Of the image.
        attributes : mapping, optional
            JSON-able: goes into the image's description, as JSON.
        source : tuple of int, optional
            The chunks of the array that it will be filled from, which do not matter here.

        Returns
        -------
        Tif
            To be filled.

        Raises
        ------
        FileExistsError
            If there is something at the path.
        OSError
            If the disk has no room for it.
        TypeError
            If the attributes are not JSON-able.
        ValueError
            If shape, dtype or axes cannot be stored so.
        """
        from tifffile import imwrite

        path, shape, dtype = Path(path), stored_shape(shape, space), stored_type(dtype)
        if path.exists():
            raise FileExistsError(f"{path} exists already")
        said: dict[str, Any] = {"Description": as_json(attributes)} if attributes else {}
        if len(space.channels) == _length("C", space.axes, shape):
            said |= {"Channel": _channels(space)}
        _check_room(path, prod(shape) * dtype.itemsize)
        color = _length("S", space.axes, shape) > 1
        axes = "".join(space.axes[axis] for axis in _order(space.axes))
        kept = axes if color else axes.replace("S", "")  # one sample is gray
        result = imwrite(
            path,
            shape=tuple(_length(letter, space.axes, shape) for letter in kept),
            dtype=dtype,
            ome=True,
            photometric="rgb" if color else "minisblack",
            metadata={"axes": kept, "Name": name, **_sizes(space), **said},
            align=4096,
            returnoffset=True,
        )
        assert result is not None  # uncompressed and in one piece
        _take_room(path)
        return cls(path, space.axes, shape, dtype, result[0])

    @classmethod
    def open(cls, path: str | PathLike[str], axes: str) -> OmeTiff:
        """Open a file that `create` made, to go on with it.

        Parameters
        ----------
        path : str or path
            Of the file.
        axes : str
            As it was created with.

        Returns
        -------
        Tif
            To be filled further.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no uncompressed OME-TIFF file with these axes, or was not created completely.
        """
        from tifffile import TiffFile

        try:
            with TiffFile(path) as tif:
                series = tif.series[0]
                full = zip(series.get_axes(False), series.get_shape(False), strict=True)
                lengths, offset = dict(full), series.dataoffset
                dtype = np.dtype(series.dtype)
        except OSError:
            raise
        except Exception as error:  # tifffile raises anything over a broken file
            kind = type(error).__name__
            raise InputError("", f"{path} is no complete OME-TIFF file: {kind} {error}") from error
        shape = tuple(lengths.get(letter, 0) for letter in axes)
        if offset is None or prod(shape) != prod(lengths.values()):
            raise InputError(
                "",
                f"{path} holds {lengths}{'' if offset else ', compressed'}, which cannot be "
                f"filled as axes {axes!r}",
            )
        return cls(Path(path), axes, shape, dtype, offset)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Of one voxel: regions may start and end anywhere."""
        return (1,) * len(self.shape)

    @property
    def levels(self) -> list[Any]:
        """The whole array for a viewer, memory-mapped; a file has no further levels."""
        return [self._map("r")]

    def __setitem__(self, region: Slices, block: Any) -> None:
        """Write a block."""
        region = full_region(region, self.shape)
        values = check_block(block, region, self.dtype)
        self._map("r+")[region] = values

    def finish(self, region: Slices) -> None:
        """Have what was written put on the disk.

        Parameters
        ----------
        region : tuple of slice
            Just written; in any order.
        """
        full_region(region, self.shape)
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())

    def set_limits(self, lower: float, upper: float) -> None:
        """Say nothing: OME-TIFF has no place for what viewers show as black and as white."""

    def _map(self, mode: Any) -> np.memmap[Any, Any]:
        order = _order(self.axes)
        shape = tuple(self.shape[axis] for axis in order)
        stored = np.memmap(self.path, self.dtype, mode, self.offset, shape)
        return stored.transpose(np.argsort(order).tolist())


def _order(axes: str) -> tuple[int, ...]:
    outer = "".join(letter for letter in axes if letter in "TCZ")
    return axis_order(axes, outer + "YXS")


def _length(letter: str, axes: str, shape: tuple[int, ...]) -> int:
    return shape[axes.index(letter)] if letter in axes else 1


def _sizes(space: SpatialMetadata) -> dict[str, Any]:
    """Return the steps as OME-XML has them; a step of 1 without unit says nothing."""
    names = {"Z": "PhysicalSizeZ", "Y": "PhysicalSizeY", "X": "PhysicalSizeX"}
    names["T"] = "TimeIncrement"
    sizes: dict[str, Any] = {}
    for letter, step, unit in zip(space.axes, space.scale, space.units, strict=True):
        symbol = unit_symbol(unit)
        if letter in names and symbol and (unit or (step != 1 and letter != "T")):
            sizes |= {names[letter]: step, names[letter] + "Unit": symbol}
    return sizes


def _channels(space: SpatialMetadata) -> dict[str, list[Any]]:
    """Return names and colors as OME-XML has them: signed 32 bits of RGBA, of white -1."""
    rgba = [int((each.color or "FFFFFF") + "FF", 16) for each in space.channels]
    return {
        "Name": [each.name or f"channel {i}" for i, each in enumerate(space.channels)],
        "Color": [each - 2**32 if each >= 2**31 else each for each in rgba],
    }


def _take_room(path: Path) -> None:
    """Take a file's room on the disk now: where it is full, writing to a map ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _check_room(path: Path, size: int) -> None:
    """Raise an `OSError` if a file would not fit."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(
            errno.ENOSPC, f"the image takes {size:,} bytes, but the disk has {free:,} left", path
        )
