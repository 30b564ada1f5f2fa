"""The contents of an image file: an array, and the file's own metadata of its axes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from napari_noiser._errors import InputError
from napari_noiser.arrays.axis_names import UNNAMED, axis_letter, read_axes
from napari_noiser.arrays.layout import DEFAULT_AXES
from napari_noiser.files.spatial_metadata import Channel, SpatialMetadata


class AxisPlacement(NamedTuple):
    """The step along an axis, the position of its first voxel, and the unit of both."""

    step: float = 1.0
    start: float = 0.0
    unit: str = ""


@dataclass(frozen=True)
class ParsedFile:
    """The array of an image file and its metadata, as far as the file has them.

    `names` has a letter of TCZYXS, `UNNAMED` or what the file calls it for each axis, whatever
    the spelling; `placements` has those of the voxels by an axis' letter; `singletons` are the
    letters of axes of length 1 that the file names and the array has not, and `channels` stand in
    the order of C.
    """

    array: Any
    names: tuple[str, ...]
    placements: Mapping[str, AxisPlacement] = field(default_factory=dict)
    singletons: Set[str] = frozenset()
    channels: tuple[Channel, ...] = ()

    def spatial_metadata(self, axes: str | None) -> SpatialMetadata:
        """Return the spatial metadata for the given axes, or for the file's own.

        The given ones win; steps and units stay where both name the same axis.
        """
        if axes is None:
            axes = self._own_axes()
        given = axes
        if len(given) > len(self.names):
            axes = "".join(letter for letter in given if letter not in self.singletons)
        if len(axes) != len(self.names):
            raise InputError(
                "axes",
                f"{given!r} names {len(given)} axes, but the image has {len(self.names)}: "
                f"shape {tuple(self.array.shape)}",
            )
        lengths = dict(zip(axes, self.array.shape, strict=True))
        has_channels = len(self.channels) == lengths.get("C") and any(map(any, self.channels))
        placements = [
            self.placements.get(
                letter if axis_letter(name) in (letter, UNNAMED) else "", AxisPlacement()
            )
            for letter, name in zip(axes, self.names, strict=True)
        ]
        scale, translate, units = zip(*placements, strict=True)
        return SpatialMetadata(
            axes, scale, translate, units, self.channels if has_channels else ()
        )

    def _own_axes(self) -> str:
        """Return the file's axes, or the default ones if it names none but Y and X."""
        if (axes := read_axes(self.names)) is not None:
            return axes
        if len(self.names) in DEFAULT_AXES:
            return DEFAULT_AXES[len(self.names)]
        raise InputError(
            "axes",
            f"must be given, a letter of TCZYXS for each: it names none of its {len(self.names)} "
            f"(shape {tuple(self.array.shape)})",
        )
