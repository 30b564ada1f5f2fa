"""The fits of each stage, and of both, to stacks that are ready to be read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from napari_noiser._errors import InputError
from napari_noiser._progress import map_events
from napari_noiser.arrays.sampling import content_digest, sample_values
from napari_noiser.engine.plan import Plan
from napari_noiser.engine.training_crops import Crops, scale_levels, stabilized, stack_pairs
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.blind_spot.training import fit_blind_spot_steps
from napari_noiser.methods.irle.checkpoint import FittingState, IRLEState
from napari_noiser.methods.irle.optimization import FittingStep
from napari_noiser.methods.irle.retinex.illumination_gain import guided_crops
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.retinex.training import fit_retinex_steps
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe

__all__ = [
    "Fitted",
    "FittedRecipe",
    "State",
    "fit_both_steps",
    "fit_denoiser_steps",
    "fit_light_steps",
]

Fitted = BlindSpotModel | RetinexModel | IRLEModel
FittedRecipe = BlindSpotRecipe | RetinexRecipe | IRLERecipe
State = FittingState[Any] | IRLEState

_SPAN = (0.1, 99.9)  # percentiles that stand for black and white


def fit_denoiser_steps(
    plans: Sequence[Plan],
    recipe: BlindSpotRecipe,
    device: str,
    seed: int,
    resume: FittingState[BlindSpotModel] | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a blind spot: stage 2 alone."""
    layout = plans[0].image.layout
    images = _same_images(plans, resume)
    begun = resume.model if resume and resume.images else None
    black = begun.scaling.black if isinstance(begun, BlindSpotModel) else _levels(plans)[0]
    draw = Crops.of(plans, recipe.crop, recipe.grid, recipe.batch, seed, stabilized(black))
    steps = fit_blind_spot_steps(
        draw,
        recipe=recipe,
        samples=layout.samples,
        ndim=layout.ndim,
        black=black,
        device=device,
        seed=seed,
        resume=resume,
    )
    return map_events(steps, partial(_of_images, images))


def fit_light_steps(
    plans: Sequence[Plan],
    recipe: RetinexRecipe,
    device: str,
    seed: int,
    resume: FittingState[RetinexModel] | None = None,
) -> Generator[FittingStep, None, RetinexModel]:
    """Fit illumination and reflectance: stage 1 alone."""
    images = _same_images(plans, resume)
    begun = resume.model if resume and resume.images else None
    known = (begun.black, begun.white) if isinstance(begun, RetinexModel) else None
    black, white = known or _levels(plans)
    read = scale_levels(black, white)
    draw = Crops.of(plans, recipe.crop, 2 * recipe.step, recipe.batch, seed, read)
    steps = fit_retinex_steps(
        draw,
        recipe=recipe,
        samples=plans[0].image.layout.samples,
        device=device,
        seed=seed,
        black=black,
        white=white,
        resume=resume,
    )
    return map_events(steps, partial(_of_images, images))


def fit_both_steps(
    plans: Sequence[Plan],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: IRLEState | None = None,
) -> Generator[FittingStep, None, IRLEModel]:
    """Fit stage 1, then stage 2 with the gain of its illumination.

    Raises
    ------
    ValueError
        If `resume` is of another fit.
    """
    if resume is not None and resume.recipe != recipe:
        raise InputError("resume", "is of another fit: its recipe is another")
    light, denoiser = (resume.light, resume.denoiser) if resume else (None, None)
    first = fit_light_steps(plans, recipe.light, device, seed, light)
    return _both(first, plans, recipe, device, seed, denoiser)


def _both(
    first: Generator[FittingStep, None, RetinexModel],
    plans: Sequence[Plan],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: FittingState[BlindSpotModel] | None,
) -> Generator[FittingStep, None, IRLEModel]:
    light = yield from map_events(first, partial(_of_both, recipe, None))
    network = light.network(torch.device("cpu"))
    denoiser = recipe.denoiser
    read = stack_pairs(stabilized(light.black), scale_levels(light.black, light.white))
    draw = Crops.of(plans, denoiser.crop, denoiser.grid, denoiser.batch, seed, read)
    second = fit_blind_spot_steps(
        guided_crops(network, draw),
        recipe=denoiser,
        samples=light.samples,
        black=light.black,
        device=device,
        seed=seed,
        resume=resume,
    )
    finished = FittingState(light, recipe.light.iterations, images=_digest(plans))
    fitted = yield from map_events(second, partial(_of_both, recipe, finished))
    return IRLEModel(light, fitted, recipe.name)


def _same_images(plans: Sequence[Plan], resume: FittingState[Any] | None) -> str:
    """Return what tells the images from others, or raise a `ValueError` if a fit was of others."""
    images = _digest(plans)
    if resume is not None and resume.images not in ("", images):
        raise InputError(
            "resume", "is of another fit: its images, their camera or repair are others"
        )
    return images


def _digest(plans: Sequence[Plan]) -> str:
    """Return twelve hexadecimal digits, the same in whatever files and chunks the images are."""
    each = [
        (
            plan.image.layout.shape,
            content_digest(plan.image),
            plan.repair,
            None if plan.cameras_estimated else plan.cameras,  # an estimate depends on the chunks
        )
        for plan in plans
    ]
    return sha256(repr(each).encode()).hexdigest()[:12]


def _of_images(images: str, event: FittingStep) -> FittingStep:
    return replace(event, state=lambda: replace(event.state(), images=images))


def _of_both(
    recipe: IRLERecipe, finished: FittingState[RetinexModel] | None, event: FittingStep
) -> FittingStep:
    """Return the event of a stage, the first if none is finished, as one of a fit of both."""

    def state() -> IRLEState:
        now = event.state()
        return IRLEState(recipe, now) if finished is None else IRLEState(recipe, finished, now)

    done = event.done + (finished.done if finished else 0)
    return replace(event, done=done, total=recipe.iterations, state=state)


def _levels(plans: Sequence[Plan]) -> tuple[float, float]:
    """Return the counts that stand for black and white.

    Of photographs their type's range; of others what nearly all pixels of a few planes span.

    Raises
    ------
    ValueError
        If there is no such span.
    """
    first = plans[0].image
    if first.layout.samples > 1 and first.array.dtype.kind in "ui":
        return 0.0, float(np.iinfo(first.array.dtype).max)
    found = [sample_values(plan.image.array, layout=plan.image.layout)[0] for plan in plans]
    values = np.concatenate([each[np.isfinite(each)].astype(np.float64) for each in found])
    black, white = np.percentile(values, _SPAN).tolist() if len(values) else (0.0, 0.0)
    if not white > black:
        raise InputError("images", "are constant: there is nothing to learn from")
    return black, white
