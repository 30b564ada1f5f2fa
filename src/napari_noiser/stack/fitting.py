"""Fitting a model to someone's own stacks: no clean image, no data but these."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from napari_noiser.camera.telling import Camera
from napari_noiser.irle.fitting import FittingStep, fit_blind_spot_steps, unfitted
from napari_noiser.irle.model import BlindSpotModel
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.state import FittingState
from napari_noiser.progress import Progress, drain
from napari_noiser.stack.axes import Layout
from napari_noiser.stack.calibration import calibrated
from napari_noiser.stack.crops import Crops, check_sizes
from napari_noiser.stack.values import Stack
from napari_noiser.stack.work import plan

__all__ = ["fit", "fit_steps"]


def fit(
    images: Any,
    recipe: BlindSpotRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain: Any = None,
    camera: Camera = "auto",
    repair: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: FittingState | None = None,
    progress: Progress = False,
) -> BlindSpotModel:
    """Fit a gain-guided blind spot to noisy stacks: the second stage of IRLE, reconstructed.

    Where `train` sees no data at all, this sees yours, and nothing else: each pixel is to be told
    from those around it. The model suits these stacks, and others from the same microscope.

    Parameters
    ----------
    images : array, or sequence of array
        Raw counts of any size: numpy, memmap, zarr, dask. Random crops are read, never a whole
        array. 64 pixels a side and 65,536 in all at least; more see more. The noise must be
        independent from pixel to pixel (`noise_correlation` tells).
    recipe : BlindSpotRecipe, optional
        The network and the fit.
    axes : str, optional
        As in `enhance`, of all images. Dyes (C) count as images of their own.
    ndim : int
        2 for planes alone; 3 for planes between their neighbours in z, or in time without a z.
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
    resume : FittingState, optional
        Where an earlier fit with the same arguments stood, from `FittingStep.state` or
        `load_fitting_state`.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``.

    Returns
    -------
    BlindSpotModel
        For `enhance`; `save` writes it to a file.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range; if an image has too few pixels, is constant or not
        finite, or its noise cannot be told; if `resume` is of another fit.

    See Also
    --------
    fit_steps : The same, one event a step: for cancelling and for checkpoints.

    Notes
    -----
    He et al., "Internally Referenced Low-Light Enhancement", arXiv 2605.28605, 2026. IRLE,
    reconstructed from public figures: there is no public code.

    Examples
    --------
    >>> import numpy as np
    >>> dim = np.random.default_rng(0).poisson(np.linspace(2, 90, 256), (256, 256))
    >>> model = fit(dim, BlindSpotRecipe(iterations=2, width=4, scales=(4,)))
    >>> model.channels, model.ndim
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
    return drain(steps, progress, "fitting")


def fit_steps(
    images: Any,
    recipe: BlindSpotRecipe | None = None,
    *,
    axes: str | None = None,
    ndim: int = 2,
    gain: Any = None,
    camera: Camera = "auto",
    repair: bool = True,
    device: str = "auto",
    seed: int = 0,
    resume: FittingState | None = None,
) -> Generator[FittingStep, None, BlindSpotModel]:
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
    BlindSpotModel
        The generator's return value.

    Raises
    ------
    ValueError, TypeError
        As in `fit`.
    """
    stacks = _as_sequence("images", images)
    gains = [None] * len(stacks) if gain is None else _as_sequence("gain", gain)
    if len(gains) != len(stacks):
        raise ValueError(f"gain must be one map an image, {len(stacks)}; got {len(gains)}")
    layouts = [Stack.of(each, axes, ndim).layout for each in stacks]
    check_sizes(layouts)
    channels = _channels(layouts)
    blank = unfitted(recipe, channels, ndim, seed)
    options: dict[str, Any] = {"axes": axes, "ndim": ndim, "camera": camera, "repair": repair}
    works = [
        calibrated(plan(image, blank, gain=each, device="cpu", **options))
        for image, each in zip(stacks, gains, strict=True)
    ]
    recipe = blank.recipe
    draw = Crops.of(works, recipe.crop, recipe.grid, recipe.batch, blank.seed)
    form: dict[str, Any] = {"channels": channels, "ndim": ndim, "seed": seed, "device": device}
    return fit_blind_spot_steps(draw, recipe=recipe, resume=resume, **form)


def _as_sequence(name: str, arrays: Any) -> list[Any]:
    if hasattr(arrays, "shape"):
        return [arrays]
    if not isinstance(arrays, Sequence) or isinstance(arrays, str) or not len(arrays):
        raise ValueError(f"{name} must be an array, or a sequence of at least one, got {arrays!r}")
    return list(arrays)


def _channels(layouts: Sequence[Layout]) -> int:
    found = {layout.samples for layout in layouts}
    if len(found) > 1:
        raise ValueError(f"images must all have as many samples along S, got {sorted(found)}")
    return found.pop()
