"""What the tests compare with: the network of the paper, written plainly."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_erosion
from torch.nn import functional

from napari_noiser.recipes import NoiserModel


def plain_srm(
    images: np.ndarray,
    model: NoiserModel,
    *,
    inside: np.ndarray | None = None,
    brightness: float = 0.0,
    contrast: float = 1.0,
) -> np.ndarray:
    """Run a network in float64 on whole images (N, C, ...) that share one exposure.

    Each convolution replicates the border of its own input; the instance normalization has no
    epsilon, and takes its statistics over all N images, or only over the patches that lie all
    `inside` (N, ...).
    """
    convolve = functional.conv2d if model.ndim == 2 else functional.conv3d
    weights = {name: value.double() for name, value in model.expanded_weights.items()}

    def layer(values: torch.Tensor, name: str) -> torch.Tensor:
        padded = functional.pad(values, [1] * 2 * model.ndim, mode="replicate")
        return convolve(padded, weights[f"{name}_weight"], weights[f"{name}_bias"])

    hidden = layer(torch.from_numpy(np.array(images, np.float64)), "first")
    columns = hidden.movedim(1, 0)
    if inside is None:
        counted = columns.reshape(len(columns), -1)
    else:
        patch = np.ones((1, *(3,) * model.ndim))
        whole = binary_erosion(np.array(inside, bool), patch, border_value=1)
        counted = columns[:, torch.from_numpy(whole)]
    per_channel = (1, -1, *(1 for _ in range(model.ndim)))
    mean = counted.mean(dim=1).reshape(per_channel)
    deviation = counted.std(dim=1, correction=0).reshape(per_channel)
    response = layer(functional.gelu((hidden - mean) / deviation), "second")
    return ((torch.tanh(contrast * response + brightness) + 1) / 2).numpy()
