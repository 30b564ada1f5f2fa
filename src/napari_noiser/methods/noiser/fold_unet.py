"""Fold the moments of patches into a U-Net: a network without statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.methods.noiser.fold import FoldedFirstLayer
from napari_noiser.methods.noiser.standardize_output import OutputStandardization
from napari_noiser.methods.noiser.unet import neighbors_as_channels, respond, unet_radius
from napari_noiser.methods.patches import Halo, Scratch, pad_tile

_TOGETHER = 2**20  # pixels of a volume's planes that keep an accelerator busy


@dataclass(frozen=True)
class FoldedUNet:
    """A U-Net folded for one statistics group, to render tile by tile.

    Input is treated as by `napari_noiser.methods.noiser.fold.FoldedSRM`; the first of the
    convolutions is the folded one. A response of 0 is `output_offset`, the mean of all samples;
    `output_scale` is the light that makes a response of 1 more; `noise_std` the standard deviation
    of the noise: all in the image's units.
    """

    input_offset: NDArray[np.float64]
    input_scale: float
    weights: Mapping[str, Tensor]
    scales: int
    output_offset: float
    output_scale: float
    noise_std: float

    @property
    def grid_period(self) -> int:
        """After how many pixels the grid of the coarsest scale repeats itself."""
        return int(2 ** (self.scales - 1))

    def to(self, device: torch.device) -> FoldedUNet:
        """Return the same network on a device; itself if it is there."""
        if device == self.weights["first_weight"].device:
            return self
        return replace(
            self, weights={name: each.to(device) for name, each in self.weights.items()}
        )

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds.

        The tile is (1, C, Y, X) or (1, C, Z, Y, X) in float32, centered and scaled. Its halo is
        less than `unet_radius`, and 1 along Z, only where the image ends. There it is mirrored:
        repeated, the noise of its edge would look like strands. The coarser scales stand on a grid
        of the image's, whatever tile is cut out of it: the tile's first voxel, halo included, lies
        at `corner`.
        """
        in_plane = (unet_radius(self.scales), self.grid_period)
        needs = (*((1, 1),) * (len(halo) - 2), in_plane, in_plane)
        tile, inner = pad_tile(tile, halo, corner, needs)
        *_, rows, columns = inner
        if tile.ndim == 4:
            return respond(self.weights, tile, self.scales)[..., rows, columns]
        planes = [
            respond(self.weights, each, self.scales)[..., rows, columns]
            for each in _with_neighbors(tile)
        ]
        return torch.cat(planes).transpose(0, 1)[None]


def _with_neighbors(volume: Tensor) -> Iterator[Tensor]:
    """Yield the planes of one volume between their neighbors, as many as suit the device.

    On a CPU one by one: their hidden channels would leave the caches.
    """
    pixels = prod(volume.shape[-2:])
    many = 1 if volume.device.type == "cpu" else max(1, _TOGETHER // pixels)
    last = volume.shape[2] - 2
    for first in range(0, last, many):
        yield neighbors_as_channels(volume[:, :, first : min(first + many, last) + 2])


def fold_unet(
    weights: Mapping[str, Tensor],
    scales: int,
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    device: torch.device,
) -> FoldedUNet:
    """Turn a U-Net and the moments of an image's patches into a network without statistics.

    Its response is the light, standardized as `napari_noiser.methods.noiser.standardize_output`
    says; moments are those of `napari_noiser.methods.noiser.fold.fold`.
    """
    first = FoldedFirstLayer.of(weights["first_weight"], mean, covariance)
    shown = OutputStandardization.of(mean, covariance, len(first.input_offset))
    gain = first.input_scale / shown.scale
    offset = (first.input_offset - shown.offset) / shown.scale
    on_device = {name: _channels_last(each).to(device) for name, each in weights.items()}
    return FoldedUNet(
        first.input_offset,
        first.input_scale,
        on_device
        | {
            "first_weight": _channels_last(first.weight).to(device),
            "first_bias": first.bias.to(device),
            "last_weight": on_device["last_weight"] * gain,
            "last_bias": on_device["last_bias"] * gain
            + torch.tensor(offset).to(device, torch.float32),
        },
        scales,
        shown.offset,
        shown.scale,
        shown.noise_std,
    )


def _channels_last(weight: Tensor) -> Tensor:
    """Return weights in the layout of what they are multiplied with: a fifth faster on a CPU."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight
