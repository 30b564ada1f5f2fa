"""Every number that decides how a blind-spot network is fitted to images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import lcm
from typing import Any, Literal

from napari_noiser._errors import InputError
from napari_noiser._validation import (
    check_choice,
    check_field_names,
    check_fields,
    check_float,
    check_int,
    check_ints,
    check_text,
)

GainSource = Literal["light", "given", "none"]
"""Where a gain map comes from: the image's own light in blocks of 16 x 16 pixels, someone who
knows it, or nowhere: nothing is modulated."""

BLOCK = 16
"""Pixels a side. One number for 256 of them: a smoother map of as many numbers as pixels lets a
network take the low-pass back and see the very pixel that it must not see."""

BLOCK_REACH = 3 * BLOCK // 2
"""How far away a pixel can change what lies between the means of blocks, in pixels."""

_LARGEST_GRID = 64  # the least side of an image: a crop holds one period of the grid at least


@dataclass(frozen=True, kw_only=True)
class BlindSpotRecipe:
    """The layers of a blind-spot network, and how it is fitted.

    Parameters
    ----------
    name : str
        What the recipe and its model are called.
    iterations : int
        Steps of the fit, 1 or more. Of few pixels the noise is learned by heart in the end;
        without `jitter` on 1.6 million, 3000 steps did worse than 2000.
    width : int
        Hidden channels at the finest scale, 1 or more.
    scales : tuple of int
        Hidden channels at a half of the size, a quarter, and so on.
    blocks : int
        Gain-aware blocks at each scale on the way down, and on the way up, 1 or more.
    spacing : int
        How far apart the pixels of one phase are, 2 or more. A pixel's estimate sees the pixels
        of all phases but its own: of 4 x 4 pixels, 15.
    crop : int
        Side of a random crop in pixels; rounded down to whole periods of the `grid`.
    batch : int
        Crops a step, 1 or more.
    learning_rate : float
        The highest of one cycle that ends near 0, above 0.
    gain : {"light", "given", "none"}
        Where the gain map comes from that guides the network: the inverse of the image's own
        light in blocks of 16 x 16 pixels, a map that is given with each image, or nowhere.
    jitter : float
        Noise that is added to what the network sees while it is fitted: of up to so many standard
        deviations of the image's own, 0 or more. What it sees of a pixel's surroundings is then
        never twice the same, and the noise is not learned by heart so soon.

    Raises
    ------
    ValueError, TypeError
        If a value is outside its range; the message names the field.
    """

    name: str = "blind spot"
    iterations: int = 4000
    width: int = 32
    scales: tuple[int, ...] = (48,)
    blocks: int = 1
    spacing: int = 4
    crop: int = 96
    batch: int = 4
    learning_rate: float = 2e-3
    gain: GainSource = "none"
    jitter: float = 0.7

    def __post_init__(self) -> None:
        check_fields(self, check_text, "name")
        check_fields(self, check_int, "iterations", "width", "blocks", "batch")
        check_fields(self, check_ints, "scales")
        check_fields(self, check_int, "spacing", least=2)
        check_fields(self, check_float, "learning_rate", above=0.0)
        check_fields(self, check_float, "jitter", least=0.0)
        check_fields(self, check_choice, "gain", among=GainSource)
        if self.grid > _LARGEST_GRID:
            raise InputError(
                "spacing", f"and scales make a grid of {self.grid} pixels; at most {_LARGEST_GRID}"
            )
        check_fields(self, check_int, "crop", least=self.grid)

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden channels at every scale."""
        return (self.width, *self.scales)

    @property
    def grid(self) -> int:
        """After how many pixels phases, scales and the gain map's blocks all begin anew."""
        return lcm(self.spacing << len(self.scales), BLOCK)

    @property
    def radius(self) -> int:
        """How far away a pixel or its gain can change an estimate, in pixels.

        One pixel of its scale for each block; at the finest another one for what comes before,
        the masked convolution or the gain's adapter; and the place within the coarsest pixel.
        """
        reach = [self.spacing << at for at in range(len(self.widths))]
        blocks = self.blocks * (2 * sum(reach) - reach[-1])
        return self.spacing + blocks + (reach[-1] - self.spacing)

    @property
    def halo(self) -> int:
        """How many pixels around a tile its rendering needs.

        The radius; and where the gain is the image's light, the blocks that a gain at that
        distance lies between.
        """
        return self.radius + (BLOCK_REACH if self.gain == "light" else 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-able values."""
        return {**asdict(self), "scales": list(self.scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BlindSpotRecipe:
        """Rebuild a recipe from what `to_dict` returned.

        Raises
        ------
        ValueError, TypeError
            If a field is unknown or outside its range.
        """
        check_field_names(cls, values)
        return cls(**values)
