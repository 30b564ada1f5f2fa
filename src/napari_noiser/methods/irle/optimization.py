"""The optimization of a fit of either stage, step by step, with states to resume from."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from math import cos, isfinite, pi
from typing import Any

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.checkpoint import FitState, Stage
from napari_noiser.methods.weights import copy_weights, downsample_losses

BATCHES_AHEAD = 16
"""How many batches either stage looks at before its first step; no step sees them."""

_MAX_GRADIENT_NORM = 1.0
_BETAS = (0.9, 0.99)
_WARMUP_FRACTION = 0.1  # of one cycle, until the rate is highest
_FINAL_RATE_FRACTION = 1e-3  # of the highest rate


@dataclass(frozen=True)
class FittingStep:
    """One finished step of a fit, and how many are done of how many.

    The loss is of stage 1 ("illumination") the weighted sum of all losses; of stage 2 ("fit") the
    negative log-likelihood of the counts, in nats a pixel, whose floor depends on the light.
    `state` returns the `FitState` to save and resume from, if called before the next step; of a
    fit of both stages the `IRLEState`.
    """

    done: int
    total: int
    loss: float
    state: Callable[[], Any] = field(repr=False, compare=False)
    stage: str


def optimization_steps(
    state: FitState[Stage], network: nn.Module, loss: Callable[[int], Tensor], stage: str
) -> Generator[FittingStep, None, Stage]:
    """Run the remaining steps of a fit, and return its model with the losses of the whole.

    The network has the state's weights, on the device to fit on; `loss` returns its loss in a
    step, a function of the step's number (from 1).
    """
    model, total = state.model, state.total
    network.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), betas=_BETAS)
    state.restore(optimizer, network)
    losses = list(model.losses)
    for done in range(state.done + 1, total + 1):
        optimizer.param_groups[0]["lr"] = model.recipe.learning_rate * _one_cycle_factor(
            done / total
        )
        losses.append(_step(network, optimizer, partial(loss, done)))
        if not isfinite(losses[-1]):
            raise InputError("", f"the fit broke down at step {done}: lower recipe.learning_rate")
        snapshot = partial(FitState.of, model, network, optimizer, done, losses)
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
    nn.utils.clip_grad_norm_(network.parameters(), _MAX_GRADIENT_NORM)
    optimizer.step()
    return float(before.detach())


def _one_cycle_factor(at: float) -> float:
    """Return the rate over its highest: a cosine up, a longer one down to nearly 0."""
    if at < _WARMUP_FRACTION:
        return (1 - cos(pi * at / _WARMUP_FRACTION)) / 2
    return (
        1 + cos(pi * (at - _WARMUP_FRACTION) / (1 - _WARMUP_FRACTION))
    ) / 2 + _FINAL_RATE_FRACTION
