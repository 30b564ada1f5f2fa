"""Illumination and reflectance of images of any size: tile by tile as in one piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.noiser.mirror_padding import pad_tile
from napari_noiser.methods.patches import Halo

__all__ = ["RetinexRendering"]


@dataclass(frozen=True)
class RetinexRendering:
    """Fitted networks on the device to render on.

    Attributes
    ----------
    network : Retinex
        On the device.
    samples : int
        1 gray, 3 RGB.
    black, white : float
        The light that stands for 0 and for 1.
    step : int
        After how many pixels the grid of the coarsest scale repeats itself.
    halo : int
        How many pixels around a tile are needed.
    """

    network: Retinex
    samples: int
    black: float
    white: float
    step: int
    halo: int

    @torch.no_grad()
    def __call__(
        self, dark: Tensor, clean: Tensor, halo: Halo, corner: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return illumination and reflectance of the part of a tile that its halo surrounds.

        Parameters
        ----------
        dark : Tensor
            (N, C, Y, X) in float32, in the images' units, with its halo: what the illumination
            is taken from.
        clean : Tensor
            The same place, denoised, in the same units: what the reflectance is taken from. Of
            an image that is not denoised `dark` itself.
        halo : ((int, int), (int, int))
            What the tile carries around it, in y and x; less than the model's only where the image
            ends. There it is mirrored.
        corner : (int, int)
            Where in the image the tile's first pixel lies, halo included.

        Returns
        -------
        light : Tensor
            (N, 1, Y, X) in [0.005, 1], where 1 is the model's white.
        reflectance : Tensor
            (N, C, Y, X) in [0, 1].

        Raises
        ------
        ValueError
            If the tiles have other channels than the model, or not one shape.
        """
        self._check(dark, clean)
        needs = ((self.halo, self.step),) * 2
        dark, _ = pad_tile(dark, halo, corner, needs)
        clean, (rows, columns) = pad_tile(clean, halo, corner, needs)
        light = self.network.illumination(self._levelled(dark))
        reflectance = self.network.reflectance(self._levelled(clean), light)
        return light[..., rows, columns], reflectance[..., rows, columns].clamp(0, 1)

    def _levelled(self, image: Tensor) -> Tensor:
        return (image - self.black) / (self.white - self.black)

    def _check(self, dark: Tensor, clean: Tensor) -> None:
        if dark.ndim != 4 or dark.shape[1] != self.samples or not dark.numel():
            raise InputError("dark", f"must be (N, {self.samples}, Y, X), got {tuple(dark.shape)}")
        if clean.shape != dark.shape:
            raise InputError(
                "clean",
                f"must have the shape of dark, {tuple(dark.shape)}, got {tuple(clean.shape)}",
            )
