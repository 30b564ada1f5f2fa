"""The gain map of an image that brings none: what lifts its low-passed light to one level."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.blind_spot.recipe import BLOCK

__all__ = ["interpolate_blocks", "low_passed_log_gain"]

_LEAST = 0.1  # electrons


def low_passed_log_gain(seen: Tensor) -> Tensor:
    """Return the logarithm of the gain that would bring the means of blocks to one electron.

    Parameters
    ----------
    seen : Tensor
        (N, C, Y, X) stabilized values above black; Y and X are multiples of `BLOCK`. Electrons
        are told from them as if there were no read noise: where it counts, light comes out in
        units of it.

    Returns
    -------
    Tensor
        (N, 1, Y, X), of the mean of all channels, bilinear between the blocks' centers.
    """
    electrons = seen.square() / 4 + seen * (3 / 8) ** 0.5
    light = functional.avg_pool2d(electrons.mean(1, keepdim=True), BLOCK)
    return interpolate_blocks(-light.clamp_min(_LEAST).log())


def interpolate_blocks(blocks: Tensor) -> Tensor:
    """Return a map (N, 1, Y, X) of one number a block, bilinear between the blocks' centers."""
    return functional.interpolate(blocks, scale_factor=BLOCK, mode="bilinear", align_corners=False)
