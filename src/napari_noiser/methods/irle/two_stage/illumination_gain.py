"""The gain of an illumination, block by block: by it stage 1 guides stage 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.blind_spot.network_input import interpolate_blocks
from napari_noiser.methods.irle.blind_spot.recipe import BLOCK
from napari_noiser.methods.irle.missing_pixels import fill_nearest
from napari_noiser.methods.irle.retinex.network import Retinex


def illumination_log_gain(illumination: Tensor) -> Tensor:
    """Return the logarithm of the gain that undoes an illumination (N, 1, Y, X), above 0.

    Y and X are multiples of `BLOCK`. Of means over blocks, bilinear between their centers: the
    illumination has seen the pixel that the blind spot must not see, and as smooth as it is, a
    network finds it there; one number for 256 pixels tells little of any.
    """
    return interpolate_blocks(-functional.avg_pool2d(illumination.log(), BLOCK))


def guided_crops(network: Retinex, draw: Callable[[int], Tensor]) -> Callable[[int], Tensor]:
    """Return a function that draws crops with the gain of their illumination, on the CPU.

    `draw` returns (N, 2 C, Y, X) of a step: stabilized, then leveled as the network wants it.
    """

    @torch.no_grad()
    def drawn(number: int) -> Tensor:
        stable, leveled = draw(number).chunk(2, dim=1)
        illumination = network.illumination(fill_nearest(leveled))
        return torch.cat([stable, illumination_log_gain(illumination)], dim=1)

    return drawn
