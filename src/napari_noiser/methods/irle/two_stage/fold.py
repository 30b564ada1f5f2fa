"""Fold both stages for one statistics group, to render tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot, mirror_phases
from napari_noiser.methods.irle.blind_spot.likelihood import posterior_mean
from napari_noiser.methods.irle.retinex.fold import display_to_response
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.irle.two_stage.illumination_gain import illumination_log_gain
from napari_noiser.methods.patches import Halo, Scratch, pad_tile


@dataclass(frozen=True)
class Levels:
    """The counts above stage 2's black that stage 1 takes for 0 and for 1."""

    black: float
    white: float

    def normalize(self, counts: Tensor) -> Tensor:
        """Return counts in these levels."""
        return (counts - self.black) / (self.white - self.black)


@dataclass(frozen=True)
class FoldedTwoStage:
    """Stage 2, whose gain is given, guided by the illumination of stage 1.

    Both take `halo` pixels around a tile together, and their grids repeat themselves after
    `grid_period` pixels.
    """

    retinex: Retinex
    levels: Levels
    blind: FoldedBlindSpot
    counts: StabilizedCounts
    halo: int
    grid_period: int
    input_scale: float = 1.0

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """That of stage 2."""
        return self.blind.input_offset

    def to(self, device: torch.device) -> Self:
        """Return both stages on a device."""
        return replace(self, retinex=self.retinex.to(device), blind=self.blind.to(device))

    def run_stages(
        self, tile: Tensor, halo: Halo, corner: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, tuple[EllipsisType | slice, ...]]:
        """Return what both stages return of a tile, mirrored where the image ends.

        The illumination, (1, 1, Y, X), the denoised tile, (1, C, Y, X), stabilized, above black,
        and the part of both without the halo.
        """
        needs = ((self.halo, self.grid_period),) * 2
        wide, inner = pad_tile(tile, halo, corner, needs, mirror_phases(self.blind.recipe.spacing))
        counts = self.counts.invert(wide + self.blind.scaling.center)
        illumination = self.retinex.illumination(self.levels.normalize(counts))
        guided = torch.cat([wide, illumination_log_gain(illumination)], dim=1)
        no_halo = ((0, 0), (0, 0))
        ((estimate, observed),) = self.blind.estimates(guided, no_halo, (0, 0))
        return illumination, posterior_mean(estimate, observed), (..., *inner)


@dataclass(frozen=True)
class FoldedTwoStageDenoiser(FoldedTwoStage):
    """Both stages as a denoiser: the response is the denoised light, standardized."""

    noise_std: float = 1.0

    @property
    def output_offset(self) -> float:
        """The light whose response is 0, stabilized."""
        return self.blind.output_offset

    @property
    def output_scale(self) -> float:
        """The light that makes a response of 1 more, stabilized."""
        return self.blind.output_scale

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds."""
        _, denoised, inner = self.run_stages(tile, halo, corner)
        offset = self.blind.stabilized_black - self.output_offset
        return (denoised[inner] + offset) / self.output_scale


@dataclass(frozen=True)
class FoldedTwoStageDisplay(FoldedTwoStage):
    """Both stages as a display: the response before tanh of the denoised reflectance."""

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        ``(tanh(response) + 1) / 2`` is the reflectance of the denoised light in the illumination
        of the dark image: best of all orders of the stages on what was measured.
        """
        illumination, denoised, inner = self.run_stages(tile, halo, corner)
        light = self.levels.normalize(self.counts.invert_mean(denoised))
        return display_to_response(self.retinex.reflectance(light, illumination)[inner])
