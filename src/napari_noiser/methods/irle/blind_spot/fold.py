"""Fold a blind spot for one statistics group, to render tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.blind_spot.likelihood import BlindEstimate, Scaling, posterior_mean
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.network_input import NetworkInput, make_network_input
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.patches import Halo, Mirror, Scratch, pad_tile


@dataclass(frozen=True)
class FoldedBlindSpot:
    """A fitted blind spot for stabilized images with some moments of patches.

    The network, on the device to render on, sees values above `stabilized_black`. Stabilized, too,
    are the light whose response is 0, `output_offset`, what makes a response of 1 more, and the
    noise.
    """

    network: BlindSpot
    recipe: BlindSpotRecipe
    scaling: Scaling
    samples: int
    output_offset: float
    output_scale: float
    stabilized_black: float
    input_scale: float = 1.0
    noise_std: float = 1.0

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """To be subtracted from the input; replaces values that are not finite."""
        return np.full(self.samples, self.stabilized_black + self.scaling.center)

    @property
    def grid_period(self) -> int:
        """After how many pixels its grid repeats itself."""
        return self.recipe.grid

    def to(self, device: torch.device) -> FoldedBlindSpot:
        """Return the model on a device; itself if it is there."""
        if device == self.network.mask.device:
            return self
        return replace(self, network=self.network.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        The tile is (1, C, Y, X) or (1, C, Z, Y, X) in float32, stabilized and centered. A gain
        that is given is the logarithm in one channel more; left out, it is the mean of the images
        of the fit. The halo is less than the recipe's, and 1 along Z, only where the image ends.
        """
        light = [posterior_mean(*each) for each in self.estimates(tile, halo, corner)]
        offset = self.stabilized_black - self.output_offset
        response = (torch.cat(light) + offset) / self.output_scale
        return response if tile.ndim == 4 else response.transpose(0, 1)[None]

    def estimates(
        self, tile: Tensor, halo: Halo, corner: tuple[int, ...]
    ) -> Iterator[tuple[BlindEstimate, Tensor]]:
        """Yield, plane by plane, the estimates from the surroundings, and the pixels themselves.

        With a gain that is given, or none, no estimate depends on its own pixel, bit by bit on a
        CPU, at the image's border included.
        """
        values, given = tile[:, : self.samples], tile[:, self.samples :]
        if self.recipe.gain == "given" and not given.shape[1]:
            given = torch.full_like(values[:, :1], self.scaling.log_gain)
        tile = torch.cat([values + self.scaling.center, given], dim=1)
        needs = ((self.recipe.halo, self.grid_period),) * 2
        tile, (rows, columns) = pad_tile(
            tile, halo, corner, needs, mirror_phases(self.recipe.spacing)
        )
        for part in _with_neighbors(tile, halo[0]) if tile.ndim == 5 else [tile]:
            planes = make_network_input(part, self.recipe.gain)
            response = self._respond(planes)[..., rows, columns]
            yield self.scaling.estimate(response), planes.own[..., rows, columns]

    def _respond(self, planes: NetworkInput) -> Tensor:
        seen = self.scaling.normalize(planes.frames).contiguous(memory_format=torch.channels_last)
        response: Tensor = self.network(seen, planes.log_gain - self.scaling.log_gain)
        return response


def _with_neighbors(volume: Tensor, halo: tuple[int, int]) -> Iterator[Tensor]:
    """Yield planes (1, C, 3, Y, X) between their neighbors, mirrored where the image ends."""
    last = volume.shape[2] - 1
    if last < 1:
        raise InputError(
            "", "a volume must have 2 planes at least for a model that sees neighbors"
        )
    for at in range(halo[0], last + 1 - halo[1]):
        around = (abs(at - 1), at, last - abs(last - at - 1))
        yield volume[:, :, around]


def mirror_phases(spacing: int) -> Mirror:
    """Return a mirror at the image's border for each phase of pixels by itself.

    Phases never meet in the network, so that no pixel meets a copy of itself.
    """

    def mirror(before: int, length: int, after: int) -> Tensor:
        pixels = torch.arange(-before, length + after)
        phase = pixels.remainder(spacing).clamp_max(length - 1)
        cell = pixels.div(spacing, rounding_mode="floor")
        last = (length - 1 - phase).div(spacing, rounding_mode="floor")
        period = (2 * last).clamp_min(1)
        cell = cell.remainder(period)
        return torch.minimum(cell, (period - cell).clamp_max(last)) * spacing + phase

    return mirror
