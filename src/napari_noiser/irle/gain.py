"""The gain map of an image that brings none: what lifts its low-passed light to one level."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["BLOCK", "low_passed_log_gain"]

BLOCK = 16
"""Pixels a side. One number for 256 of them: a smoother map of as many numbers as pixels lets a
network take the low-pass back and see the very pixel that it must not see."""

_LEAST = 0.1  # electrons


def low_passed_log_gain(electrons: Tensor) -> Tensor:
    """Return the logarithm of the gain that would bring the means of blocks to one electron.

    Parameters
    ----------
    electrons : Tensor
        (N, C, Y, X); Y and X are multiples of `BLOCK`.

    Returns
    -------
    Tensor
        (N, 1, Y, X), of the mean of all channels, bilinear between the blocks' centres.
    """
    light = functional.avg_pool2d(electrons.mean(1, keepdim=True), BLOCK)
    log_gain = -light.clamp_min(_LEAST).log()
    return functional.interpolate(
        log_gain, scale_factor=BLOCK, mode="bilinear", align_corners=False
    )


def log_of(gain: np.ndarray) -> Tensor:
    """Return the logarithm of a given gain map, or raise a `ValueError` where it has none."""
    if not (np.isfinite(gain).all() and (gain > 0).all()):
        raise ValueError("gain must be finite and above 0 throughout")
    return torch.from_numpy(np.log(gain.astype(np.float64))).to(torch.float32)
