"""Fit illumination and reflectance to crops of dark images, step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from math import pi, sqrt

import torch
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import check_int, check_type
from napari_noiser.camera.noise_variance import noise_power
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.checkpoint import FitState
from napari_noiser.methods.irle.optimization import BATCHES_AHEAD, FittingStep, optimization_steps
from napari_noiser.methods.irle.retinex.losses import retinex_losses
from napari_noiser.methods.irle.retinex.model import RetinexModel, check_gray_or_rgb, make_retinex
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.weights import copy_weights

_NOISE_LEFT = 0.02  # of smoothed crops, from black to white
_LEAST_SIGMA, _MOST_SIGMA = 0.5, 3.0  # pixels; less does nothing


def fit_retinex_steps(
    draw: Callable[[int], Tensor],
    *,
    recipe: RetinexRecipe | None = None,
    samples: int = 1,
    device: str = "auto",
    seed: int = 0,
    black: float = 0.0,
    white: float = 1.0,
    resume: FitState[RetinexModel] | None = None,
) -> Generator[FittingStep, None, RetinexModel]:
    """Fit networks of illumination and reflectance to dark images alone.

    The arguments are checked at once, and some crops looked at. Closing the generator stops the
    fit within one step.

    The crops of a step, a function of its number (from 1) alone, are (N, C, Y, X) in float32, in
    [0, 1], for which the model remembers `black` and `white`, light of the images. The sides are
    64 pixels or more, multiples of twice the recipe's step. If there is a denoised image, its
    crops are C channels more: reflectance is taken from them then, as it will be in rendering,
    while illumination is still the dark image's. Same crops, seed, recipe, device and number of
    threads: same model.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 1. Each crop is taken apart
    into its pixels of even rows and columns and those of odd ones; the two see the same networks.
    Where crops are noisy, they are smoothed before illumination is estimated.
    """
    chosen = best_device(device)
    model = initial_retinex(recipe, samples, seed, chosen.type)
    model = replace(model, black=black, white=white, smoothing=_choose_smoothing(draw, model))
    state = FitState(model, 0) if resume is None else resume
    state.check_same_fit(model)
    network = state.model.network(chosen)
    loss = partial(_loss, network, state.model, draw, chosen)
    return optimization_steps(state, network, loss, stage="illumination")


def initial_retinex(
    recipe: RetinexRecipe | None, samples: int, seed: int, device: str = "cpu"
) -> RetinexModel:
    """Return a model of random weights, as a fit begins with."""
    recipe = RetinexRecipe() if recipe is None else recipe
    check_type("recipe", recipe, RetinexRecipe)
    samples, seed = check_gray_or_rgb(samples), check_int("seed", seed, 0)
    weights = copy_weights(make_retinex(recipe, samples, seed))
    return RetinexModel(recipe, samples, 2, seed, weights, device, black=0.0, white=1.0)


def _choose_smoothing(draw: Callable[[int], Tensor], model: RetinexModel) -> float:
    later = range(model.recipe.iterations + 1, model.recipe.iterations + 1 + BATCHES_AHEAD)
    samples = [_checked(draw(number), model) for number in later]  # no step sees them
    return smoothing_sigma(torch.cat(samples)[:, : model.samples])


def smoothing_sigma(crops: Tensor) -> float:
    """Return the sigma of the Gaussian that leaves 2 % of noise in dark images, in pixels.

    0, or from 0.5 to 3. Of crops (N, C, Y, X), black is 0 and white 1. A Gaussian leaves the part
    1 / (2 sqrt(pi) sigma) of noise that is independent from pixel to pixel.
    """
    noise = sqrt(float(noise_power(crops.cpu().double().numpy()).mean()))
    sigma = noise / (2 * sqrt(pi) * _NOISE_LEFT)
    return min(sigma, _MOST_SIGMA) if sigma >= _LEAST_SIGMA else 0.0


def _loss(
    network: Retinex,
    model: RetinexModel,
    draw: Callable[[int], Tensor],
    device: torch.device,
    step: int,
) -> Tensor:
    """Return the weighted sum of all losses of the crops of a step."""
    losses = retinex_losses(network, _checked(draw(step), model).to(device))
    weights = model.recipe.losses
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()


def _checked(crops: Tensor, model: RetinexModel) -> Tensor:
    grid, shape, samples = 2 * model.recipe.step, tuple(crops.shape), model.samples
    sides = shape[-2:]
    fits = len(shape) == 4 and shape[1] in (samples, 2 * samples)
    if not fits or any(length < 64 or length % grid for length in sides):
        raise InputError(
            "draw",
            f"must return (N, {samples}, Y, X), or {2 * samples} channels, "
            f"Y and X multiples of {grid} of at least 64; got {shape}",
        )
    if not bool(crops.isfinite().all()):
        raise InputError(
            "draw", "must return finite numbers in [0, 1], got some that are not finite"
        )
    return crops
