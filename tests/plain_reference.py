"""What the tests compare with: the network written plainly, and images to show it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from napari_noiser.recipes import Model


def scene(shape: tuple[int, ...], seed: int = 0, dtype: str = "float64") -> np.ndarray:
    """Return a smooth pattern under shot noise: whole numbers from 0 to about 60."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    phases = rng.uniform(0, 6, len(shape))
    waves = sum(np.sin(axis / 5 + phase) for axis, phase in zip(grid, phases, strict=True))
    return rng.poisson(12 * np.exp(waves / len(shape))).clip(0, 100).astype(dtype)


def plain_srm(
    images: np.ndarray,
    model: Model,
    *,
    inside: np.ndarray | None = None,
    brightness: float = 0.0,
    contrast: float = 1.0,
) -> np.ndarray:
    """Run a network in float64 on whole images (N, C, ...) that share one exposure.

    Each convolution replicates the border of its own input; the instance normalization has no
    epsilon, and takes its statistics over all N images, or only over `inside` (N, ...).
    """
    convolve = functional.conv2d if model.ndim == 2 else functional.conv3d
    weights = {name: value.double() for name, value in model.weights.items()}

    def layer(values: torch.Tensor, name: str) -> torch.Tensor:
        padded = functional.pad(values, [1] * 2 * model.ndim, mode="replicate")
        return convolve(padded, weights[f"{name}_weight"], weights[f"{name}_bias"])

    hidden = layer(torch.from_numpy(np.array(images, np.float64)), "first")
    columns = hidden.movedim(1, 0)
    if inside is None:
        counted = columns.reshape(len(columns), -1)
    else:
        counted = columns[:, torch.from_numpy(np.array(inside, bool))]
    per_channel = (1, -1, *(1 for _ in range(model.ndim)))
    mean = counted.mean(dim=1).reshape(per_channel)
    deviation = counted.std(dim=1, correction=0).reshape(per_channel)
    response = layer(functional.gelu((hidden - mean) / deviation), "second")
    return ((torch.tanh(contrast * response + brightness) + 1) / 2).numpy()


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays of one shape."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    """Check that two results are the same to float rounding: BLAS may sum in another order."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.dtype == other.dtype
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
