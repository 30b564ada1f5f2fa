"""Stage 1 guides stage 2: the gain of its illumination, block by block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.blind_spot.block_gain import interpolate_blocks
from napari_noiser.methods.irle.blind_spot.recipe import BLOCK
from napari_noiser.methods.irle.retinex.network import Retinex

__all__ = ["guided_crops", "log_gain_of"]


def log_gain_of(light: Tensor) -> Tensor:
    """Return the logarithm of the gain that undoes an illumination.

    Parameters
    ----------
    light : Tensor
        (N, 1, Y, X), above 0; Y and X are multiples of `BLOCK`.

    Returns
    -------
    Tensor
        (N, 1, Y, X): of means over blocks, bilinear between their centers. Illumination has seen
        the pixel that the blind spot must not see, and as smooth as it is, a network finds it
        there; one number for 256 pixels tells little of any.
    """
    return interpolate_blocks(-functional.avg_pool2d(light.log(), BLOCK))


def guided_crops(network: Retinex, draw: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
    """Return a function that draws crops with the gain of their illumination.

    Parameters
    ----------
    network : Retinex
        On the CPU.
    draw : callable
        Returns (N, 2 C, Y, X) of a step: stabilized, then levelled as the network wants it.

    Returns
    -------
    callable
        Returns (N, C + 1, Y, X) of a step, for a blind spot whose gain is given.
    """

    @torch.no_grad()
    def drawn(number: int) -> Tensor:
        stable, levelled = draw(number).chunk(2, dim=1)
        return torch.cat([stable, log_gain_of(network.illumination(levelled))], dim=1)

    return drawn
