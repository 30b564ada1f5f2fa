"""A fitted blind spot for one exposure, ready to render tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.blind_spot.likelihood import BlindEstimate, Scaling, posterior_mean
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.network_input import NetworkInput, make_network_input
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.noiser.mirror_padding import Mirror, pad_tile
from napari_noiser.methods.noiser.standardize_output import OutputStandardization
from napari_noiser.methods.patches import Halo, Scratch

if TYPE_CHECKING:
    from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel

__all__ = ["FoldedBlindSpot", "phases"]


@dataclass(frozen=True)
class FoldedBlindSpot:
    """A fitted blind spot for stabilized images with some moments of patches.

    Attributes
    ----------
    network : BlindSpot
        On the device to render on.
    recipe, scaling, samples
        Of the model.
    shown : Standard
        How its light is standardized.
    dark : float
        What black was stabilized to: the network sees what lies above.
    """

    network: BlindSpot
    recipe: BlindSpotRecipe
    scaling: Scaling
    samples: int
    shown: OutputStandardization
    dark: float

    @classmethod
    def of(
        cls,
        model: BlindSpotModel,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None,
    ) -> FoldedBlindSpot:
        """Return a model for an exposure with these patch moments of a camera, on a device."""
        return cls(
            model.network(device),
            model.recipe,
            model.scaling,
            model.samples,
            OutputStandardization.of(mean, covariance, model.samples),
            0.0 if camera is None else StabilizedCounts(camera, model.scaling.black).dark,
        )

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """To be subtracted from the input; what stands for a value that is not finite."""
        return np.full(self.samples, self.dark + self.scaling.center)

    @property
    def input_scale(self) -> float:
        """To divide the centered input by."""
        return 1.0

    @property
    def grid_period(self) -> int:
        """After how many pixels its grid repeats itself."""
        return self.recipe.grid

    @property
    def output_offset(self) -> float:
        """The light whose response is 0, stabilized."""
        return self.shown.offset

    @property
    def output_scale(self) -> float:
        """The light that makes a response of 1 more, stabilized."""
        return self.shown.scale

    @property
    def noise_std(self) -> float:
        """That of stabilized values."""
        return 1.0

    def to(self, device: torch.device) -> FoldedBlindSpot:
        """Return the same on a device; itself if it is there."""
        if device == self.network.mask.device:
            return self
        return replace(self, network=self.network.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        Parameters
        ----------
        tile : Tensor
            (1, C, Y, X) or (1, C, Z, Y, X) in float32, stabilized and centered, with its halo; a
            gain that is given is the logarithm in one channel more; left out, it is what it was
            on average in the images of the fit.
        halo : Halo
            What the tile carries of it; less than the recipe's, and 1 along Z, only where the
            image ends.
        scratch : Scratch
            Not needed.
        corner : tuple of int
            Where in the image the tile's first voxel lies, halo included.
        """
        light = [posterior_mean(*each) for each in self.blind(tile, halo, corner)]
        response = (torch.cat(light) + (self.dark - self.output_offset)) / self.output_scale
        return response if tile.ndim == 4 else response.transpose(0, 1)[None]

    def blind(
        self, tile: Tensor, halo: Halo, corner: tuple[int, ...]
    ) -> Iterator[tuple[BlindEstimate, Tensor]]:
        """Yield, plane by plane, what the surroundings of pixels say, and what was read there.

        With a gain that is given, or none, no estimate depends on its own pixel, bit by bit on a
        CPU; where the image ends, too.
        """
        values, given = tile[:, : self.samples], tile[:, self.samples :]
        if self.recipe.gain == "given" and not given.shape[1]:
            given = torch.full_like(values[:, :1], self.scaling.log_gain)
        tile = torch.cat([values + self.scaling.center, given], dim=1)
        needs = ((self.recipe.halo, self.grid_period),) * 2
        tile, (rows, columns) = pad_tile(tile, halo, corner, needs, phases(self.recipe.spacing))
        for part in _threes(tile, halo[0]) if tile.ndim == 5 else [tile]:
            planes = make_network_input(part, self.recipe.gain)
            response = self._respond(planes)[..., rows, columns]
            yield self.scaling.estimate(response), planes.own[..., rows, columns]

    def _respond(self, planes: NetworkInput) -> Tensor:
        seen = self.scaling.seen(planes.frames).contiguous(memory_format=torch.channels_last)
        response: Tensor = self.network(seen, planes.log_gain - self.scaling.log_gain)
        return response


def _threes(volume: Tensor, halo: tuple[int, int]) -> Iterator[Tensor]:
    """Yield planes (1, C, 3, Y, X) between their neighbors, mirrored where the image ends.

    Raises
    ------
    ValueError
        If there is but one plane: it would be its own neighbor, and see itself.
    """
    last = volume.shape[2] - 1
    if last < 1:
        raise InputError(
            "", "a volume must have 2 planes at least for a model that sees neighbors"
        )
    for at in range(halo[0], last + 1 - halo[1]):
        around = (abs(at - 1), at, last - abs(last - at - 1))
        yield volume[:, :, around]


def phases(spacing: int) -> Mirror:
    """Return how an image goes on where it ends: pixels of the same phase, mirrored.

    Phases never meet in the network, so that no pixel meets a copy of itself.
    """

    def mirror(before: int, length: int, after: int) -> Tensor:
        places = torch.arange(-before, length + after)
        phase = places.remainder(spacing).clamp_max(length - 1)
        cell = places.div(spacing, rounding_mode="floor")
        last = (length - 1 - phase).div(spacing, rounding_mode="floor")
        period = (2 * last).clamp_min(1)
        cell = cell.remainder(period)
        return torch.minimum(cell, (period - cell).clamp_max(last)) * spacing + phase

    return mirror
