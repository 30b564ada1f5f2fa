"""Fitting a model to someone's own stacks: no clean image, no data but these."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout
from napari_noiser.camera.noise_model import Camera
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.fit_stages import (
    Fitted,
    FittedRecipe,
    State,
    fit_both_steps,
    fit_denoiser_steps,
    fit_light_steps,
)
from napari_noiser.engine.plan import make_plan
from napari_noiser.engine.training_crops import check_sizes, check_values
from napari_noiser.methods.base import Method
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.blind_spot.training import initial_model
from napari_noiser.methods.irle.checkpoint import FittingState, IRLEState
from napari_noiser.methods.irle.optimization import FittingStep
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.retinex.training import initial_retinex
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe

__all__ = ["fit", "fit_steps"]

AnyState = TypeVar("AnyState", FittingState[Any], IRLEState)


def fit(
    images: Any,
    recipe: FittedRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain: Any = None,
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
        As in `enhance`, of all images. Dyes (C) count as images of their own.
    ndim : int
        2 for planes alone; 3, of a blind spot, for planes between their neighbors in z, or in
        time without a z.
    gain : array, or sequence of array, optional
        If the recipe's gain is "given": one map an image, above 0, of its shape without S, its
        trailing axes, or one plane's or volume's. How much each pixel would be amplified: by a
        flat-field, an illumination, a stretch; the images are those before. A map that changes
        from pixel to pixel with the image's own noise leaks it past the blind spot.
    camera, repair : see `enhance`
        The camera's noise has to be known, or to be told from the images.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    seed : int
        Same images, seed, recipe, device and number of threads: same model.
    resume : FittingState or IRLEState, optional
        Where an earlier fit with the same arguments stood, from an event's ``state()`` or
        `load_fitting_state`: it ends as one that was never stopped, bit by bit.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``.

    Returns
    -------
    BlindSpotModel, RetinexModel or IRLEModel
        For `enhance`; `save` writes it to a file.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; if an image has too few pixels, is constant or not
        finite, or its noise cannot be told; if `resume` is of another fit.

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
        gain=gain,
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
    gain: Any = None,
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
    images, recipe, axes, ndim, gain, camera, repair, device, seed, resume : see `fit`
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
    ValueError, TypeError
        As in `fit`.
    """
    stacks = _as_sequence("images", images)
    gains = [None] * len(stacks) if gain is None else _as_sequence("gain", gain)
    if len(gains) != len(stacks):
        raise InputError("gain", f"must be one map an image, {len(stacks)}; got {len(gains)}")
    opened = [ImageArray.from_array(each, axes, ndim) for each in stacks]
    layouts = [stack.layout for stack in opened]
    check_sizes(layouts)
    samples = _samples(layouts)
    recipe = BlindSpotRecipe() if recipe is None else recipe
    blank = _blank(recipe, samples, ndim, seed)
    options: dict[str, Any] = {"axes": axes, "ndim": ndim, "camera": camera, "repair": repair}
    check_values(opened)
    plans = [
        calibrate(make_plan(image, blank, gain=each, device="cpu", **options))
        for image, each in zip(stacks, gains, strict=True)
    ]
    if isinstance(recipe, IRLERecipe):
        return fit_both_steps(plans, recipe, device, seed, _checked(resume, IRLEState))
    state = _checked(resume, FittingState)
    if isinstance(recipe, RetinexRecipe):
        return fit_light_steps(plans, recipe, device, seed, state)
    return fit_denoiser_steps(plans, recipe, device, seed, state)


def _checked(state: Any, kind: type[AnyState]) -> AnyState | None:
    if state is not None and not isinstance(state, kind):
        raise InputTypeError(
            "resume",
            f"must be of type {kind.__name__} for this recipe, got {type(state).__name__}",
        )
    return state


def _blank(recipe: FittedRecipe, samples: int, ndim: int, seed: int) -> Method:
    """Return a method of random weights that reads images as the one to be fitted will.

    Raises
    ------
    TypeError, ValueError
        If the recipe is none of those that are fitted, or they are of planes and `ndim` is 3.
    """
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


def _samples(layouts: Sequence[Layout]) -> int:
    found = {layout.samples for layout in layouts}
    if len(found) > 1:
        raise InputError("images", f"must all have as many samples along S, got {sorted(found)}")
    return found.pop()
