"""Fitting illumination and reflectance to crops of dark images: a generator, one event a step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_int
from napari_noiser.methods.device import best_device
from napari_noiser.methods.irle.checkpoint import FittingState
from napari_noiser.methods.irle.noise_variance import smoothing_sigma
from napari_noiser.methods.irle.optimization import FittingStep, optimization_steps
from napari_noiser.methods.irle.retinex.losses import retinex_loss
from napari_noiser.methods.irle.retinex.model import RetinexModel, check_gray_or_rgb, make_retinex
from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.weights import copy_weights

__all__ = ["fit_retinex_steps", "initial_retinex"]

_SAMPLES = 16  # batches that the noise is measured on


def fit_retinex_steps(
    draw: Callable[[int], Tensor],
    *,
    recipe: RetinexRecipe | None = None,
    samples: int = 1,
    device: str = "auto",
    seed: int = 0,
    black: float = 0.0,
    white: float = 1.0,
    resume: FittingState[RetinexModel] | None = None,
) -> Generator[FittingStep, None, RetinexModel]:
    """Fit networks of illumination and reflectance to dark images alone.

    The arguments are checked at once, and some crops looked at. Closing the generator stops the
    fit within one step.

    Parameters
    ----------
    draw : callable
        Returns the crops of a step, a function of its number (from 1) alone: (N, C, Y, X) in
        float32, in [0, 1]. The sides are 64 pixels or more, multiples of twice the recipe's step.
        If there is a denoised image, its crops are C channels more: reflectance is taken from
        them then, as it will be in rendering, while illumination is still the dark image's.
    recipe : RetinexRecipe, optional
        The networks and the fit.
    samples : int
        1 gray, 3 RGB.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Of the networks. Same crops, seed, recipe, device and number of threads: same model.
    black, white : float
        What light of the images 0 and 1 of the crops stand for, for the model to remember.
    resume : FittingState, optional
        Where an earlier fit with the same arguments stood.

    Yields
    ------
    FittingStep
        The number of the step, its loss and a way to its state.

    Returns
    -------
    RetinexModel
        The generator's return value.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; if crops have another shape; if `resume` is of
        another fit. While fitting, if the loss is no longer finite.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 1. Each crop is taken apart
    into its pixels of even rows and columns and those of odd ones; the two see the same networks.
    Where crops are noisy, light is looked for in what a Gaussian leaves of them.
    """
    chosen = best_device(device)
    model = initial_retinex(recipe, samples, seed, chosen.type)
    model = replace(model, black=black, white=white, smoothing=_choose_smoothing(draw, model))
    state = FittingState(model, 0) if resume is None else resume
    state.check_same_fit(model)
    network = state.model.network(chosen)
    loss = partial(_loss, network, state.model, draw, chosen)
    return optimization_steps(state, network, loss, stage="light")


def initial_retinex(
    recipe: RetinexRecipe | None, samples: int, seed: int, device: str = "cpu"
) -> RetinexModel:
    """Return a model of random weights, as a fit begins with.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.
    """
    recipe = RetinexRecipe() if recipe is None else recipe
    if not isinstance(recipe, RetinexRecipe):
        raise InputTypeError("recipe", f"must be a RetinexRecipe, got {type(recipe).__name__}")
    samples, seed = check_gray_or_rgb(samples), check_int("seed", seed, 0)
    weights = copy_weights(make_retinex(recipe, samples, seed))
    return RetinexModel(recipe, samples, seed, 0.0, 1.0, weights, device)


def _choose_smoothing(draw: Callable[[int], Tensor], model: RetinexModel) -> float:
    later = range(model.recipe.iterations + 1, model.recipe.iterations + 1 + _SAMPLES)
    samples = [_checked(draw(number), model) for number in later]  # no step sees them
    return smoothing_sigma(torch.cat(samples)[:, : model.samples])


def _loss(
    network: Retinex,
    model: RetinexModel,
    draw: Callable[[int], Tensor],
    device: torch.device,
    step: int,
) -> Tensor:
    """Return the weighted sum of all losses of the crops of a step."""
    crops = _checked(draw(step), model).to(device)
    return retinex_loss(network, crops, model.recipe.losses)


def _checked(crops: Tensor, model: RetinexModel) -> Tensor:
    grid, shape, samples = 2 * model.step, tuple(crops.shape), model.samples
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
