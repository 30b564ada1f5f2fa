"""Crops in which some pixels do not count, NaN there: what networks see instead of them."""

from __future__ import annotations

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional


def fill_nearest(crops: Tensor) -> Tensor:
    """Return crops (..., Y, X) on the CPU with the nearest pixel of its plane in place of NaN."""
    if not bool(crops.isnan().any()):
        return crops
    filled = crops.clone()
    for plane in filled.flatten(0, -3):  # views
        nearest = distance_transform_edt(
            plane.isnan().numpy(), return_distances=False, return_indices=True
        )
        rows, columns = map(torch.from_numpy, nearest)
        plane.copy_(plane[rows.long(), columns.long()])
    return filled


def widen_nan(crops: Tensor) -> Tensor:
    """Return crops (..., Y, X) with NaN at all pixels beside NaN as well.

    Every pixel that `fill_nearest` copies lies there: a blind spot would find its noise elsewhere.
    """
    unknown = crops.isnan()
    if not bool(unknown.any()):
        return crops
    near = functional.max_pool2d(unknown.flatten(0, -3).float()[:, None], 3, 1, 1) > 0
    return crops.masked_fill(near.view(crops.shape), torch.nan)
