"""Fold stage 1 for one statistics group, to render tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.patches import Halo, Scratch, pad_tile

_LEAST = 1e-3  # of a display, whose response before tanh must be finite


def display_to_response(display: Tensor) -> Tensor:
    """Return the response before tanh of a display in [0, 1], ``(tanh(response) + 1) / 2``."""
    return display.clamp(_LEAST, 1 - _LEAST).logit() / 2


@dataclass(frozen=True)
class RetinexRendering:
    """Networks of illumination and reflectance, applied to tiles in the images' units.

    `black` and `white` are the light that stands for 0 and for 1. A tile needs `halo` pixels
    around it; the grid of the coarsest scale repeats itself after `grid_period` pixels.
    """

    network: Retinex
    samples: int
    black: float
    white: float
    grid_period: int
    halo: int

    @torch.no_grad()
    def __call__(
        self, dark: Tensor, clean: Tensor, halo: Halo, corner: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return illumination and reflectance of the part of a tile that its halo surrounds.

        The illumination, (N, 1, Y, X) in [0.005, 1], is taken from `dark`, (N, C, Y, X) in
        float32, in the images' units; the reflectance, (N, C, Y, X) in [0, 1], from the same
        pixels denoised, or from `dark` itself. The halo is less than the model's only where the
        image ends: there it is mirrored. The tile's first pixel, halo included, lies at `corner`
        in the image.
        """
        self._check(dark, clean)
        needs = ((self.halo, self.grid_period),) * 2
        dark, _ = pad_tile(dark, halo, corner, needs)
        clean, (rows, columns) = pad_tile(clean, halo, corner, needs)
        illumination = self.network.illumination(self._normalize(dark))
        reflectance = self.network.reflectance(self._normalize(clean), illumination)
        inner = (..., rows, columns)
        return illumination[inner], reflectance[inner].clamp(0, 1)

    def _normalize(self, image: Tensor) -> Tensor:
        return (image - self.black) / (self.white - self.black)

    def _check(self, dark: Tensor, clean: Tensor) -> None:
        if dark.ndim != 4 or dark.shape[1] != self.samples or not dark.numel():
            raise InputError("dark", f"must be (N, {self.samples}, Y, X), got {tuple(dark.shape)}")
        if clean.shape != dark.shape:
            raise InputError(
                "clean",
                f"must have the shape of dark, {tuple(dark.shape)}, got {tuple(clean.shape)}",
            )


@dataclass(frozen=True)
class FoldedRetinex:
    """Stage 1 as a display: the response is that of the reflectance.

    Of an image that was stabilized, `camera` says how.
    """

    rendering: RetinexRendering
    camera: CameraNoise | None
    input_scale: float = 1.0

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """To be subtracted from the input; replaces values that are not finite."""
        black = self.rendering.black
        if self.camera is not None:
            black = StabilizedCounts(self.camera, black).stabilized_black
        return np.full(self.rendering.samples, black)

    @property
    def grid_period(self) -> int:
        """After how many pixels its grid repeats itself."""
        return self.rendering.grid_period

    def to(self, device: torch.device) -> FoldedRetinex:
        """Return the networks on a device."""
        network = self.rendering.network.to(device)
        return replace(self, rendering=replace(self.rendering, network=network))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds."""
        black, white = self.rendering.black, self.rendering.white
        above = tile if self.camera is None else StabilizedCounts(self.camera, black).invert(tile)
        # Counts themselves, of a large offset, would lose their digits in float32.
        rendering = replace(self.rendering, black=0.0, white=white - black)
        _, reflectance = rendering(above, above, halo, corner)
        return display_to_response(reflectance)
