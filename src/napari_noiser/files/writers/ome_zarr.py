"""An OME-Zarr 0.5 image that is filled block by block, its pyramid growing along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_noiser._errors import InputError
from napari_noiser._validation import check_float
from napari_noiser.arrays.layout import Slices
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.common import (
    as_json,
    axis_order,
    check_block,
    full_region,
    stored_shape,
    stored_type,
)
from napari_noiser.files.writers.ngff import image_model, value_range
from napari_noiser.files.writers.pyramid import blocks, completed, halve, level_shapes, parents

if TYPE_CHECKING:
    from zarr import Array

__all__ = ["OmeZarr"]

_ORDER = "TCSZYX"  # what OME-NGFF wants, color samples being channels there
_SIDE = 1024
_BYTES = 2**21
_TOGETHER = 2**22  # voxels


@dataclass(frozen=True)
class OmeZarr:
    """An OME-Zarr 0.5 image to be filled block by block; `create` or `open` makes one.

    The store holds the axes in OME-NGFF's order, T, C, Z, Y, X, with color samples (S) as
    channels. All that is given and returned here is in the order of `axes`, the source's.

    Attributes
    ----------
    path : Path
        Of the store, a folder.
    axes : str
        One letter an axis.
    arrays : tuple of zarr.Array
        All levels, as the store has them.
    """

    path: Path
    axes: str
    arrays: tuple[Array[Any], ...]

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
        chunks: tuple[int, ...] | None = None,
        source: tuple[int, ...] | None = None,
    ) -> OmeZarr:
        """Create a store with all its levels, all zero.

        Parameters
        ----------
        path : str or path
            Where nothing is yet.
        shape : sequence of int
            Of the array.
        dtype : dtype
            An integer of up to 32 bits, float32 or float64.
        space : Space
            The axes, and where the voxels lie.
        name : str
            Of the image.
        attributes : mapping, optional
            JSON-able: goes beside the metadata, as ``{"napari_noiser": provenance}``.
        chunks : tuple of int, optional
            By default planes of at most 1024 x 1024 with all samples, and as many along Z, or
            else T, as make 2 MiB.
        source : tuple of int, optional
            The chunks of the array that it will be filled from. Of chunks that hold many planes
            the default's are no wider than such that a block of whole ones stays small.

        Returns
        -------
        OmeZarr
            To be filled.

        Raises
        ------
        FileExistsError
            If there is something at the path.
        TypeError
            If the attributes are not JSON-able.
        ValueError
            If shape, dtype, axes or attributes cannot be stored so.
        """
        from yaozarrs.write.v05 import prepare_image

        shape, dtype = stored_shape(shape, space), stored_type(dtype)
        if {"C", "S"} <= set(space.axes):
            raise InputError(
                "axes",
                f"{space.axes!r} cannot be stored: OME-Zarr has one axis for both channels "
                "(C) and color samples (S); a TIFF file holds both",
            )
        if "ome" in (attributes or {}):
            raise InputError("", "attributes must not have the key 'ome', which is OME-Zarr's own")
        as_json(attributes or {})  # or it would fail with half a store written
        if chunks is None:
            chunks = _chunks(shape, dtype.itemsize, space.axes, source)
        levels = level_shapes(shape, chunks, _halved(space.axes))
        order = axis_order(space.axes, _ORDER)
        _, arrays = prepare_image(
            Path(path),
            image_model(space, shape, dtype, name, order, len(levels)),
            [(tuple(level[axis] for axis in order), dtype) for level in levels],
            chunks=tuple(chunks[axis] for axis in order),
            extra_attributes=dict(attributes or {}),
            writer="zarr",
        )
        return cls(Path(path), space.axes, tuple(arrays.values()))

    @classmethod
    def open(cls, path: str | PathLike[str], axes: str) -> OmeZarr:
        """Open a store that `create` made, to go on with it.

        Parameters
        ----------
        path : str or path
            Of the store.
        axes : str
            As it was created with.

        Returns
        -------
        OmeZarr
            To be filled further.

        Raises
        ------
        FileNotFoundError
            If there is no zarr group at the path.
        ValueError
            If it is no OME-Zarr 0.5 image with these axes, or was not created completely.
        """
        import zarr

        try:
            group: Any = zarr.open_group(str(path), mode="r+")
            multiscale = group.attrs["ome"]["multiscales"][0]
            arrays = tuple(group[dataset["path"]] for dataset in multiscale["datasets"])
            names = "".join(axis["name"] for axis in multiscale["axes"])
        except OSError:
            raise
        except Exception as error:  # zarr raises anything over a broken store
            kind = type(error).__name__
            message = f"{path} is no complete OME-Zarr 0.5 image: {kind} {error}"
            raise InputError("", message) from error
        order = axis_order(axes, _ORDER) if set(axes) <= set(_ORDER) else ()
        if "".join(axes[axis] for axis in order).replace("S", "C").lower() != names:
            raise InputError(
                "", f"{path} holds the axes {names!r}, which axes {axes!r} do not fit"
            )
        return cls(Path(path), axes, arrays)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of level 0."""
        return self._turned(self.arrays[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of all levels."""
        return np.dtype(self.arrays[0].dtype)

    @property
    def chunks(self) -> tuple[int, ...]:
        """What regions must start and end at multiples of, or at the array's end."""
        return self._turned(self.arrays[0].chunks)

    @property
    def levels(self) -> list[Any]:
        """All levels for a viewer: zarr arrays, or dask arrays where the order is another."""
        if self._order == tuple(range(len(self.axes))):
            return list(self.arrays)
        import dask.array as da

        back = self._turned(range(len(self.axes)))
        return [da.from_zarr(array).transpose(back) for array in self.arrays]

    def __setitem__(self, region: Slices, block: Any) -> None:
        """Write whole chunks of level 0."""
        region = self._aligned(region)
        values = check_block(block, region, self.dtype)
        self.arrays[0][self._stored(region)] = values.transpose(self._order)

    def finish(self, region: Slices) -> None:
        """Write what a region completes of the further levels.

        A chunk is written as soon as all that it is the mean of is there, and only once; a few
        chunks are in memory at a time. To finish a region again writes the same again.

        Parameters
        ----------
        region : tuple of slice
            Just written. The regions are the cells of a grid over the whole array, in the raster
            order of `axes`; they start and end at multiples of `chunks` or at the array's end.
        """
        part = self._stored(self._aligned(region))
        halved = [self._order.index(axis) for axis in _halved(self.axes)]
        chunks = self.arrays[0].chunks
        for fine, coarse in pairwise(self.arrays):
            part = completed(part, fine.shape, chunks, halved)
            for block in blocks(part, chunks):
                coarse[block] = _mean(fine, block, halved)

    def set_limits(self, lower: float, upper: float) -> None:
        """Say which values viewers show as black and as white, in all channels.

        Parameters
        ----------
        lower, upper : float
            In the image's values.

        Raises
        ------
        ValueError
            If `upper` is not above `lower`.
        """
        import zarr

        lower = check_float("lower", lower)
        upper = check_float("upper", upper, above=lower)
        group: Any = zarr.open_group(str(self.path), mode="r+")
        ome = dict(group.attrs["ome"])
        least, most = value_range(self.dtype)
        for channel in ome["omero"]["channels"]:
            full = {"min": min(least, lower), "max": max(most, upper)}
            channel["window"] = {**full, "start": lower, "end": upper}
        group.attrs["ome"] = ome

    @property
    def _order(self) -> tuple[int, ...]:
        return axis_order(self.axes, _ORDER)

    def _stored(self, region: Slices) -> Slices:
        return tuple(region[axis] for axis in self._order)

    def _turned(self, stored: Iterable[int]) -> tuple[int, ...]:
        """Return the store's values, one an axis, in the order of `axes`."""
        values = dict(zip(self._order, stored, strict=True))
        return tuple(values[axis] for axis in range(len(self.axes)))

    def _aligned(self, region: Slices) -> Slices:
        full = full_region(region, self.shape)
        for each, length, chunk in zip(full, self.shape, self.chunks, strict=True):
            if each.start % chunk or (each.stop % chunk and each.stop != length):
                raise InputError(
                    "region",
                    f"must start and end at multiples of the chunks {self.chunks} or at "
                    f"the array's end {self.shape}, got {region}",
                )
        return full


def _mean(fine: Any, block: Slices, halved: list[int]) -> NDArray[Any]:
    """Return a chunk of the next level, made of one parent at a time."""
    result = np.empty([each.stop - each.start for each in block], fine.dtype)
    half = tuple(
        -(-length // 2) if axis in halved else length for axis, length in enumerate(fine.chunks)
    )
    for part in blocks(tuple(slice(0, length) for length in result.shape), half):
        place = tuple(
            slice(each.start + whole.start, each.stop + whole.start)
            for each, whole in zip(part, block, strict=True)
        )
        result[part] = halve(np.asarray(fine[parents(place, fine.shape, halved)]), halved)
    return result


def _halved(axes: str) -> list[int]:
    return [axes.index("Y"), axes.index("X")]


def _chunks(
    shape: tuple[int, ...], itemsize: int, axes: str, source: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Return planes of a bounded side with all samples, several along Z or T if they are small."""
    source = (1,) * len(shape) if source is None else source
    most = {"Y": _SIDE, "X": _SIDE, "S": shape[axes.index("S")] if "S" in axes else 1}
    planes = prod(n for letter, n in zip(axes, source, strict=True) if letter in "TCZ")
    for letter in "YX" * 10:  # in turn
        chunk = source[axes.index(letter)]
        if planes * most["Y"] * most["X"] > _TOGETHER and most[letter] > chunk:
            most[letter] = max(chunk, most[letter] // 2)
    chunks = [min(most.get(a, 1), length) for a, length in zip(axes, shape, strict=True)]
    outer = [axis for axis, letter in enumerate(axes) if letter in "TZ"]
    if outer:
        planes = _BYTES // (prod(chunks) * itemsize)
        chunks[outer[-1]] = min(max(planes, 1), shape[outer[-1]])
    return tuple(chunks)
