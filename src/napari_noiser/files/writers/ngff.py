"""The metadata of an OME-Zarr 0.5 image: its axes, the places of its levels, its look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noiser.files.spatial_metadata import SpatialMetadata

if TYPE_CHECKING:
    from yaozarrs import v05

__all__ = ["image_model", "value_range"]

_COLORS = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"), ("alpha", "FFFFFF"))
_DYES = ("FF00FF", "00FF00", "00FFFF", "FFFF00", "FF0000", "0000FF")


def image_model(
    space: SpatialMetadata,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    order: Sequence[int],
    levels: int,
) -> v05.Image:
    """Return the metadata of an image with a pyramid.

    Parameters
    ----------
    space : Space
        Of level 0.
    shape : tuple of int
        Of level 0.
    dtype : dtype
        Of all levels.
    name : str
        Of the image.
    order : sequence of int
        Which of the axes are the store's first, second, ...
    levels : int
        How many there are; Y and X are halved from one to the next.

    Returns
    -------
    yaozarrs.v05.Image
        Validated.
    """
    from yaozarrs import v05

    multiscale = v05.Multiscale(
        name=name,
        axes=[_axis(space.axes[axis], space.units[axis]) for axis in order],
        datasets=[_dataset(space, order, level) for level in range(levels)],
        type="mean",
    )
    lengths = dict(zip(space.axes, shape, strict=True))
    return v05.Image(multiscales=[multiscale], omero=_look(space, lengths, dtype))


def value_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the least and the largest value of a type; 0 and 1 of floats."""
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
    """Return the place of a level: the center of a mean lies amid those that it is of."""
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


def _look(space: SpatialMetadata, lengths: dict[str, int], dtype: np.dtype[Any]) -> v05.Omero:
    """Return a color for each channel: red, green, blue for samples, one each for dyes."""
    from yaozarrs import v05

    n_channels = lengths.get("C", 1)
    named: Sequence[tuple[str, str]] = [
        (f"channel {i}", _DYES[i % len(_DYES)] if n_channels > 1 else "FFFFFF")
        for i in range(n_channels)
    ]
    if len(space.channels) == n_channels:
        named = [
            (each.name or name, each.color or color)
            for each, (name, color) in zip(space.channels, named, strict=True)
        ]
    if lengths.get("S", 1) > 1:
        named = _COLORS[: lengths["S"]]
    least, most = value_range(dtype)
    window = v05.OmeroWindow(start=least, end=most, min=least, max=most)
    channels = [
        v05.OmeroChannel(label=label, color=color, window=window, active=label != "alpha")
        for label, color in named
    ]
    return v05.Omero(channels=channels)
