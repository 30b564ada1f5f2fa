"""Fitting a blind spot to crops of noisy images: a generator, one event a step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_noiser.checks import dimensions, real, whole
from napari_noiser.irle.light import Scaling, half_deviance
from napari_noiser.irle.model import BlindSpotModel, blank
from napari_noiser.irle.network import BlindSpot
from napari_noiser.irle.planes import Planes, planes_of
from napari_noiser.irle.rate import cycle
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.state import FittingState
from napari_noiser.srm.device import best_device
from napari_noiser.srm.learned import copied_weights, thinned

__all__ = ["Draw", "FittingStep", "fit_blind_spot_steps", "unfitted"]

Draw = Callable[[int], Tensor]
"""Returns the crops of a step."""

_LARGEST_GRADIENT = 1.0
_BETAS = (0.9, 0.99)
_SAMPLES = 16  # batches that the scaling is measured on
_JITTER = 1  # tells its draws from those of crops


@dataclass(frozen=True)
class FittingStep:
    """One finished step of a fit.

    Attributes
    ----------
    done, total : int
        How many steps are finished, of how many.
    loss : float
        Half the deviance of what was counted, in nats a pixel; its floor depends on the light.
    state : callable
        Returns the `FittingState` to save and resume from, if called before the next step; of a
        fit of both stages the `IRLEState`.
    """

    done: int
    total: int
    loss: float
    state: Callable[[], Any] = field(repr=False, compare=False)
    stage: str = "fit"


def fit_blind_spot_steps(
    draw: Draw,
    *,
    recipe: BlindSpotRecipe | None = None,
    channels: int = 1,
    ndim: int = 2,
    black: float = 0.0,
    device: str = "auto",
    seed: int = 0,
    resume: FittingState | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a gain-guided blind spot to noisy crops alone: no clean image is needed.

    The arguments are checked at once, and the first crops looked at. Closing the generator stops
    the fit within one step. `napari_noiser.fit_steps` draws crops of images.

    Parameters
    ----------
    draw : callable
        Returns the crops of a step, a function of its number alone: (N, C, Y, X) in float32, or
        for `ndim` 3 a plane between its neighbours, (N, C, 3, Y, X). Stabilised, less what black
        is: the noise has a variance of 1, independent from pixel to pixel. Y and X are multiples
        of the recipe's grid. If its gain is given, its logarithm is one channel more.
    recipe : BlindSpotRecipe, optional
        The network and the fit.
    channels : int
        Samples that are seen together: 1 gray, 3 RGB.
    ndim : int
        2 for planes, 3 for planes between their neighbours.
    black : float
        What counts 0 of the crops stand for, for the model to remember.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Of the network. Same crops, seed, recipe, device and number of threads: same model.
    resume : FittingState, optional
        Where an earlier fit with the same arguments stood.

    Yields
    ------
    FittingStep
        The number of the step, its loss and a way to its state.

    Returns
    -------
    BlindSpotModel
        The generator's return value.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; if the crops are constant; if `resume` is of another
        fit. While fitting, if the loss is no longer finite.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 2. The likelihood of what
    was counted, given the estimate and its variance, is that of Laine et al. (NeurIPS 2019).
    """
    model = unfitted(recipe, channels, ndim, seed, best_device(device).type)
    recipe = model.recipe
    later = range(recipe.iterations + 1, recipe.iterations + 1 + _SAMPLES)  # no step sees them
    samples = (planes_of(draw(number), recipe.gain) for number in later)
    model = replace(model, scaling=Scaling.of(samples, real("black", black)))
    if resume is None:
        resume = FittingState(model, 0, {})
    resume.check_same_fit(model)
    return _fit(resume, draw, best_device(device))


def unfitted(
    recipe: BlindSpotRecipe | None, channels: int, ndim: int, seed: int, device: str = "cpu"
) -> BlindSpotModel:
    """Return a model of random weights, as a fit begins with.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.
    """
    recipe = BlindSpotRecipe() if recipe is None else recipe
    if not isinstance(recipe, BlindSpotRecipe):
        raise TypeError(f"recipe must be a BlindSpotRecipe, got {type(recipe).__name__}")
    channels, ndim, seed = whole("channels", channels), dimensions(ndim), whole("seed", seed, 0)
    weights = copied_weights(blank(recipe, channels, ndim, seed))
    scaling = Scaling(0.0, 1.0, 0.0, noise=(1.0,) * channels)
    return BlindSpotModel(recipe, channels, ndim, seed, scaling, weights, device)


def _fit(
    state: FittingState, draw: Draw, device: torch.device
) -> Generator[FittingStep, None, BlindSpotModel]:
    model, total = state.model, state.model.recipe.iterations
    network = model.network(device).requires_grad_(True)
    optimiser = torch.optim.Adam(network.parameters(), betas=_BETAS)
    state.restore(optimiser, network)
    losses = list(model.losses)
    for done in range(state.done + 1, total + 1):
        optimiser.param_groups[0]["lr"] = model.recipe.learning_rate * cycle(done / total)
        planes = _jittered(planes_of(draw(done), model.recipe.gain), model, done)
        losses.append(_step(network, optimiser, planes.to(device), model))
        if not isfinite(losses[-1]):
            raise ValueError(f"the fit broke down at step {done}: lower recipe.learning_rate")
        snapshot = partial(FittingState.of, model, network, optimiser, done, losses)
        yield FittingStep(done, total, losses[-1], snapshot)
    return replace(model, weights=copied_weights(network), losses=thinned(losses))


@torch.enable_grad()
def _step(
    network: BlindSpot, optimiser: torch.optim.Optimizer, planes: Planes, model: BlindSpotModel
) -> float:
    """Take one step, and return the loss before it."""
    seen = model.scaling.seen(planes.frames).contiguous(memory_format=torch.channels_last)
    with _halved(seen.device):
        response = network(seen, planes.log_gain - model.scaling.log_gain)
    loss = half_deviance(model.scaling.estimate(response), planes.own)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    optimiser.step()
    return float(loss.detach())


def _jittered(planes: Planes, model: BlindSpotModel, step: int) -> Planes:
    """Add noise to what is seen, not to what is to be told: a function of the step alone."""
    random = np.random.default_rng([model.seed, step, _JITTER])
    frames = planes.frames
    spread = random.uniform(0, model.recipe.jitter, (len(frames), 1, 1, 1))
    noise = random.standard_normal(frames.shape, np.float32) * spread.astype(np.float32)
    return replace(planes, frames=frames + torch.from_numpy(noise))


def _halved(device: torch.device) -> AbstractContextManager[Any]:
    """Convolve in bfloat16, twice as fast, where the device does so."""
    able = device.type in ("cuda", "xpu")
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16) if able else nullcontext()
