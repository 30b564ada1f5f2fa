"""Fitting illumination and reflectance to crops of dark images: a generator, one event a step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import Tensor, nn

from napari_noiser.checks import whole
from napari_noiser.irle.rate import cycle
from napari_noiser.irle.retinex import Retinex
from napari_noiser.irle.retinex_losses import retinex_loss
from napari_noiser.irle.retinex_model import RetinexModel, blank_retinex, gray_or_colour
from napari_noiser.irle.retinex_recipe import RetinexLosses, RetinexRecipe
from napari_noiser.srm.device import best_device
from napari_noiser.srm.learned import copied_weights, thinned

__all__ = ["RetinexStep", "fit_retinex_steps", "unfitted_light"]

_LARGEST_GRADIENT = 1.0
_BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class RetinexStep:
    """One finished step of a fit.

    Attributes
    ----------
    done, total : int
        How many steps are finished, of how many.
    loss : float
        The weighted sum of all losses.
    """

    done: int
    total: int
    loss: float
    stage: str = "light"

    def state(self) -> None:
        """Return nothing: a fit of a minute begins anew."""


def fit_retinex_steps(
    draw: Callable[[int], Tensor],
    *,
    recipe: RetinexRecipe | None = None,
    channels: int = 1,
    device: str = "auto",
    seed: int = 0,
    black: float = 0.0,
    white: float = 1.0,
) -> Generator[RetinexStep, None, RetinexModel]:
    """Fit networks of illumination and reflectance to dark images alone.

    The arguments are checked at once. Closing the generator stops the fit within one step.

    Parameters
    ----------
    draw : callable
        Returns the crops of a step, a function of its number (from 1) alone: (N, C, Y, X) in
        float32, in [0, 1]. The sides are 64 pixels or more, multiples of twice the recipe's step.
        If there is a denoised image, its crops are C channels more: reflectance is taken from
        them then, as it will be in rendering, while illumination is still the dark image's.
    recipe : RetinexRecipe, optional
        The networks and the fit.
    channels : int
        1 gray, 3 RGB.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Of the networks. Same crops, seed, recipe, device and number of threads: same model.
    black, white : float
        What light of the images 0 and 1 of the crops stand for, for the model to remember.

    Yields
    ------
    RetinexStep
        The number of the step and its loss.

    Returns
    -------
    RetinexModel
        The generator's return value.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range. While fitting, if crops have another shape, or the
        loss is no longer finite.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 1. Each crop is taken apart
    into its pixels of even rows and columns and those of odd ones; the two see the same networks.
    """
    chosen = best_device(device)
    model = unfitted_light(recipe, channels, seed, chosen.type)
    return _fit(replace(model, black=black, white=white), draw, chosen)


def unfitted_light(
    recipe: RetinexRecipe | None, channels: int, seed: int, device: str = "cpu"
) -> RetinexModel:
    """Return a model of random weights, as a fit begins with.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.
    """
    recipe = RetinexRecipe() if recipe is None else recipe
    if not isinstance(recipe, RetinexRecipe):
        raise TypeError(f"recipe must be a RetinexRecipe, got {type(recipe).__name__}")
    channels, seed = gray_or_colour(channels), whole("seed", seed, 0)
    weights = copied_weights(blank_retinex(recipe, channels, seed))
    return RetinexModel(recipe, channels, seed, 0.0, 1.0, weights, device)


def _fit(
    model: RetinexModel, draw: Callable[[int], Tensor], device: torch.device
) -> Generator[RetinexStep, None, RetinexModel]:
    recipe, losses = model.recipe, []
    network = model.network(device).requires_grad_(True)
    optimiser = torch.optim.Adam(network.parameters(), betas=_BETAS)
    for done in range(1, recipe.iterations + 1):
        crops = draw(done)
        _check_crops(crops, model)
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * cycle(done / recipe.iterations)
        losses.append(_step(network, optimiser, crops.to(device), recipe.losses))
        if not isfinite(losses[-1]):
            raise ValueError(f"the fit broke down at step {done}: lower recipe.learning_rate")
        yield RetinexStep(done, recipe.iterations, losses[-1])
    return replace(model, weights=copied_weights(network), losses=thinned(losses))


@torch.enable_grad()
def _step(
    network: Retinex, optimiser: torch.optim.Optimizer, crops: Tensor, weights: RetinexLosses
) -> float:
    """Take one step, and return the loss before it."""
    loss = retinex_loss(network, crops, weights)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    optimiser.step()
    return float(loss.detach())


def _check_crops(crops: Tensor, model: RetinexModel) -> None:
    grid, shape, channels = 2 * model.step, tuple(crops.shape), model.channels
    sides = shape[-2:]
    fits = len(shape) == 4 and shape[1] in (channels, 2 * channels)
    if not fits or any(length < 64 or length % grid for length in sides):
        raise ValueError(
            f"draw must return (N, {channels}, Y, X), or {2 * channels} channels, "
            f"Y and X multiples of {grid} of at least 64; got {shape}"
        )
    if not bool(crops.isfinite().all()):
        raise ValueError("draw must return finite numbers in [0, 1], got some that are not finite")
