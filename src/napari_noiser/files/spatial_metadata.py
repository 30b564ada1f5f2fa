"""The axes of an array with their steps, origins and units, and the names of its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_axes, check_float, set_fields


class Channel(NamedTuple):
    """The name of a channel and its color as RRGGBB, each empty if unknown."""

    name: str = ""
    color: str = ""


@dataclass(frozen=True)
class SpatialMetadata:
    """The axes of an array, with the step, the origin and the unit of each, and its channels.

    Parameters
    ----------
    axes : str
        One letter an axis, in the array's order: T, C, Z, Y, X, and S for color samples.
    scale : tuple of float
        The step along each axis.
    translate : tuple of float
        The position of the first voxel's center.
    units : tuple of str
        As OME-NGFF spells them ("micrometer", "second"); empty where there is none.
    channels : tuple of Channel
        In the order of C; empty if unknown.

    Raises
    ------
    TypeError
        If the axes or a unit are no strings, or a step or a position is no number.
    ValueError
        If the axes are not of these letters, each once, with Y and X; if another parameter has
        not one value an axis; if a step is not above 0 or a position not finite.
    """

    axes: str
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    channels: tuple[Channel, ...] = ()

    def __post_init__(self) -> None:
        check_axes(self.axes)
        for name in ("scale", "translate", "units"):
            values = getattr(self, name)
            if isinstance(values, str) or len(values) != len(self.axes):
                raise InputError(
                    name, f"must have a value for each of the axes {self.axes!r}, got {values!r}"
                )
        if not all(isinstance(unit, str) for unit in self.units):
            raise InputTypeError("units", f"must be strings, got {self.units!r}")
        set_fields(  # of any type of number, numpy's included
            self,
            scale=tuple(check_float("scale", step, above=0.0) for step in self.scale),
            translate=tuple(check_float("translate", start) for start in self.translate),
            units=tuple(self.units),
            channels=tuple(Channel(*each) for each in self.channels),
        )

    @classmethod
    def pixels(cls, axes: str) -> SpatialMetadata:
        """Return metadata in pixels: steps of 1 from 0, and no units.

        Parameters
        ----------
        axes : str
            As in `SpatialMetadata`.

        Returns
        -------
        SpatialMetadata
            In which positions are indices.
        """
        count = len(axes)
        return cls(axes, (1.0,) * count, (0.0,) * count, ("",) * count)
