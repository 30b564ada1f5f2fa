"""Every number that decides how illumination and reflectance are fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from napari_noiser._errors import InputError
from napari_noiser._validation import (
    check_field_names,
    check_fields,
    check_float,
    check_int,
    check_ints,
    check_text,
    check_type,
)

_MOST_SCALES = 4
_LEAST_CROP = 64  # its halves are whole patches of the spectral statistic


@dataclass(frozen=True, kw_only=True)
class RetinexLosses:
    """Weights of the losses of a fit, each 0 or more.

    Parameters
    ----------
    reconstruction : float
        Of L R against the image, relative to the local maximum. Well below the guide: pixel by
        pixel it would hold R to I / L, and leave brightness and colors as they are.
    smoothness : float
        Of steps of log L where the local maximum has none.
    guide : float
        Of R's low frequencies against those of the internal reference: brightness and color.
    structure : float
        Of local contrasts (IAP).
    spectrum : float
        Of R's mid bands against those of the other sub-image (SISC). A weak statistic, and one
        that asks for the noise's share of the mid bands, too: 0.1 at most.
    agreement : float
        Of the low frequencies of both sub-images' R with each other.

    Raises
    ------
    ValueError, TypeError
        If a value is outside its range; the message names the field.
    """

    reconstruction: float = 0.3
    smoothness: float = 0.1
    guide: float = 1.0
    structure: float = 0.3
    spectrum: float = 0.1
    agreement: float = 0.3

    def __post_init__(self) -> None:
        names = [item.name for item in fields(self)]
        check_fields(self, check_float, *names, least=0.0)
        check_fields(self, check_float, "spectrum", most=0.1)


@dataclass(frozen=True, kw_only=True)
class RetinexRecipe:
    """The layers of the two networks, and how they are fitted.

    Parameters
    ----------
    name : str
        What the recipe and its model are called.
    iterations : int
        Steps of the fit, 1 or more. Of few images, more steps come closer to the internal
        reference, and with it to its mistakes.
    widths : tuple of int
        Hidden channels of either network at full size, at a half of it, at a quarter; 1 to 4
        of them.
    crop : int
        Side of a crop in pixels, 64 or more, a multiple of twice the `step`.
    batch : int
        Crops a step, 1 or more.
    learning_rate : float
        The highest of one cycle that ends near 0, above 0.
    losses : RetinexLosses
        What is minimized.

    Raises
    ------
    ValueError, TypeError
        If a value is outside its range; the message names the field.
    """

    name: str = "retinex"
    iterations: int = 200
    widths: tuple[int, ...] = (16, 24, 32)
    crop: int = 128
    batch: int = 4
    learning_rate: float = 2e-3
    losses: RetinexLosses = RetinexLosses()

    def __post_init__(self) -> None:
        check_fields(self, check_text, "name")
        check_fields(self, check_int, "iterations", "batch")
        check_fields(self, check_ints, "widths")
        if not 1 <= len(self.widths) <= _MOST_SCALES:
            raise InputError("widths", f"must be 1 to {_MOST_SCALES} numbers, got {self.widths!r}")
        check_fields(self, check_int, "crop", least=_LEAST_CROP)
        check_fields(self, check_float, "learning_rate", above=0.0)
        check_fields(self, check_type, "losses", kind=RetinexLosses)
        if self.crop % (2 * self.step):
            raise InputError("crop", f"must be a multiple of {2 * self.step}, got {self.crop}")

    @property
    def step(self) -> int:
        """After how many pixels the grid of the coarsest scale repeats itself."""
        return int(2 ** (len(self.widths) - 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-able values."""
        return {**asdict(self), "widths": list(self.widths)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RetinexRecipe:
        """Rebuild a recipe from what `to_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a field is unknown or outside its range.
        """
        check_field_names(cls, values)
        check_field_names(RetinexLosses, values.get("losses", {}))
        return cls(**{**values, "losses": RetinexLosses(**values.get("losses", {}))})
