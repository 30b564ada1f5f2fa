"""What a blind spot is given of a tile: each plane, its neighbors and its gain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_noiser.methods.irle.blind_spot.block_gain import low_passed_log_gain
from napari_noiser.methods.irle.blind_spot.recipe import GainSource
from napari_noiser.methods.noiser.unet import middle_planes

__all__ = ["NetworkInput", "make_network_input"]


@dataclass(frozen=True)
class NetworkInput:
    """Planes to be estimated, in stabilized values above black.

    Attributes
    ----------
    own : Tensor
        (N, C, Y, X).
    frames : Tensor
        The same between its neighbors, (N, C * frames, Y, X), all frames of a channel together.
    log_gain : Tensor
        (N, 1, Y, X).
    """

    own: Tensor
    frames: Tensor
    log_gain: Tensor

    def to(self, device: torch.device) -> NetworkInput:
        """Return the same on a device."""
        return NetworkInput(self.own.to(device), self.frames.to(device), self.log_gain.to(device))


def make_network_input(tile: Tensor, gain: GainSource) -> NetworkInput:
    """Return the planes of a tile that have all neighbors they need.

    Parameters
    ----------
    tile : Tensor
        (N, C, Y, X), or of volumes (N, C, Z, Y, X): their outermost planes are neighbors only.
        Stabilized values; with a gain that is given, its logarithm is the last channel.
    gain : {"light", "given", "none"}
        Where the gain comes from.
    """
    values = tile[:, :-1] if gain == "given" else tile
    inner = tile if tile.ndim == 4 else _as_planes(tile[:, :, 1:-1])
    own = inner[:, : values.shape[1]]
    frames = values if tile.ndim == 4 else middle_planes(values)
    if gain == "given":
        log_gain = inner[:, -1:]
    elif gain == "light":
        log_gain = low_passed_log_gain(own)
    else:
        log_gain = torch.zeros_like(own[:, :1])
    return NetworkInput(own, frames, log_gain)


def _as_planes(volumes: Tensor) -> Tensor:
    return volumes.transpose(1, 2).flatten(0, 1)
