"""Fit a model to the user's own stacks: no clean image, no data but these."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress, map_events, run_with_progress
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout
from napari_noiser.arrays.sampling import content_digest
from napari_noiser.camera.noise_model import Camera
from napari_noiser.engine.calibration import calibrate_steps, sample_counted
from napari_noiser.engine.plan import Plan, make_plan
from napari_noiser.engine.training_crops import (
    Crops,
    check_sizes,
    check_values,
    scale_levels,
    stabilized,
    stack_pairs,
)
from napari_noiser.methods.base import Method
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.blind_spot.training import (
    Draw,
    fit_blind_spot_steps,
    initial_model,
)
from napari_noiser.methods.irle.checkpoint import FitState, IRLEState
from napari_noiser.methods.irle.missing_pixels import fill_nearest
from napari_noiser.methods.irle.optimization import BATCHES_AHEAD, FittingStep
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.retinex.training import fit_retinex_steps, initial_retinex
from napari_noiser.methods.irle.two_stage.illumination_gain import guided_crops
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe

Fitted = BlindSpotModel | RetinexModel | IRLEModel
FittedRecipe = BlindSpotRecipe | RetinexRecipe | IRLERecipe
State = FitState[Any] | IRLEState

Fit = TypeVar("Fit")

Steps = Generator[FittingStep, None, Fit]
"""A fit, a step at a time; its model is returned."""

_SPAN = (0.1, 99.9)  # percentiles that stand for black and white

AnyState = TypeVar("AnyState", FitState[Any], IRLEState)


def fit(
    images: Any,
    recipe: FittedRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain_map: Any = None,
    mask: Any = None,
    fill: Any = "auto",
    camera: Camera = "auto",
    repair: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: State | None = None,
    progress: Progress = False,
) -> Fitted:
    """Fit a model to your own dark, noisy stacks: IRLE, reconstructed from public figures.

    Where `train` sees no data at all, this sees yours, and nothing else. By a `BlindSpotRecipe`
    (stage 2) each pixel is to be told from those around it, which takes the noise off; by a
    `RetinexRecipe` (stage 1) an image is taken apart into illumination and reflectance; by an
    `IRLERecipe` both, the illumination guiding the denoising. The model suits these stacks, and
    others from the same microscope.

    Parameters
    ----------
    images : array, or sequence of array
        Raw counts of any size: numpy, memmap, zarr, dask. Random crops are read, never a whole
        array. 64 pixels a side and 65,536 in all at least; more see more. The noise must be
        independent from pixel to pixel (`noise_correlation` tells).
    recipe : BlindSpotRecipe, RetinexRecipe or IRLERecipe, optional
        The networks and the fit; left out, a blind spot's.
    axes : str, optional
        As in `enhance`, of all images. Channels (C) count as images of their own.
    ndim : int
        2 for planes alone; 3, of a blind spot, for planes between their neighbors in z, or in
        time without a z.
    gain_map : array, or sequence of array, optional
        If the recipe's gain is "given": one map an image, above 0, of its shape without S, its
        trailing axes, or one plane's or volume's. How much each pixel would be amplified: by a
        flat-field, an illumination, a stretch; the images are those before. A map that changes
        from pixel to pixel with the image's own noise leaks it past the blind spot.
    mask : array, or sequence of array, optional
        One an image, as in `enhance`. Crops lie where all pixels count, as far as there is room;
        what does not count, and what lies beside it, is never learned from.
    fill : see `enhance`
        As there.
    camera, repair : see `enhance`
        The camera's noise has to be known, or to be estimated from the images.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Same images, seed, recipe, device and number of threads: same model.
    resume : FitState or IRLEState, optional
        Where an earlier fit with the same arguments stood, from an event's ``state()`` or
        `load_fit_state`: it ends as one that was never stopped, bit by bit.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``.

    Returns
    -------
    BlindSpotModel, RetinexModel or IRLEModel
        For `enhance`; `save` writes it to a file.

    Raises
    ------
    InputError, InputTypeError
        If an argument is outside its range; if an image has too few pixels that count, is
        constant or not finite, or its noise cannot be estimated; if `resume` is of another fit.

    See Also
    --------
    fit_steps : The same, one event a step: for canceling and for checkpoints.

    Notes
    -----
    He et al., "Internally Referenced Low-Light Enhancement", arXiv 2605.28605, 2026. IRLE,
    reconstructed from public figures: there is no public code.

    Examples
    --------
    >>> import numpy as np
    >>> dim = np.random.default_rng(0).poisson(np.linspace(2, 90, 256), (256, 256))
    >>> model = fit(dim, BlindSpotRecipe(iterations=2, width=4, scales=(4,)))
    >>> model.samples, model.ndim
    (1, 2)
    """
    steps = fit_steps(
        images,
        recipe,
        axes=axes,
        ndim=ndim,
        gain_map=gain_map,
        mask=mask,
        fill=fill,
        camera=camera,
        repair=repair,
        device=device,
        seed=seed,
        resume=resume,
    )
    return run_with_progress(steps, progress, "fitting")


def fit_steps(
    images: Any,
    recipe: FittedRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain_map: Any = None,
    mask: Any = None,
    fill: Any = "auto",
    camera: Camera = "auto",
    repair: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: State | None = None,
) -> Generator[FittingStep, None, Fitted]:
    """Fit as `fit` does, giving control back after every step.

    The arguments are checked at once, and a few parts of the images are read. Closing the
    generator stops the fit within one step.

    Parameters
    ----------
    images, recipe, axes, ndim, gain_map, mask, fill, camera, repair, device, seed, resume : `fit`
        What to fit, to what, and where.

    Yields
    ------
    FittingStep
        The number of the step, its loss and a way to its state.

    Returns
    -------
    BlindSpotModel, RetinexModel or IRLEModel
        The generator's return value.

    Raises
    ------
    InputError, InputTypeError
        As in `fit`.
    """
    steps = prepare_fit(
        images,
        recipe,
        axes=axes,
        ndim=ndim,
        gain_map=gain_map,
        mask=mask,
        fill=fill,
        camera=camera,
        repair=repair,
        device=device,
        seed=seed,
        resume=resume,
    )
    return run_with_progress(steps, False, "")


@dataclass(frozen=True)
class PreparationStep:
    """One finished step of what comes before a fit: an image was looked at, or a batch drawn."""

    done: int
    total: int
    stage: str = "prepare"


def prepare_fit(
    images: Any,
    recipe: FittedRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain_map: Any = None,
    mask: Any = None,
    fill: Any = "auto",
    camera: Camera = "auto",
    repair: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: State | None = None,
) -> Generator[PreparationStep, None, Steps[Fitted]]:
    """Prepare a fit as `fit_steps` does, giving control back after every look at an image.

    Parameters
    ----------
    images, recipe, axes, ndim, gain_map, mask, fill, camera, repair, device, seed, resume : `fit`
        What to fit, to what, and where.

    Yields
    ------
    PreparationStep
        One an image, then one a batch of crops that are looked at before the first step.

    Returns
    -------
    generator
        What `fit_steps` returns.
    """
    stacks = _as_sequence("images", images)
    gains = _one_an_image("gain_map", gain_map, len(stacks))
    masks = _one_an_image("mask", mask, len(stacks))
    opened = [ImageArray.from_array(each, axes, ndim) for each in stacks]
    layouts = [stack.layout for stack in opened]
    check_sizes(layouts)
    samples = _samples(layouts)
    recipe = BlindSpotRecipe() if recipe is None else recipe
    blank = _blank(recipe, samples, ndim, seed)
    options: dict[str, Any] = {"camera": camera, "repair": repair, "fill": fill}
    check_values(opened)
    plans: list[Plan] = []
    for image, gain, counted in zip(opened, gains, masks, strict=True):
        plan = make_plan(image, blank, gain_map=gain, mask=counted, device="cpu", **options)
        begun = PreparationStep(len(plans), len(opened) + BATCHES_AHEAD)
        plan = yield from map_events(calibrate_steps(plan), partial(_looking, begun))
        plans.append(plan)
        yield replace(begun, done=len(plans))
    if isinstance(recipe, IRLERecipe):
        both = _checked(resume, IRLEState)
        return (yield from _prepare_both(plans, recipe, device, seed, both))
    state = _checked(resume, FitState)
    if isinstance(recipe, RetinexRecipe):
        return (yield from _prepare_retinex(plans, recipe, device, seed, state))
    return (yield from _prepare_denoiser(plans, recipe, device, seed, state))


def _looking(begun: PreparationStep, event: object) -> PreparationStep:
    """Return where a fit's preparation stands while an image is looked at."""
    return begun


def _look_ahead(
    draw: Draw, recipe: BlindSpotRecipe | RetinexRecipe, done: int
) -> Generator[PreparationStep, None, Draw]:
    """Draw what a fit looks at before its first step, and return what has it at hand."""
    drawn: dict[int, Tensor] = {}
    for number in range(1, BATCHES_AHEAD + 1):
        drawn[recipe.iterations + number] = draw(recipe.iterations + number)
        yield PreparationStep(done + number, done + BATCHES_AHEAD)
    return lambda number: drawn.pop(number) if number in drawn else draw(number)


def _checked(state: Any, kind: type[AnyState]) -> AnyState | None:
    if state is not None and not isinstance(state, kind):
        raise InputTypeError(
            "resume",
            f"must be of type {kind.__name__} for this recipe, got {type(state).__name__}",
        )
    return state


def _blank(recipe: FittedRecipe, samples: int, ndim: int, seed: int) -> Method:
    """Return a method of random weights that reads images as the one to be fitted will."""
    if isinstance(recipe, BlindSpotRecipe):
        return initial_model(recipe, samples, ndim, seed)
    if not isinstance(recipe, FittedRecipe):
        raise InputTypeError(
            "recipe",
            "must be a BlindSpotRecipe, RetinexRecipe or IRLERecipe, "
            f"got {type(recipe).__name__}; a Recipe is for train()",
        )
    if ndim != 2:
        raise InputError("ndim", "must be 2 for stage 1 of IRLE, which is of planes")
    if isinstance(recipe, RetinexRecipe):
        return initial_retinex(recipe, samples, seed)
    return initial_model(replace(recipe.denoiser, gain="none"), samples, 2, seed)


def _as_sequence(name: str, arrays: Any) -> list[Any]:
    if hasattr(arrays, "shape"):
        return [arrays]
    if not isinstance(arrays, Sequence) or isinstance(arrays, str) or not len(arrays):
        raise InputError(name, f"must be an array, or a sequence of at least one, got {arrays!r}")
    return list(arrays)


def _one_an_image(name: str, arrays: Any, count: int) -> list[Any]:
    """Return what lies beside each image: one array an image, or None for each."""
    found = [None] * count if arrays is None else _as_sequence(name, arrays)
    if len(found) != count:
        raise InputError(name, f"must be one an image, {count}; got {len(found)}")
    return found


def _samples(layouts: Sequence[Layout]) -> int:
    found = {layout.samples for layout in layouts}
    if len(found) > 1:
        raise InputError("images", f"must all have as many samples along S, got {sorted(found)}")
    return found.pop()


def _prepare_denoiser(
    plans: Sequence[Plan],
    recipe: BlindSpotRecipe,
    device: str,
    seed: int,
    resume: FitState[BlindSpotModel] | None,
) -> Generator[PreparationStep, None, Steps[BlindSpotModel]]:
    """Prepare the fit of a blind spot: stage 2 alone."""
    layout = plans[0].image.layout
    images = _same_images(plans, resume)
    begun = resume.model if resume and resume.images else None
    black = begun.scaling.black if isinstance(begun, BlindSpotModel) else _levels(plans)[0]
    crops = Crops.of(plans, recipe.crop, recipe.grid, recipe.batch, seed, stabilized(black))
    steps = fit_blind_spot_steps(
        (yield from _look_ahead(crops, recipe, len(plans))),
        recipe=recipe,
        samples=layout.samples,
        ndim=layout.ndim,
        black=black,
        device=device,
        seed=seed,
        resume=resume,
    )
    return _check_after(map_events(steps, partial(_of_images, images)), plans, images)


def _prepare_retinex(
    plans: Sequence[Plan],
    recipe: RetinexRecipe,
    device: str,
    seed: int,
    resume: FitState[RetinexModel] | None,
) -> Generator[PreparationStep, None, Steps[RetinexModel]]:
    """Prepare the fit of illumination and reflectance: stage 1 alone."""
    images = _same_images(plans, resume)
    _check_one_range(plans)
    begun = resume.model if resume and resume.images else None
    known = (begun.black, begun.white) if isinstance(begun, RetinexModel) else None
    black, white = known or _levels(plans)
    read = scale_levels(black, white)
    crops = Crops.of(plans, recipe.crop, 2 * recipe.step, recipe.batch, seed, read)
    steps = fit_retinex_steps(
        (yield from _look_ahead(lambda step: fill_nearest(crops(step)), recipe, len(plans))),
        recipe=recipe,
        samples=plans[0].image.layout.samples,
        device=device,
        seed=seed,
        black=black,
        white=white,
        resume=resume,
    )
    return _check_after(map_events(steps, partial(_of_images, images)), plans, images)


def _prepare_both(
    plans: Sequence[Plan],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: IRLEState | None,
) -> Generator[PreparationStep, None, Steps[IRLEModel]]:
    """Prepare the fit of stage 1, then of stage 2 with the gain of its illumination."""
    if resume is not None and resume.recipe != recipe:
        raise InputError("resume", "is of another fit: its recipe is another")
    retinex, denoiser = (resume.retinex, resume.denoiser) if resume else (None, None)
    first = yield from _prepare_retinex(plans, recipe.retinex, device, seed, retinex)
    return _both(first, plans, recipe, device, seed, denoiser)


def _both(
    first: Steps[RetinexModel],
    plans: Sequence[Plan],
    recipe: IRLERecipe,
    device: str,
    seed: int,
    resume: FitState[BlindSpotModel] | None,
) -> Steps[IRLEModel]:
    retinex = yield from map_events(first, partial(_of_both, recipe, None))
    network = retinex.network(torch.device("cpu"))
    denoiser = recipe.denoiser
    read = stack_pairs(stabilized(retinex.black), scale_levels(retinex.black, retinex.white))
    draw = Crops.of(plans, denoiser.crop, denoiser.grid, denoiser.batch, seed, read)
    second = fit_blind_spot_steps(
        guided_crops(network, draw),
        recipe=denoiser,
        samples=retinex.samples,
        black=retinex.black,
        device=device,
        seed=seed,
        resume=resume,
    )
    images = _digest(plans)
    finished = FitState(retinex, recipe.retinex.iterations, images=images)
    steps = map_events(second, partial(_of_both, recipe, finished))
    fitted = yield from _check_after(steps, plans, images)
    return IRLEModel(retinex, fitted, recipe.name)


def _check_after(steps: Steps[Fit], plans: Sequence[Plan], images: str) -> Steps[Fit]:
    """Run a fit; raise an `OSError` if its images are others in the end than they were."""
    fitted = yield from steps
    if _digest(plans) != images:
        raise OSError("an image has changed while it was read: the fit saw what it was and became")
    return fitted


def _same_images(plans: Sequence[Plan], resume: FitState[Any] | None) -> str:
    """Return the images' digest, or raise an `InputError` if a fit was of other images."""
    images = _digest(plans)
    if resume is not None and resume.images not in ("", images):
        raise InputError(
            "resume", "is of another fit: its images, their camera, repair or mask are others"
        )
    return images


def _digest(plans: Sequence[Plan]) -> str:
    """Return twelve hexadecimal digits, the same in whatever files and chunks the images are."""
    each = [
        (
            plan.image.layout.shape,
            content_digest(plan.image),
            plan.options["repair"],
            None if isinstance(plan.options["camera"], str) else plan.cameras,  # chunks decide it
            *(() if plan.mask is None else (plan.mask.fingerprint(),)),
            *(() if plan.options["fill"] == "auto" else (plan.fills,)),
        )
        for plan in plans
    ]
    return sha256(repr(each).encode()).hexdigest()[:12]


def _of_images(images: str, event: FittingStep) -> FittingStep:
    return replace(event, state=lambda: replace(event.state(), images=images))


def _of_both(
    recipe: IRLERecipe, finished: FitState[RetinexModel] | None, event: FittingStep
) -> FittingStep:
    """Return the event of a stage, the first if none is finished, as one of a fit of both."""

    def state() -> IRLEState:
        now = event.state()
        return IRLEState(recipe, now) if finished is None else IRLEState(recipe, finished, now)

    done = event.done + (finished.done if finished else 0)
    return replace(event, done=done, total=recipe.iterations, state=state)


def _check_one_range(plans: Sequence[Plan]) -> None:
    """Raise an `InputError` if photographs are of types whose ranges differ: white is one."""
    types = [plan.image.array.dtype for plan in plans]
    whites = [np.iinfo(each).max if each.kind in "ui" else None for each in types]
    for at, plan in enumerate(plans):
        if plan.image.layout.samples > 1 and whites[at] != whites[0]:
            raise InputError(
                "",
                f"must be of the first image's range, {types[0]}, got {types[at]}: one count is "
                "white in all; convert them to one type",
                index=at,
            )


def _levels(plans: Sequence[Plan]) -> tuple[float, float]:
    """Return the counts that stand for black and white.

    Of photographs their type's range; of others what nearly all pixels of a few planes span.
    """
    first = plans[0].image
    if first.layout.samples > 1 and first.array.dtype.kind in "ui":
        return 0.0, float(np.iinfo(first.array.dtype).max)
    values = np.concatenate([sample_counted(plan) for plan in plans])
    black, white = np.percentile(values, _SPAN).tolist() if len(values) else (0.0, 0.0)
    if not white > black:
        raise InputError("images", "are constant: there is nothing to learn from")
    return black, white
