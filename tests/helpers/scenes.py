"""Scenes for tests: a pattern under shot noise, and what a camera makes of a few electrons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize

NOISE = CameraNoise(3.0, 50.0, 0.5)


def scene(shape: tuple[int, ...], seed: int = 0, dtype: str = "float64") -> NDArray[Any]:
    """Return a smooth pattern under shot noise: whole numbers from 0 to about 60."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    phases = rng.uniform(0, 6, len(shape))
    waves = sum(np.sin(axis / 5 + phase) for axis, phase in zip(grid, phases, strict=True))
    return rng.poisson(12 * np.exp(waves / len(shape))).clip(0, 100).astype(dtype)


def light(shape: tuple[int, ...] = (256, 256), seed: int = 0) -> NDArray[Any]:
    """Return structure of 0 to 20 electrons, the frames of a series alike."""
    random = np.random.default_rng(seed)
    rough = gaussian_filter(random.standard_normal(shape[-2:]), 5)
    return np.broadcast_to(np.clip(8 + 4 * rough / rough.std(), 0, 20), shape)


def counts(electrons: NDArray[Any], seed: int = 1, noise: CameraNoise = NOISE) -> NDArray[Any]:
    """Return what a camera makes of electrons."""
    random = np.random.default_rng(seed)
    found = random.poisson(electrons) + random.normal(0, noise.read_noise, electrons.shape)
    return noise.gain * found + noise.offset


def crops(shape: tuple[int, ...] = (2, 1, 64, 64), seed: int = 0) -> Callable[[int], torch.Tensor]:
    """Return a function that draws stabilized crops of exposures of such a scene."""

    def draw(number: int) -> torch.Tensor:
        truth = np.stack([light(shape[1:], seed=seed + at) for at in range(shape[0])])
        return torch.from_numpy(stabilize(counts(truth, seed=number), NOISE)).float()

    return draw
