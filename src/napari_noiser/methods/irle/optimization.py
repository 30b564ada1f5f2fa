"""The steps of a fit, of either stage: one event each, and a way to go on from there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, isfinite, pi
from typing import Any

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.checkpoint import FittingState, Stage
from napari_noiser.methods.weights import copy_weights, downsample_losses

__all__ = ["FittingStep", "optimization_steps"]

_LARGEST_GRADIENT = 1.0
_BETAS = (0.9, 0.99)
_RISE = 0.1  # of one cycle, until the rate is highest
_LAST = 1e-3  # of the highest rate


@dataclass(frozen=True)
class FittingStep:
    """One finished step of a fit.

    Attributes
    ----------
    done, total : int
        How many steps are finished, of how many.
    loss : float
        Of stage 1 ("light") the weighted sum of all losses. Of stage 2 ("fit") half the deviance
        of what was counted, in nats a pixel; its floor depends on the light.
    state : callable
        Returns the `FittingState` to save and resume from, if called before the next step; of a
        fit of both stages the `IRLEState`.
    stage : str
        "light" or "fit".
    """

    done: int
    total: int
    loss: float
    state: Callable[[], Any] = field(repr=False, compare=False)
    stage: str


def optimization_steps(
    state: FittingState[Stage], network: nn.Module, loss: Callable[[int], Tensor], stage: str
) -> Generator[FittingStep, None, Stage]:
    """Take the steps of a fit that are left.

    Parameters
    ----------
    state : FittingState
        Where the fit stands.
    network : torch.nn.Module
        With the state's weights, on the device to fit on.
    loss : callable
        Returns the network's loss in a step, a function of its number (from 1).
    stage : str
        For the events.

    Yields
    ------
    FittingStep
        The number of the step, its loss and a way to its state.

    Returns
    -------
    BlindSpotModel or RetinexModel
        The state's model with the weights and the losses of the whole fit.

    Raises
    ------
    ValueError
        If the loss is no longer finite.
    """
    model, total = state.model, state.total
    network.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), betas=_BETAS)
    state.restore(optimizer, network)
    losses = list(model.losses)
    for done in range(state.done + 1, total + 1):
        optimizer.param_groups[0]["lr"] = model.recipe.learning_rate * _cycle(done / total)
        losses.append(_step(network, optimizer, partial(loss, done)))
        if not isfinite(losses[-1]):
            raise InputError("", f"the fit broke down at step {done}: lower recipe.learning_rate")
        snapshot = partial(FittingState.of, model, network, optimizer, done, losses)
        yield FittingStep(done, total, losses[-1], snapshot, stage)
    return replace(model, weights=copy_weights(network), losses=downsample_losses(losses))


@torch.enable_grad()
def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]
) -> float:
    """Take one step, and return the loss before it."""
    before = loss()
    optimizer.zero_grad(set_to_none=True)
    before.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    optimizer.step()
    return float(before.detach())


def _cycle(at: float) -> float:
    """Return the rate over its highest: a cosine up, a longer one down to nearly 0."""
    if at < _RISE:
        return (1 - cos(pi * at / _RISE)) / 2
    return (1 + cos(pi * (at - _RISE) / (1 - _RISE))) / 2 + _LAST
