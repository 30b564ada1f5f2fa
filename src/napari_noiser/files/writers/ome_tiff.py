"""Write an OME-TIFF file block by block: uncompressed, memory-mapped."""

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
from napari_noiser.arrays.layout import Slices
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.units import unit_symbol
from napari_noiser.files.writers.common import (
    as_json,
    axis_order,
    check_block,
    check_dtype,
    check_shape,
    full_region,
    wrap_reading_error,
)


@dataclass(frozen=True)
class OmeTiff:
    """An OME-TIFF file that is written block by block; `create` or `open` returns one.

    The file holds planes, Y and X (and S) last, and the other axes in their order. All
    arguments and results here are in the order of `axes`. The file is open only while a block is
    written, so it may be moved in between.

    `offset` is that of the first pixel in the file, in bytes.
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
        source_chunks: tuple[int, ...] | None = None,
    ) -> OmeTiff:
        """Create a file of its full size with all metadata, all zero; BigTIFF above 4 GB.

        Arguments are those of `OmeZarr.create`; the attributes become the image's description, as
        JSON, and `source_chunks` is ignored. OME-TIFF cannot hold `translate`, nor a step with a
        unit that OME-XML does not know, or of time without one: they are left out.
        """
        from tifffile import imwrite

        path, shape, dtype = Path(path), check_shape(shape, space), check_dtype(dtype)
        if path.exists():
            raise FileExistsError(f"{path} exists already")
        described: dict[str, Any] = {"Description": as_json(attributes)} if attributes else {}
        if len(space.channels) == _length("C", space.axes, shape):
            described |= {"Channel": _channels(space)}
        _check_disk_space(path, prod(shape) * dtype.itemsize)
        color = _length("S", space.axes, shape) > 1
        axes = "".join(space.axes[axis] for axis in _order(space.axes))
        stored_axes = axes if color else axes.replace("S", "")  # one sample is gray
        result = imwrite(
            path,
            shape=tuple(_length(letter, space.axes, shape) for letter in stored_axes),
            dtype=dtype,
            ome=True,
            photometric="rgb" if color else "minisblack",
            metadata={"axes": stored_axes, "Name": name, **_sizes(space), **described},
            align=4096,
            returnoffset=True,
        )
        assert result is not None  # uncompressed and in one piece
        _allocate(path)
        return cls(path, space.axes, shape, dtype, result[0])

    @classmethod
    def open(cls, path: str | PathLike[str], axes: str) -> OmeTiff:
        """Open a file that `create` made with these axes, to write more of it."""
        from tifffile import TiffFile

        with wrap_reading_error(path, "OME-TIFF file"), TiffFile(path) as tif:
            series = tif.series[0]
            full = zip(series.get_axes(False), series.get_shape(False), strict=True)
            lengths, offset, dtype = dict(full), series.dataoffset, np.dtype(series.dtype)
        shape = tuple(lengths.get(letter, 0) for letter in axes)
        if offset is None or prod(shape) != prod(lengths.values()):
            raise InputError(
                "",
                f"{path} holds {lengths}{'' if offset else ', compressed'}, which cannot be "
                f"filled as axes {axes!r}",
            )
        if Path(path).stat().st_size < offset + prod(shape) * dtype.itemsize:
            raise InputError("", f"{path} is no complete OME-TIFF file: it is cut off")
        return cls(Path(path), axes, shape, dtype, offset)

    @property
    def chunks(self) -> tuple[int, ...]:
        """One voxel each: regions may start and end anywhere."""
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
        """Flush what was written to the disk; regions may come in any order."""
        full_region(region, self.shape)
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())

    def stored_sizes(self, region: Slices) -> list[int]:
        """Return the size of the file, whatever the region: it was allocated whole."""
        return [self.path.stat().st_size]

    def set_limits(self, lower: float, upper: float) -> None:
        """Do nothing: OME-TIFF cannot hold contrast limits."""

    def _map(self, mode: Any) -> np.memmap[Any, Any]:
        order = _order(self.axes)
        shape = tuple(self.shape[axis] for axis in order)
        pixels = np.memmap(self.path, self.dtype, mode, self.offset, shape)
        return pixels.transpose(np.argsort(order).tolist())


def _order(axes: str) -> tuple[int, ...]:
    outer = "".join(letter for letter in axes if letter in "TCZ")
    return axis_order(axes, outer + "YXS")


def _length(letter: str, axes: str, shape: tuple[int, ...]) -> int:
    return shape[axes.index(letter)] if letter in axes else 1


def _sizes(space: SpatialMetadata) -> dict[str, Any]:
    """Return the steps as OME-XML has them; a step of 1 without a unit is left out."""
    names = {"Z": "PhysicalSizeZ", "Y": "PhysicalSizeY", "X": "PhysicalSizeX"}
    names["T"] = "TimeIncrement"
    sizes: dict[str, Any] = {}
    for letter, step, unit in zip(space.axes, space.scale, space.units, strict=True):
        symbol = unit_symbol(unit)
        if letter in names and symbol and (unit or (step != 1 and letter != "T")):
            sizes |= {names[letter]: step, names[letter] + "Unit": symbol}
    return sizes


def _channels(space: SpatialMetadata) -> dict[str, list[Any]]:
    """Return names and colors of channels as OME-XML has them: signed 32 bits of RGBA."""
    rgba = [int((each.color or "FFFFFF") + "FF", 16) for each in space.channels]
    return {
        "Name": [each.name or f"channel {i}" for i, each in enumerate(space.channels)],
        "Color": [each - 2**32 if each >= 2**31 else each for each in rgba],
    }


def _allocate(path: Path) -> None:
    """Allocate a file's disk space now: on a full disk, writing to a map ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _check_disk_space(path: Path, size: int) -> None:
    """Raise an `OSError` if a file would not fit on the disk."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(
            errno.ENOSPC, f"the image takes {size:,} bytes, but the disk has {free:,} left", path
        )
