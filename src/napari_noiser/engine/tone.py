"""Where a display has its black, and how steep it may be, lest it lift noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_noiser.engine.background import BackgroundLevel
from napari_noiser.methods.base import Folded
from napari_noiser.methods.patches import Halo, Scratch

DARK = 0.05
"""What a background is shown as, from 0 to 1."""

_STEEPEST = 0.2  # of a response before tanh: a step as high as the noise is wide is hardly seen


@dataclass(frozen=True)
class Tone:
    """What becomes of a response, before brightness and contrast.

    Attributes
    ----------
    black : Tensor, shape (samples, 1, ...)
        The response to the background.
    gain : float
        What responses are multiplied with, at most 1.
    """

    black: Tensor
    gain: float

    @classmethod
    def of(
        cls,
        network: Folded,
        background_level: BackgroundLevel,
        integer_offset: float,
        ndim: int,
        device: torch.device,
    ) -> Tone:
        """Let a network respond to an image of nothing but background, and to one a bit brighter.

        Parameters
        ----------
        network : Folded
            For the statistics group that is shown.
        background_level : BackgroundLevel
            The background and the noise.
        integer_offset : float
            What the values are read against.
        ndim : int
            2 for planes, 3 for volumes.
        device : torch.device
            To respond on.
        """
        levels = np.resize(background_level.levels, len(network.input_offset)) - integer_offset
        black, brighter = (
            _to_flat(network, levels + step, ndim, device)
            for step in (0.0, background_level.noise)
        )
        slope = float((brighter - black).mean())
        return cls(black, min(1.0, _STEEPEST / slope) if slope > 0 else 1.0)

    def shown(self, response: Tensor, contrast: float) -> Tensor:
        """Return a response of shape (samples, ...) whose black is `DARK` behind tanh."""
        return (response - self.black).mul_(self.gain * contrast).add_(atanh(2 * DARK - 1))


@torch.inference_mode()
def _to_flat(
    network: Folded, levels: NDArray[np.float64], ndim: int, device: torch.device
) -> Tensor:
    """Return the response (samples, 1, ...) to an image that is the same everywhere."""
    values = (levels - network.input_offset) / network.input_scale
    voxel = torch.from_numpy(values).to(device, torch.float32).reshape(1, -1, *(1,) * ndim)
    tile = voxel.repeat(1, 1, *(2,) * (ndim - 2), 1, 1)  # a blind spot looks at another plane
    here = network.to(device)
    return here(tile, ((0, 0),) * ndim, Scratch(), (0,) * ndim)[0][:, :1]


Floats = NDArray[np.float64]


def conservation_reach(deviation: float) -> int:
    """Return how far a Gaussian of this standard deviation gives back, in pixels."""
    return int(3 * deviation + 0.5)


def smoothed_residual(raw: NDArray[Any], light: Floats, deviation: float) -> Floats:
    """Return what was taken from raw data, behind a Gaussian along y and x.

    Parameters
    ----------
    raw, light : array, shape (S, ..., Y, X)
        Within `conservation_reach` pixels of their ends, the result holds only where the image
        ends, too: there it is mirrored. What is not finite gives nothing.
    deviation : float
        Of the Gaussian, in pixels.
    """
    taken = np.nan_to_num(raw - light, nan=0.0, posinf=0.0, neginf=0.0)
    flat = taken.ndim - 2
    return np.asarray(
        gaussian_filter(
            taken,
            (0.0,) * flat + (deviation,) * 2,
            mode="reflect",
            radius=(0,) * flat + (conservation_reach(deviation),) * 2,
        )
    )


def crop_edge(edge: Halo) -> tuple[slice, ...]:
    """Return what takes an edge off an array (S, *spatial)."""
    return (slice(None), *(slice(low, -high or None) for low, high in edge))
