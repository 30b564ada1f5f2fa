"""The input of a blind spot: each plane of a tile, its neighbors and its gain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.blind_spot.recipe import BLOCK, GainSource
from napari_noiser.methods.noiser.unet import neighbors_as_channels

_LEAST_LIGHT = 0.1  # electrons


@dataclass(frozen=True)
class NetworkInput:
    """Planes to be estimated, in stabilized values above black: `own`, (N, C, Y, X).

    `frames` are each plane between its neighbors, (N, C * frames, Y, X), the frames of a sample
    together; `log_gain` is (N, 1, Y, X).
    """

    own: Tensor
    frames: Tensor
    log_gain: Tensor

    def to(self, device: torch.device) -> NetworkInput:
        """Return the planes on a device."""
        return NetworkInput(self.own.to(device), self.frames.to(device), self.log_gain.to(device))


def make_network_input(tile: Tensor, gain: GainSource) -> NetworkInput:
    """Return the planes of a tile of stabilized values that have all neighbors they need.

    The tile is (N, C, Y, X), or of volumes (N, C, Z, Y, X): their outermost planes are neighbors
    only. The logarithm of a gain that is given is its last channel.
    """
    values = tile[:, :-1] if gain == "given" else tile
    inner = tile if tile.ndim == 4 else _as_planes(tile[:, :, 1:-1])
    own = inner[:, : values.shape[1]]
    frames = values if tile.ndim == 4 else neighbors_as_channels(values)
    if gain == "given":
        log_gain = inner[:, -1:]
    elif gain == "light":
        log_gain = low_passed_log_gain(own)
    else:
        log_gain = torch.zeros_like(own[:, :1])
    return NetworkInput(own, frames, log_gain)


def low_passed_log_gain(values: Tensor) -> Tensor:
    """Return the logarithm of the gain that would bring the means of blocks to one electron.

    Of (N, C, Y, X) stabilized values above black; Y and X are multiples of `BLOCK`. Electrons are
    estimated as if there were no read noise: where it counts, light is in units of it.
    """
    electrons = values.square() / 4 + values * (3 / 8) ** 0.5
    light = functional.avg_pool2d(electrons.mean(1, keepdim=True), BLOCK)
    return interpolate_blocks(-light.clamp_min(_LEAST_LIGHT).log())


def interpolate_blocks(blocks: Tensor) -> Tensor:
    """Return a map (N, 1, Y, X) of one number a block, bilinear between the blocks' centers."""
    return functional.interpolate(blocks, scale_factor=BLOCK, mode="bilinear", align_corners=False)


def _as_planes(volumes: Tensor) -> Tensor:
    return volumes.transpose(1, 2).flatten(0, 1)
