"""The fits of each stage, and of both, to stacks that are ready to be read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from napari_noiser._progress import mapped
from napari_noiser.arrays.sampling import sampled_values, squares_digest
from napari_noiser.engine.plan import Work
from napari_noiser.engine.training_crops import Crops, both, levelled, stabilized
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.blind_spot.training import fit_blind_spot_steps
from napari_noiser.methods.irle.checkpoint import FittingState, IRLEState
from napari_noiser.methods.irle.optimization import FittingStep
from napari_noiser.methods.irle.retinex.illumination_gain import guided
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
    works: Sequence[Work],
    recipe: BlindSpotRecipe,
    device: str,
    seed: int,
    resume: FittingState[BlindSpotModel] | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
    """Fit a blind spot: stage 2 alone."""
    layout = works[0].stack.layout
    images = _same_images(works, resume)
    begun = resume.model if resume and resume.images else None
    black = begun.scaling.black if isinstance(begun, BlindSpotModel) else _levels(works)[0]
    draw = Crops.of(works, recipe.crop, recipe.grid, recipe.batch, seed, stabilized(black))
    steps = fit_blind_spot_steps(
        draw,
        recipe=recipe,
        channels=layout.samples,
        ndim=layout.ndim,
        black=black,
        device=device,
        seed=seed,
        resume=resume,
    )
    return mapped(steps, partial(_of_images, images))


def fit_light_steps(
    works: Sequence[Work],
    recipe: RetinexRecipe,
    device: str,
    seed: int,
    resume: FittingState[RetinexModel] | None = None,
) -> Generator[FittingStep, None, RetinexModel]:
    """Fit illumination and reflectance: stage 1 alone."""
    images = _same_images(works, resume)
    begun = resume.model if resume and resume.images else None
    known = (begun.black, begun.white) if isinstance(begun, RetinexModel) else None
    black, white = known or _levels(works)
    read = levelled(black, white)
    draw = Crops.of(works, recipe.crop, 2 * recipe.step, recipe.batch, seed, read)
    steps = fit_retinex_steps(
        draw,
        recipe=recipe,
        channels=works[0].stack.layout.samples,
        device=device,
        seed=seed,
        black=black,
        white=white,
        resume=resume,
    )
    return mapped(steps, partial(_of_images, images))


def fit_both_steps(
    works: Sequence[Work],
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
        raise ValueError("resume is of another fit: its recipe is another")
    light, denoiser = (resume.light, resume.denoiser) if resume else (None, None)
    first = fit_light_steps(works, recipe.light, device, seed, light)
    return _both(first, works, recipe, device, seed, denoiser)


def _both(
    first: Generator[FittingStep, None, RetinexModel],
    works: Sequence[Work],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: FittingState[BlindSpotModel] | None,
) -> Generator[FittingStep, None, IRLEModel]:
    light = yield from mapped(first, partial(_of_both, recipe, None))
    network = light.network(torch.device("cpu"))
    denoiser = recipe.denoiser
    read = both(stabilized(light.black), levelled(light.black, light.white))
    draw = Crops.of(works, denoiser.crop, denoiser.grid, denoiser.batch, seed, read)
    second = fit_blind_spot_steps(
        guided(network, draw),
        recipe=denoiser,
        channels=light.channels,
        black=light.black,
        device=device,
        seed=seed,
        resume=resume,
    )
    finished = FittingState(light, recipe.light.iterations, images=_digest(works))
    fitted = yield from mapped(second, partial(_of_both, recipe, finished))
    return IRLEModel(light, fitted, recipe.name)


def _same_images(works: Sequence[Work], resume: FittingState[Any] | None) -> str:
    """Return what tells the images from others, or raise a `ValueError` if a fit was of others."""
    images = _digest(works)
    if resume is not None and resume.images not in ("", images):
        raise ValueError("resume is of another fit: its images, their camera or repair are others")
    return images


def _digest(works: Sequence[Work]) -> str:
    """Return twelve hexadecimal digits, the same in whatever files and chunks the images are."""
    each = [
        (
            work.stack.layout.shape,
            squares_digest(work.stack),
            work.repair,
            None if work.estimated else work.cameras,  # an estimate depends on the chunks
        )
        for work in works
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
