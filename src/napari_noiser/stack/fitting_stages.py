"""The fits of each stage, and of both, to stacks that are ready to be read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from napari_noiser.irle.fitting import FittingStep, fit_blind_spot_steps
from napari_noiser.irle.guiding import guided
from napari_noiser.irle.model import BlindSpotModel
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.retinex_fitting import RetinexStep, fit_retinex_steps
from napari_noiser.irle.retinex_model import RetinexModel
from napari_noiser.irle.retinex_recipe import RetinexRecipe
from napari_noiser.irle.state import FittingState, IRLEState
from napari_noiser.irle.two_stages import IRLEModel
from napari_noiser.irle.two_stages_recipe import IRLERecipe
from napari_noiser.stack.crops import Crops, both, levelled, stabilised
from napari_noiser.stack.sampling import sampled_values
from napari_noiser.stack.work import Work

__all__ = [
    "Fitted",
    "FittedRecipe",
    "State",
    "Step",
    "fit_both_steps",
    "fit_denoiser_steps",
    "fit_light_steps",
]

Fitted = BlindSpotModel | RetinexModel | IRLEModel
FittedRecipe = BlindSpotRecipe | RetinexRecipe | IRLERecipe
Step = FittingStep | RetinexStep
State = FittingState | IRLEState

Result = TypeVar("Result")

_SPAN = (0.1, 99.9)  # percentiles that stand for black and white


def fit_denoiser_steps(
    works: Sequence[Work],
    recipe: BlindSpotRecipe,
    device: str,
    seed: int,
    resume: FittingState | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a blind spot: stage 2 alone."""
    layout = works[0].stack.layout
    black, _ = _levels(works)
    draw = Crops.of(works, recipe.crop, recipe.grid, recipe.batch, seed, stabilised(black))
    return fit_blind_spot_steps(
        draw,
        recipe=recipe,
        channels=layout.samples,
        ndim=layout.ndim,
        black=black,
        device=device,
        seed=seed,
        resume=resume,
    )


def fit_light_steps(
    works: Sequence[Work], recipe: RetinexRecipe, device: str, seed: int
) -> Generator[RetinexStep, None, RetinexModel]:
    """Fit illumination and reflectance: stage 1 alone."""
    black, white = _levels(works)
    read = levelled(black, white)
    draw = Crops.of(works, recipe.crop, 2 * recipe.step, recipe.batch, seed, read)
    return fit_retinex_steps(
        draw,
        recipe=recipe,
        channels=works[0].stack.layout.samples,
        device=device,
        seed=seed,
        black=black,
        white=white,
    )


def fit_both_steps(
    works: Sequence[Work],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: IRLEState | None = None,
) -> Generator[Step, None, IRLEModel]:
    """Fit stage 1, then stage 2 with the gain of its illumination.

    Raises
    ------
    ValueError
        If `resume` is of another fit.
    """
    if resume is not None and (resume.light.recipe, resume.light.seed) != (recipe.light, seed):
        raise ValueError("resume is of another fit: its recipe or seed of stage 1 is another")
    first = (
        _no_steps(resume.light) if resume else fit_light_steps(works, recipe.light, device, seed)
    )
    return _both(first, works, recipe, device, seed, resume)


def _no_steps(light: RetinexModel) -> Generator[RetinexStep, None, RetinexModel]:
    yield from ()
    return light


def _both(
    first: Generator[RetinexStep, None, RetinexModel],
    works: Sequence[Work],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: IRLEState | None,
) -> Generator[Step, None, IRLEModel]:
    light = yield from _as_part(first, 0, recipe.iterations)
    network = light.network(torch.device("cpu"))
    denoiser = recipe.denoiser
    read = both(stabilised(light.black), levelled(light.black, light.white))
    draw = Crops.of(works, denoiser.crop, denoiser.grid, denoiser.batch, seed, read)
    second = fit_blind_spot_steps(
        guided(network, draw),
        recipe=denoiser,
        channels=light.channels,
        black=light.black,
        device=device,
        seed=seed,
        resume=None if resume is None else resume.denoiser,
    )
    kept = _with_light(second, light)
    fitted = yield from _as_part(kept, recipe.light.iterations, recipe.iterations)
    return IRLEModel(light, fitted, recipe.name)


def _with_light(
    steps: Generator[FittingStep, None, BlindSpotModel], light: RetinexModel
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Let the events of stage 2 keep stage 1, too."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            fitted: BlindSpotModel = end.value
            return fitted
        yield replace(event, state=partial(_state_of_both, light, event))


def _state_of_both(light: RetinexModel, event: FittingStep) -> IRLEState:
    return IRLEState(light, event.state())


def _as_part(
    steps: Generator[Any, None, Result], done: int, total: int
) -> Generator[Step, None, Result]:
    """Number the events of a part of a fit as those of the whole, and return its result."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield replace(event, done=done + event.done, total=total)


def _levels(works: Sequence[Work]) -> tuple[float, float]:
    """Return the counts that stand for black and white.

    Of photographs their type's range; of others what nearly all pixels of a few planes span.

    Raises
    ------
    ValueError
        If there is no such span.
    """
    first = works[0].stack
    if first.layout.samples > 1 and first.array.dtype.kind in "ui":
        return 0.0, float(np.iinfo(first.array.dtype).max)
    found = [sampled_values(work.stack.array, layout=work.stack.layout)[0] for work in works]
    values = np.concatenate([each[np.isfinite(each)].astype(np.float64) for each in found])
    black, white = np.percentile(values, _SPAN).tolist() if len(values) else (0.0, 0.0)
    if not white > black:
        raise ValueError("images are constant: there is nothing to learn from")
    return black, white
