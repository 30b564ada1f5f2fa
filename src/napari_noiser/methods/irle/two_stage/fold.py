"""Both stages for one exposure, ready to render tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot, phases
from napari_noiser.methods.irle.blind_spot.likelihood import with_own_pixel
from napari_noiser.methods.irle.retinex.fold import as_response
from napari_noiser.methods.irle.retinex.illumination_gain import log_gain_of
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.stabilized_counts import Counts
from napari_noiser.methods.noiser.mirror_padding import widened
from napari_noiser.methods.patches import Halo, Scratch

__all__ = ["FoldedReflectance", "FoldedRestoration", "Levels"]


@dataclass(frozen=True)
class Levels:
    """The counts above stage 2's black that stand for 0 and for 1."""

    black: float
    white: float

    def of(self, counts: Tensor) -> Tensor:
        """Return counts in these levels."""
        return (counts - self.black) / (self.white - self.black)


@dataclass(frozen=True)
class FoldedRestoration:
    """Stage 2 guided by stage 1: its response is the denoised light, standardized.

    Attributes
    ----------
    light : Retinex
        Stage 1, on the device to render on.
    levels : Levels
        Of its images.
    blind : FoldedBlindSpot
        Stage 2, whose gain is given.
    counts : Counts
        Of the image's camera.
    halo : int
        Pixels around a tile that both take together.
    step : int
        After how many pixels the grids of both repeat themselves.
    """

    light: Retinex
    levels: Levels
    blind: FoldedBlindSpot
    counts: Counts
    halo: int
    step: int

    @property
    def center(self) -> NDArray[np.float64]:
        """As of `FoldedBlindSpot`."""
        return self.blind.center

    @property
    def scale(self) -> float:
        """As of `FoldedBlindSpot`."""
        return self.blind.scale

    @property
    def middle(self) -> float:
        """The light whose response is 0, stabilized."""
        return self.blind.middle

    @property
    def unit(self) -> float:
        """The light that makes a response of 1 more, stabilized."""
        return self.blind.unit

    @property
    def noise(self) -> float:
        """That of stabilized values."""
        return self.blind.noise

    def to(self, device: torch.device) -> FoldedRestoration:
        """Return the same on a device."""
        return replace(self, light=self.light.to(device), blind=self.blind.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds."""
        stages = self.stages(tile, halo, corner)
        return (stages.inside(stages.clean) + (self.blind.dark - self.middle)) / self.unit

    def stages(self, tile: Tensor, halo: Halo, corner: tuple[int, ...]) -> Stages:
        """Return what both stages make of a tile that is mirrored where the image ends."""
        needs = ((self.halo, self.step),) * 2
        wide, inner = widened(tile, halo, corner, needs, phases(self.blind.recipe.spacing))
        seen = wide + self.blind.scaling.center
        light = self.light.illumination(self.levels.of(self.counts.read(seen)))
        guided = torch.cat([wide, log_gain_of(light)], dim=1)
        nowhere = ((0, 0), (0, 0))
        ((estimate, read),) = self.blind.blind(guided, nowhere, (0, 0))
        return Stages(light, with_own_pixel(estimate, read), inner)


@dataclass(frozen=True)
class Stages:
    """What both stages make of a tile.

    Attributes
    ----------
    light : Tensor
        (1, 1, Y, X), the illumination.
    clean : Tensor
        (1, C, Y, X), denoised, stabilized, above black.
    inner : tuple
        The part that is right; around it is the halo.
    """

    light: Tensor
    clean: Tensor
    inner: tuple[slice, ...]

    def inside(self, image: Tensor) -> Tensor:
        """Return the inner part of an image of the same size."""
        rows, columns = self.inner
        return image[..., rows, columns]


@dataclass(frozen=True)
class FoldedReflectance:
    """Both stages: the response before tanh of the denoised reflectance, a display."""

    restoration: FoldedRestoration

    @property
    def center(self) -> NDArray[np.float64]:
        """As of `FoldedRestoration`."""
        return self.restoration.center

    @property
    def scale(self) -> float:
        """As of `FoldedRestoration`."""
        return self.restoration.scale

    @property
    def step(self) -> int:
        """As of `FoldedRestoration`."""
        return self.restoration.step

    def to(self, device: torch.device) -> FoldedReflectance:
        """Return the same on a device."""
        return FoldedReflectance(self.restoration.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        ``(tanh(response) + 1) / 2`` is the reflectance of the denoised light, in the illumination
        that the dark image tells: best of all orders of the stages on what was measured.
        """
        both = self.restoration
        stages = both.stages(tile, halo, corner)
        levelled = both.levels.of(both.counts.mean(stages.clean))
        return as_response(stages.inside(both.light.reflectance(levelled, stages.light)))
