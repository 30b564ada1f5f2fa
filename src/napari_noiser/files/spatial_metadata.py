"""Where the voxels of an array lie - axes, steps, starts, units - and what its channels are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_float

__all__ = ["Channel", "SpatialMetadata"]


class Channel(NamedTuple):
    """What a channel is called, and its color as RRGGBB; each empty where nobody says."""

    name: str = ""
    color: str = ""


@dataclass(frozen=True)
class SpatialMetadata:
    """Where the voxels of an array lie.

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
        In the order of C; empty where nobody says.

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
        if not isinstance(self.axes, str):
            raise InputTypeError("axes", f"must be a string such as 'TZYX', got {self.axes!r}")
        letters = set(self.axes)
        if not letters <= set("TCZYXS") or len(letters) != len(self.axes):
            raise InputError("axes", f"takes each of T, C, Z, Y, X, S once, got {self.axes!r}")
        if not {"Y", "X"} <= letters:
            raise InputError("axes", f"must name Y and X, got {self.axes!r}")
        for name in ("scale", "translate", "units"):
            values = getattr(self, name)
            if isinstance(values, str) or len(values) != len(self.axes):
                raise InputError(
                    name, f"must have a value for each of the axes {self.axes!r}, got {values!r}"
                )
        if not all(isinstance(unit, str) for unit in self.units):
            raise InputTypeError("units", f"must be strings, got {self.units!r}")
        steps = tuple(check_float("scale", step, above=0.0) for step in self.scale)
        starts = tuple(check_float("translate", start) for start in self.translate)
        object.__setattr__(self, "scale", steps)  # of any type of number, numpy's included
        object.__setattr__(self, "translate", starts)
        object.__setattr__(self, "units", tuple(self.units))
        object.__setattr__(self, "channels", tuple(Channel(*each) for each in self.channels))

    @classmethod
    def pixels(cls, axes: str) -> SpatialMetadata:
        """Return a space in pixels: steps of 1 from 0, and no units.

        Parameters
        ----------
        axes : str
            As in `SpatialMetadata`.

        Returns
        -------
        Space
            In which positions are indices.
        """
        count = len(axes)
        return cls(axes, (1.0,) * count, (0.0,) * count, ("",) * count)
