"""Write an OME-Zarr 0.5 image block by block, its pyramid growing along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from napari_noiser.arrays.places import array_folder
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.common import (
    as_json,
    axis_order,
    check_block,
    check_dtype,
    check_shape,
    full_region,
    wrap_reading_error,
)
from napari_noiser.files.writers.pyramid import (
    blocks,
    completed_region,
    finer_region,
    halve,
    level_shapes,
)

if TYPE_CHECKING:
    from yaozarrs import v05
    from zarr import Array

_ORDER = "TCSZYX"  # of OME-NGFF, where color samples are channels
_SIDE = 1024  # pixels, of a chunk at most
_BYTES = 2**21  # of a chunk with several planes
_TOGETHER = 2**22  # voxels of a block
_SAMPLE_COLORS = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"), ("alpha", "FFFFFF"))
_CHANNEL_COLORS = ("FF00FF", "00FF00", "00FFFF", "FFFF00", "FF0000", "0000FF")


@dataclass(frozen=True)
class OmeZarr:
    """An OME-Zarr 0.5 image that is written block by block; `create` or `open` returns one.

    The store holds the axes in OME-NGFF's order, T, C, Z, Y, X, with color samples (S) as
    channels. All arguments and results here are in the order of `axes`.

    Parameters
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
        source_chunks: tuple[int, ...] | None = None,
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
        space : SpatialMetadata
            Of the array.
        name : str
            Of the image.
        attributes : mapping, optional
            JSON-able, of the group, as ``{"napari_noiser": provenance}``.
        chunks : tuple of int, optional
            By default planes of at most 1024 x 1024 with all samples, and as many along Z, or
            else T, as make 2 MiB.
        source_chunks : tuple of int, optional
            Of the array that it will be filled from. Where these hold many planes, the default
            chunks are narrower, so that a block of whole ones stays small.

        Returns
        -------
        OmeZarr
            All zero.

        Raises
        ------
        FileExistsError
            If the path exists.
        InputTypeError, InputError
            If shape, dtype, axes or attributes cannot be stored so.
        """
        from yaozarrs.write.v05 import prepare_image

        shape, dtype = check_shape(shape, space), check_dtype(dtype)
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
            chunks = _default_chunks(shape, dtype.itemsize, space.axes, source_chunks)
        levels = level_shapes(shape, chunks, _halved_axes(space.axes))
        order = axis_order(space.axes, _ORDER)
        _, arrays = prepare_image(
            Path(path),
            _image_metadata(space, shape, dtype, name, order, len(levels)),
            [(tuple(level[axis] for axis in order), dtype) for level in levels],
            chunks=tuple(chunks[axis] for axis in order),
            extra_attributes=dict(attributes or {}),
            writer="zarr",
        )
        return cls(Path(path), space.axes, tuple(arrays.values()))

    @classmethod
    def open(cls, path: str | PathLike[str], axes: str) -> OmeZarr:
        """Open a store that `create` made, to write more of it.

        Parameters
        ----------
        path : str or path
            Of the store.
        axes : str
            As it was created with.

        Returns
        -------
        OmeZarr
            As it was left.

        Raises
        ------
        FileNotFoundError
            If there is no zarr group at the path.
        InputError
            If it is no OME-Zarr 0.5 image with these axes, or was not created completely.
        """
        import zarr

        with wrap_reading_error(path, "OME-Zarr 0.5 image"):
            group: Any = zarr.open_group(str(path), mode="r+")
            multiscale = group.attrs["ome"]["multiscales"][0]
            arrays = tuple(group[dataset["path"]] for dataset in multiscale["datasets"])
            names = "".join(axis["name"] for axis in multiscale["axes"])
        order = axis_order(axes, _ORDER) if set(axes) <= set(_ORDER) else ()
        if "".join(axes[axis] for axis in order).replace("S", "C").lower() != names:
            raise InputError(
                "", f"{path} holds the axes {names!r}, which axes {axes!r} do not fit"
            )
        return cls(Path(path), axes, arrays)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of level 0."""
        return self._to_axes_order(self.arrays[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all levels."""
        return np.dtype(self.arrays[0].dtype)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The chunks of level 0: regions start and end at their multiples or the array's end."""
        return self._to_axes_order(self.arrays[0].chunks)

    @property
    def levels(self) -> list[Any]:
        """All levels for a viewer: zarr arrays, or dask arrays if the order of axes differs."""
        if self._order == tuple(range(len(self.axes))):
            return list(self.arrays)
        import dask.array as da

        back = self._to_axes_order(range(len(self.axes)))
        return [da.from_zarr(array).transpose(back) for array in self.arrays]

    def __setitem__(self, region: Slices, block: Any) -> None:
        """Write a block of whole chunks to level 0."""
        region = self._check_aligned(region)
        values = check_block(block, region, self.dtype)
        self.arrays[0][self._to_store_order(region)] = values.transpose(self._order)

    def finish(self, region: Slices) -> None:
        """Write the chunks of coarser levels that a region completes.

        A chunk is written once, as soon as all that it is the mean of is written; a few chunks
        are in memory at a time. Finishing a region again writes the same values again.

        Parameters
        ----------
        region : tuple of slice
            Just written. The regions are the cells of a grid over the whole array, in raster
            order; they start and end at multiples of `chunks` or at the array's end.
        """
        parts = self._parts(region)
        for (fine, _), (coarse, part) in pairwise(zip(self.arrays, parts, strict=True)):
            for block in blocks(part, fine.chunks):
                coarse[block] = _mean(fine, block, self._halved)

    def stored_sizes(self, region: Slices) -> list[int]:
        """Return the sizes of the files of a finished region, 0 for those that are not there.

        These are the chunks of all levels that `finish` wrote; one of zeros alone has no file.
        """
        return [
            _stored_size(array, block)
            for array, part in zip(self.arrays, self._parts(region), strict=True)
            for block in blocks(part, array.chunks)
        ]

    def set_limits(self, lower: float, upper: float) -> None:
        """Set the values that viewers show as black and as white, in all channels.

        Parameters
        ----------
        lower, upper : float
            In the image's values.

        Raises
        ------
        InputError
            If `upper` is not above `lower`.
        """
        import zarr

        lower = check_float("lower", lower)
        upper = check_float("upper", upper, above=lower)
        group: Any = zarr.open_group(str(self.path), mode="r+")
        ome = dict(group.attrs["ome"])
        minimum, maximum = _value_range(self.dtype)
        for channel in ome["omero"]["channels"]:
            full = {"min": min(minimum, lower), "max": max(maximum, upper)}
            channel["window"] = {**full, "start": lower, "end": upper}
        group.attrs["ome"] = ome

    def _parts(self, region: Slices) -> list[Slices]:
        """Return for each level the part of it that is complete once a region is written."""
        parts = [self._to_store_order(self._check_aligned(region))]
        for fine in self.arrays[:-1]:
            parts.append(completed_region(parts[-1], fine.shape, fine.chunks, self._halved))
        return parts

    @property
    def _halved(self) -> list[int]:
        return [self._order.index(axis) for axis in _halved_axes(self.axes)]

    @property
    def _order(self) -> tuple[int, ...]:
        return axis_order(self.axes, _ORDER)

    def _to_store_order(self, region: Slices) -> Slices:
        return tuple(region[axis] for axis in self._order)

    def _to_axes_order(self, in_store: Iterable[int]) -> tuple[int, ...]:
        """Return the store's values, one for each axis, in the order of `axes`."""
        values = dict(zip(self._order, in_store, strict=True))
        return tuple(values[axis] for axis in range(len(self.axes)))

    def _check_aligned(self, region: Slices) -> Slices:
        full = full_region(region, self.shape)
        for each, length, chunk in zip(full, self.shape, self.chunks, strict=True):
            if each.start % chunk or (each.stop % chunk and each.stop != length):
                raise InputError(
                    "region",
                    f"must start and end at multiples of the chunks {self.chunks} or at "
                    f"the array's end {self.shape}, got {region}",
                )
        return full


def _stored_size(array: Any, block: Slices) -> int:
    """Return the size of the file of one chunk of an array, 0 if there is none."""
    chunk = tuple(each.start // n for each, n in zip(block, array.chunks, strict=True))
    folder = array_folder(array)
    assert folder is not None  # it is on the disk
    try:
        return Path(folder, array.metadata.encode_chunk_key(chunk)).stat().st_size
    except FileNotFoundError:
        return 0


def _mean(fine: Any, block: Slices, halved: list[int]) -> NDArray[Any]:
    """Return a block of the next level, made from one chunk at a time."""
    result = np.empty([each.stop - each.start for each in block], fine.dtype)
    half = tuple(
        -(-length // 2) if axis in halved else length for axis, length in enumerate(fine.chunks)
    )
    for part in blocks(tuple(slice(0, length) for length in result.shape), half):
        region = tuple(
            slice(each.start + whole.start, each.stop + whole.start)
            for each, whole in zip(part, block, strict=True)
        )
        result[part] = halve(np.asarray(fine[finer_region(region, fine.shape, halved)]), halved)
    return result


def _halved_axes(axes: str) -> list[int]:
    return [axes.index("Y"), axes.index("X")]


def _default_chunks(
    shape: tuple[int, ...], itemsize: int, axes: str, source_chunks: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Return planes of a bounded side with all samples, several along Z or T if they are small."""
    source_chunks = source_chunks or (1,) * len(shape)
    sides = {"Y": _SIDE, "X": _SIDE, "S": shape[axes.index("S")] if "S" in axes else 1}
    planes = prod(n for letter, n in zip(axes, source_chunks, strict=True) if letter in "TCZ")
    for letter in "YX" * 10:  # in turn
        chunk = source_chunks[axes.index(letter)]
        if planes * sides["Y"] * sides["X"] > _TOGETHER and sides[letter] > chunk:
            sides[letter] = max(chunk, sides[letter] // 2)
    chunks = [min(sides.get(a, 1), length) for a, length in zip(axes, shape, strict=True)]
    outer = [axis for axis, letter in enumerate(axes) if letter in "TZ"]
    if outer:
        planes = _BYTES // (prod(chunks) * itemsize)
        chunks[outer[-1]] = min(max(planes, 1), shape[outer[-1]])
    return tuple(chunks)


def _image_metadata(
    space: SpatialMetadata,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    order: Sequence[int],
    levels: int,
) -> v05.Image:
    """Return the metadata of an image whose Y and X are halved from level to level.

    `order` says which of the axes are the store's first, second, ...
    """
    from yaozarrs import v05

    multiscale = v05.Multiscale(
        name=name,
        axes=[_axis(space.axes[axis], space.units[axis]) for axis in order],
        datasets=[_dataset(space, order, level) for level in range(levels)],
        type="mean",
    )
    lengths = dict(zip(space.axes, shape, strict=True))
    return v05.Image(multiscales=[multiscale], omero=_omero(space, lengths, dtype))


def _value_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the range of an integer dtype; 0 and 1 for floats."""
    if dtype.kind == "f":
        return 0.0, 1.0
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def _axis(letter: str, unit: str) -> v05.Axis:
    from yaozarrs import v05

    if letter in "CS":
        return v05.ChannelAxis(name="c")
    kind = v05.TimeAxis if letter == "T" else v05.SpaceAxis
    return kind(name=letter.lower(), unit=unit or None)


def _dataset(space: SpatialMetadata, order: Sequence[int], level: int) -> v05.Dataset:
    """Return a level's placement: a mean lies at the center of the voxels it is of."""
    from yaozarrs import v05

    factors = [2.0**level if letter in "YX" else 1.0 for letter in space.axes]
    scale = [space.scale[axis] * factors[axis] for axis in order]
    start = [space.translate[axis] + (factors[axis] - 1) / 2 * space.scale[axis] for axis in order]
    return v05.Dataset(
        path=str(level),
        coordinateTransformations=[
            v05.ScaleTransformation(scale=scale),
            v05.TranslationTransformation(translation=start),
        ],
    )


def _omero(space: SpatialMetadata, lengths: dict[str, int], dtype: np.dtype[Any]) -> v05.Omero:
    """Return names and colors of the channels: the file's, or red, green, blue of samples."""
    from yaozarrs import v05

    n_channels = lengths.get("C", 1)
    named: Sequence[tuple[str, str]] = [
        (f"channel {i}", _CHANNEL_COLORS[i % len(_CHANNEL_COLORS)] if n_channels > 1 else "FFFFFF")
        for i in range(n_channels)
    ]
    if len(space.channels) == n_channels:
        named = [
            (each.name or name, each.color or color)
            for each, (name, color) in zip(space.channels, named, strict=True)
        ]
    if lengths.get("S", 1) > 1:
        named = _SAMPLE_COLORS[: lengths["S"]]
    minimum, maximum = _value_range(dtype)
    window = v05.OmeroWindow(start=minimum, end=maximum, min=minimum, max=maximum)
    channels = [
        v05.OmeroChannel(label=label, color=color, window=window, active=label != "alpha")
        for label, color in named
    ]
    return v05.Omero(channels=channels)
