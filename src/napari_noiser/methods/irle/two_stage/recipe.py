"""A recipe of both stages: illumination first, then denoising guided by its gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_text, check_type
from napari_noiser.methods.irle import STAGE_1
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe


@dataclass(frozen=True, kw_only=True)
class IRLERecipe:
    """How both stages are fitted.

    Parameters
    ----------
    name : str
        What the recipe and its model are called.
    retinex : RetinexRecipe
        Of stage 1: illumination and reflectance.
    denoiser : BlindSpotRecipe
        Of stage 2: its gain is given, by stage 1.

    Raises
    ------
    ValueError, TypeError
        If a value is none of these, or the denoiser's gain comes from elsewhere.
    """

    name: str = "irle"
    retinex: RetinexRecipe = field(default_factory=RetinexRecipe)
    denoiser: BlindSpotRecipe = field(default_factory=lambda: BlindSpotRecipe(gain="given"))

    def __post_init__(self) -> None:
        check_fields(self, check_text, "name")
        check_fields(self, check_type, "retinex", kind=RetinexRecipe)
        check_fields(self, check_type, "denoiser", kind=BlindSpotRecipe)
        if self.denoiser.gain != "given":
            raise InputError(
                "denoiser",
                f"must take a gain that is given, by stage 1: gain='given', "
                f"got {self.denoiser.gain!r}",
            )

    @property
    def iterations(self) -> int:
        """Steps of both fits."""
        return self.retinex.iterations + self.denoiser.iterations

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-able values."""
        return {
            "name": self.name,
            "iterations": self.iterations,
            STAGE_1: self.retinex.to_dict(),
            "denoiser": self.denoiser.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IRLERecipe:
        """Rebuild a recipe from what `to_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a field is missing, unknown or outside its range.
        """
        known = {"name", "iterations", STAGE_1, "denoiser"}
        if set(values) != known:
            raise InputError(
                "", f"a recipe of both stages takes {sorted(known)}, got {sorted(values)}"
            )
        return cls(
            name=values["name"],
            retinex=RetinexRecipe.from_dict(values[STAGE_1]),
            denoiser=BlindSpotRecipe.from_dict(values["denoiser"]),
        )
