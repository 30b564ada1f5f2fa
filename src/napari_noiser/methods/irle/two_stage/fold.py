"""Both stages for one exposure, ready to render tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot, phases
from napari_noiser.methods.irle.blind_spot.likelihood import posterior_mean
from napari_noiser.methods.irle.retinex.fold import as_response
from napari_noiser.methods.irle.retinex.illumination_gain import log_gain_of
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.noiser.mirror_padding import pad_tile
from napari_noiser.methods.patches import Halo, Scratch

__all__ = ["FoldedTwoStageDenoiser", "FoldedTwoStageDisplay", "Levels"]


@dataclass(frozen=True)
class Levels:
    """The counts above stage 2's black that stand for 0 and for 1."""

    black: float
    white: float

    def of(self, counts: Tensor) -> Tensor:
        """Return counts in these levels."""
        return (counts - self.black) / (self.white - self.black)


@dataclass(frozen=True)
class FoldedTwoStageDenoiser:
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
    grid_period : int
        After how many pixels the grids of both repeat themselves.
    """

    light: Retinex
    levels: Levels
    blind: FoldedBlindSpot
    counts: StabilizedCounts
    halo: int
    grid_period: int

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """As of `FoldedBlindSpot`."""
        return self.blind.input_offset

    @property
    def input_scale(self) -> float:
        """As of `FoldedBlindSpot`."""
        return self.blind.input_scale

    @property
    def output_offset(self) -> float:
        """The light whose response is 0, stabilized."""
        return self.blind.output_offset

    @property
    def output_scale(self) -> float:
        """The light that makes a response of 1 more, stabilized."""
        return self.blind.output_scale

    @property
    def noise_std(self) -> float:
        """That of stabilized values."""
        return self.blind.noise_std

    def to(self, device: torch.device) -> FoldedTwoStageDenoiser:
        """Return the same on a device."""
        return replace(self, light=self.light.to(device), blind=self.blind.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds."""
        stages = self.stages(tile, halo, corner)
        return (
            stages.inside(stages.clean) + (self.blind.dark - self.output_offset)
        ) / self.output_scale

    def stages(self, tile: Tensor, halo: Halo, corner: tuple[int, ...]) -> Stages:
        """Return what both stages make of a tile that is mirrored where the image ends."""
        needs = ((self.halo, self.grid_period),) * 2
        wide, inner = pad_tile(tile, halo, corner, needs, phases(self.blind.recipe.spacing))
        seen = wide + self.blind.scaling.center
        light = self.light.illumination(self.levels.of(self.counts.read(seen)))
        guided = torch.cat([wide, log_gain_of(light)], dim=1)
        nowhere = ((0, 0), (0, 0))
        ((estimate, read),) = self.blind.blind(guided, nowhere, (0, 0))
        return Stages(light, posterior_mean(estimate, read), inner)


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
class FoldedTwoStageDisplay:
    """Both stages: the response before tanh of the denoised reflectance, a display."""

    restoration: FoldedTwoStageDenoiser

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """As of `FoldedTwoStageDenoiser`."""
        return self.restoration.input_offset

    @property
    def input_scale(self) -> float:
        """As of `FoldedTwoStageDenoiser`."""
        return self.restoration.input_scale

    @property
    def grid_period(self) -> int:
        """As of `FoldedTwoStageDenoiser`."""
        return self.restoration.grid_period

    def to(self, device: torch.device) -> FoldedTwoStageDisplay:
        """Return the same on a device."""
        return FoldedTwoStageDisplay(self.restoration.to(device))

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
