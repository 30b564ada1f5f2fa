"""Fitting a blind spot to someone's own noisy images: a generator, one event a step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, isfinite, pi
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.checks import whole
from napari_noiser.irle.crops import Batch, Crops
from napari_noiser.irle.images import open_images
from napari_noiser.irle.light import half_deviance
from napari_noiser.irle.model import BlindSpotModel, blank
from napari_noiser.irle.network import BlindSpot
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.state import FittingState, copied_weights
from napari_noiser.srm.device import best_device

__all__ = ["FittingStep", "fit_blind_spot_steps"]

_STRETCHES = 200  # of the losses that a model remembers
_RISE = 0.1  # of one cycle, until the rate is highest
_LAST = 1e-3  # of the highest rate
_LARGEST_GRADIENT = 1.0
_BETAS = (0.9, 0.99)


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
        Returns the `FittingState` to save and resume from, if called before the next step.
    """

    done: int
    total: int
    loss: float
    state: Callable[[], FittingState] = field(repr=False, compare=False)
    stage: str = "fit"


def fit_blind_spot_steps(
    images: Sequence[Any],
    *,
    gain: Sequence[Any] | None = None,
    noise: CameraNoise | Sequence[CameraNoise] | None = None,
    channels: int = 1,
    neighbours: int = 0,
    recipe: BlindSpotRecipe | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: FittingState | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a gain-guided blind spot to noisy images alone: no clean image is needed.

    The arguments are checked at once. Closing the generator stops the fit within one step.

    Parameters
    ----------
    images : sequence of array
        Raw counts, each (Y, X) or (frames, Y, X), with samples last if `channels` is above 1.
        Anything with a shape that slices: numpy, memmap, zarr. Random crops are read, never a
        whole array. The noise must be independent from pixel to pixel.
    gain : sequence of array, optional
        One map an image, (Y, X) or (frames, Y, X), above 0: how much each pixel would be
        amplified, by a flat-field, an illumination, a stretch; the images are those before. A
        map that changes from pixel to pixel with the image's own noise leaks it past the blind
        spot. Left out, the inverse of the image's light in blocks of 16 x 16 pixels. With maps
        of ones, nothing is modulated.
    noise : CameraNoise or sequence of CameraNoise, optional
        Of the camera, or one an image. Left out, estimated of each image.
    channels : int
        Samples that are seen together: 1 gray, 3 RGB.
    neighbours : int
        How many frames before and after each frame are seen as well; images must be series then.
    recipe : BlindSpotRecipe, optional
        The network and the fit.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Same images, seed, recipe, device and number of threads: same model.
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
        If an argument is outside its range; if an image has too few pixels, is constant or not
        finite, or its noise cannot be told; if `resume` is of another fit. While fitting, if
        the loss is no longer finite.

    Notes
    -----
    IRLE, reconstructed from public figures (arXiv 2605.28605), stage 2. The likelihood of what
    was counted, given the estimate and its variance, is that of Laine et al. (NeurIPS 2019);
    the network sees counts behind a generalised Anscombe transform.
    """
    recipe = BlindSpotRecipe() if recipe is None else recipe
    if not isinstance(recipe, BlindSpotRecipe):
        raise TypeError(f"recipe must be a BlindSpotRecipe, got {type(recipe).__name__}")
    channels, neighbours = whole("channels", channels), whole("neighbours", neighbours, 0)
    seed, chosen = whole("seed", seed, 0), best_device(device)
    opened = open_images(images, gain, noise, channels, neighbours)
    crops = Crops(opened, recipe, neighbours, seed)
    weights = copied_weights(blank(recipe, channels, neighbours, seed))
    model = BlindSpotModel(
        recipe,
        channels,
        neighbours,
        seed,
        crops.scaling(),
        gain is not None,
        weights,
        chosen.type,
    )
    if resume is None:
        resume = FittingState(model, 0, {})
    resume.check_same_fit(model)
    return _fit(resume, crops, chosen)


def _fit(
    state: FittingState, crops: Crops, device: torch.device
) -> Generator[FittingStep, None, BlindSpotModel]:
    model, total = state.model, state.model.recipe.iterations
    network = model.network(device).requires_grad_(True)
    optimiser = torch.optim.Adam(network.parameters(), betas=_BETAS)
    state.restore(optimiser, network)
    losses = list(model.losses)
    for done in range(state.done + 1, total + 1):
        optimiser.param_groups[0]["lr"] = model.recipe.learning_rate * _cycle(done / total)
        losses.append(_step(network, optimiser, crops.batch(done).to(device), model))
        if not isfinite(losses[-1]):
            raise ValueError(f"the fit broke down at step {done}: lower recipe.learning_rate")
        snapshot = partial(FittingState.of, model, network, optimiser, done, losses)
        yield FittingStep(done, total, losses[-1], snapshot)
    return replace(model, weights=copied_weights(network), losses=_thinned(losses))


@torch.enable_grad()
def _step(
    network: BlindSpot, optimiser: torch.optim.Optimizer, batch: Batch, model: BlindSpotModel
) -> float:
    """Take one step, and return the loss before it."""
    seen = model.scaling.seen(batch.electrons, batch.read_noise)
    seen = seen.contiguous(memory_format=torch.channels_last)
    with _halved(seen.device):
        response = network(seen, batch.log_gain - model.scaling.log_gain)
    electrons, read_noise = batch.middle(model.channels)
    loss = half_deviance(model.scaling.estimate(response, read_noise), electrons)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    optimiser.step()
    return float(loss.detach())


def _halved(device: torch.device) -> AbstractContextManager[Any]:
    """Convolve in bfloat16, twice as fast, where the device does so."""
    able = device.type in ("cuda", "xpu")
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        able = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16) if able else nullcontext()


def _cycle(at: float) -> float:
    """Return the rate over its highest: a cosine up, a longer one down to 0."""
    if at < _RISE:
        return (1 - cos(pi * at / _RISE)) / 2
    return (1 + cos(pi * (at - _RISE) / (1 - _RISE))) / 2 + _LAST


def _thinned(losses: Sequence[float]) -> tuple[float, ...]:
    """Return the means of up to 200 equal stretches, in five digits."""
    stretches = np.array_split(losses, min(len(losses), _STRETCHES))
    return tuple(float(f"{np.mean(stretch):.5g}") for stretch in stretches)
