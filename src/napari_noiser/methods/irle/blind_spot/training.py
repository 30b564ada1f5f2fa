"""Fit a blind spot to crops of noisy images, step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_noiser._validation import check_float, check_int, check_ndim, check_type
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel, make_network
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.network_input import (
    NetworkInput,
    interpolate_blocks,
    make_network_input,
)
from napari_noiser.methods.irle.blind_spot.recipe import BLOCK, BlindSpotRecipe
from napari_noiser.methods.irle.checkpoint import FitState
from napari_noiser.methods.irle.missing_pixels import fill_nearest, widen_nan
from napari_noiser.methods.irle.optimization import BATCHES_AHEAD, FittingStep, optimization_steps
from napari_noiser.methods.weights import copy_weights

Draw = Callable[[int], Tensor]
"""Returns the crops of a step."""

_JITTER = 1  # tells its draws from those of crops
_GAIN_JITTER = 0.5  # of the gain's own spread


def fit_blind_spot_steps(
    draw: Draw,
    *,
    recipe: BlindSpotRecipe | None = None,
    samples: int = 1,
    ndim: int = 2,
    black: float = 0.0,
    device: str = "auto",
    seed: int = 0,
    resume: FitState[BlindSpotModel] | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a gain-guided blind spot to noisy crops alone: no clean image is needed.

    The arguments are checked at once, and the first crops looked at. Closing the generator stops
    the fit within one step. `napari_noiser.fit_steps` draws crops of images.

    The crops of a step, a function of its number alone, are (N, C, Y, X) in float32, or for `ndim`
    3 a plane between its neighbors, (N, C, 3, Y, X). Stabilized, less what black is: the noise has
    a variance of 1, independent from pixel to pixel. Y and X are multiples of the recipe's grid.
    If its gain is given, its logarithm is one channel more. NaN are left out, and their neighbors
    as well, but each plane must have other pixels. The model remembers `black`, what
    counts 0 of the crops stand for. Same crops, seed, recipe, device and number of threads: same
    model.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 2. The likelihood of what
    was counted, given the estimate and its variance, is that of Laine et al. (NeurIPS 2019).
    """
    chosen = best_device(device)
    model = initial_model(recipe, samples, ndim, seed, chosen.type)
    recipe = model.recipe
    later = range(recipe.iterations + 1, recipe.iterations + 1 + BATCHES_AHEAD)
    crops = (_network_input(draw(number), recipe) for number in later)
    model = replace(model, scaling=Scaling.of(crops, check_float("black", black)))
    state = FitState(model, 0) if resume is None else resume
    state.check_same_fit(model)
    network = state.model.network(chosen)
    loss = partial(_loss, network, state.model, draw, chosen)
    return optimization_steps(state, network, loss, stage="fit")


def initial_model(
    recipe: BlindSpotRecipe | None, samples: int, ndim: int, seed: int, device: str = "cpu"
) -> BlindSpotModel:
    """Return a model of random weights, as a fit begins with."""
    recipe = BlindSpotRecipe() if recipe is None else recipe
    check_type("recipe", recipe, BlindSpotRecipe)
    samples, ndim = check_int("samples", samples), check_ndim(ndim)
    seed = check_int("seed", seed, 0)
    weights = copy_weights(make_network(recipe, samples, ndim, seed))
    scaling = Scaling(0.0, 1.0, 0.0, noise=(1.0,) * samples)
    return BlindSpotModel(recipe, samples, ndim, seed, weights, device, scaling=scaling)


def _loss(
    network: BlindSpot, model: BlindSpotModel, draw: Draw, device: torch.device, step: int
) -> Tensor:
    """Return the negative log-likelihood of the crops of a step, less a constant."""
    planes = _add_jitter(_network_input(draw(step), model.recipe), model, step).to(device)
    seen = model.scaling.normalize(planes.frames).contiguous(memory_format=torch.channels_last)
    with autocast_bf16(device):
        response = network(seen, planes.log_gain - model.scaling.log_gain)
    estimate = model.scaling.estimate(response)
    total = estimate.variance + estimate.noise
    known = ~planes.own.isnan()
    if bool(known.all()):
        return nn.functional.gaussian_nll_loss(estimate.light, planes.own, total)
    light, own, variance = (
        each.expand_as(known)[known] for each in (estimate.light, planes.own, total)
    )
    return nn.functional.gaussian_nll_loss(light, own, variance)


def _network_input(crops: Tensor, recipe: BlindSpotRecipe) -> NetworkInput:
    """Return the planes of crops; `own` is NaN where they are not to be estimated."""
    planes = make_network_input(fill_nearest(crops), recipe.gain)
    return replace(planes, own=make_network_input(widen_nan(crops), recipe.gain).own)


def _add_jitter(planes: NetworkInput, model: BlindSpotModel, step: int) -> NetworkInput:
    """Add noise to the input, not to the target: a function of the step alone.

    Noise is added to a gain as well, or it would tell the network where it is, and so help it to
    learn the noise by heart.
    """
    random = np.random.default_rng([model.seed, step, _JITTER])
    frames = planes.frames
    spread = random.uniform(0, model.recipe.jitter, (len(frames), 1, 1, 1))
    noise = random.standard_normal(frames.shape, np.float32) * spread.astype(np.float32)
    shape = (len(frames), 1, *(side // BLOCK for side in frames.shape[-2:]))
    gain_noise = random.standard_normal(shape, np.float32) * np.float32(
        _GAIN_JITTER * model.scaling.gain_spread
    )
    log_gain = planes.log_gain + interpolate_blocks(torch.from_numpy(gain_noise))
    return replace(planes, frames=frames + torch.from_numpy(noise), log_gain=log_gain)


def autocast_bf16(device: torch.device) -> AbstractContextManager[Any]:
    """Convolve in bfloat16, twice as fast, where the device does so."""
    able = device.type in ("cuda", "xpu")
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16) if able else nullcontext()
