"""Small models of every kind: at once there, and with weights that all count."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch

from napari_noiser import train
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.model import make_network
from napari_noiser.methods.irle.retinex.training import initial_retinex
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.structured_noise import Structure
from napari_noiser.recipes import (
    BlindSpotModel,
    BlindSpotRecipe,
    IRLEModel,
    IRLERecipe,
    NoiserModel,
    Recipe,
    RetinexModel,
    RetinexRecipe,
)

STRUCTURED = Recipe(
    name="small",
    source=Structure(),
    exposure=PhotonNoise(),
    iterations=3,
    width=4,
    scales=(6,),
    batch=2,
    size=32,
    learning_rate=2e-3,
)
PAPER = Recipe(name="noiser")
"""The paper's form of noiser, which is not symmetric."""
QUICK = BlindSpotRecipe(iterations=3, width=8, scales=(8,), crop=64, batch=2)
FIRST = RetinexRecipe(iterations=3, widths=(4, 4), crop=64, batch=2)
BOTH = IRLERecipe(retinex=FIRST, denoiser=replace(QUICK, gain="given"))


@cache
def structured(ndim: int = 2, samples: int = 1) -> NoiserModel:
    """Return a denoiser that has learned for a moment."""
    return train(STRUCTURED, samples=samples, ndim=ndim, device="cpu")


def untrained(
    samples: int = 1, ndim: int = 2, gain: str = "given", **changed: Any
) -> BlindSpotModel:
    """Return a blind spot whose every weight counts, its modulation by the gain included."""
    recipe = BlindSpotRecipe(width=8, gain=gain, **changed)
    network = make_network(recipe, samples, ndim, seed=3)
    start = torch.Generator().manual_seed(4)
    weights = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=start)
        for name, value in network.named_parameters()
    }
    scaling = Scaling(6.0, 2.0, 0.5, noise=(1.0,) * samples)
    return BlindSpotModel(recipe, samples, ndim, 3, weights, scaling=scaling)


def untrained_retinex(samples: int = 1, widths: tuple[int, ...] = (4,)) -> RetinexModel:
    """Return stage 1 with weights that all count, and do not saturate the display."""
    first = initial_retinex(replace(FIRST, widths=widths), samples, 0)
    start = torch.Generator().manual_seed(1)
    weights = {
        name: each + 0.3 * torch.randn(each.shape, generator=start) / each[0].numel() ** 0.5
        for name, each in first.weights.items()
    }
    return replace(first, black=50.0, white=250.0, weights=weights)


def untrained_stages(widths: tuple[int, ...] = (4,)) -> IRLEModel:
    """Return both stages, with such weights."""
    return IRLEModel(untrained_retinex(1, widths), untrained(spacing=2, scales=()))


@cache
def paper_model() -> NoiserModel:
    """Return noiser in the paper's form for gray images, trained in full: seconds."""
    return train(PAPER, device="cpu")
