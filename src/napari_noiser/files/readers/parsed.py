"""What an opened file holds: an array, and what the file itself says of its axes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from napari_noiser._errors import InputError
from napari_noiser.arrays.layout import DEFAULT_AXES
from napari_noiser.files.spatial_metadata import Channel, SpatialMetadata

__all__ = ["UNNAMED", "AxisPlacement", "ParsedFile"]

UNNAMED = "?"
"""The name of an axis that a file does not name."""


class AxisPlacement(NamedTuple):
    """The step along an axis, the position of its first voxel, and their unit."""

    step: float = 1.0
    start: float = 0.0
    unit: str = ""


@dataclass(frozen=True)
class ParsedFile:
    """What a file holds.

    Attributes
    ----------
    array : array
        Anything with a shape, a dtype and slicing.
    names : tuple of str
        Of its axes: a letter of TCZYXS, `UNNAMED`, or what the file calls an axis otherwise.
    places : mapping
        Where the voxels lie along an axis, by its letter; as far as the file says.
    single : set of str
        The letters of axes of length 1 that the file tells of and the array has not.
    channels : tuple of Channel
        What the file says of them, in the order of C.
    """

    array: Any
    names: tuple[str, ...]
    places: Mapping[str, AxisPlacement] = field(default_factory=dict)
    single: Set[str] = frozenset()
    channels: tuple[Channel, ...] = ()

    def space(self, axes: str | None) -> SpatialMetadata:
        """Return where the voxels lie, with the given axes or the file's own.

        Parameters
        ----------
        axes : str, optional
            They win over the file's; steps and units are kept where both name the same axis.

        Returns
        -------
        Space
            Its axes are those of the array.

        Raises
        ------
        ValueError
            If the axes do not fit, or are left out and the file does not tell them.
        """
        if axes is None:
            axes = self._own_axes()
        given = axes
        if len(given) > len(self.names):
            axes = "".join(letter for letter in given if letter not in self.single)
        if len(axes) != len(self.names):
            raise InputError(
                "axes",
                f"{given!r} names {len(given)} axes, but the image has {len(self.names)}: "
                f"shape {tuple(self.array.shape)}",
            )
        lengths = dict(zip(axes, self.array.shape, strict=True))
        told = len(self.channels) == lengths.get("C") and any(map(any, self.channels))
        places = [
            self.places.get(letter, AxisPlacement())
            if name in (letter, UNNAMED)
            else AxisPlacement()
            for letter, name in zip(axes, self.names, strict=True)
        ]
        return SpatialMetadata(
            axes,
            tuple(place.step for place in places),
            tuple(place.start for place in places),
            tuple(place.unit for place in places),
            self.channels if told else (),
        )

    def _own_axes(self) -> str:
        """Return the file's axes; YX, ZYX, TZYX or TCZYX if it names no others than Y and X."""
        names = self.names
        if set(names) <= set("TCZYXS") and len(set(names)) == len(names):
            return "".join(names)
        plain = {*names[:-2]} <= {UNNAMED} and names[-2:] in (("Y", "X"), (UNNAMED, UNNAMED))
        if plain and len(names) in DEFAULT_AXES:
            return DEFAULT_AXES[len(names)]
        raise InputError(
            "",
            f"its axes are {', '.join(names) or 'none'} (shape {tuple(self.array.shape)}; "
            f"{UNNAMED}: not named): say what they are with axes=, one letter of TCZYXS for each",
        )
