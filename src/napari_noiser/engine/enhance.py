"""The two verbs: `enhance` makes a display, `denoise` returns light; and the steps of both."""

from __future__ import annotations

from collections.abc import Generator
from os import PathLike
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from napari_noiser._progress import run_with_progress
from napari_noiser.arrays.axis_names import label_like, own_axes, plain_array
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.options import (
    PROGRESS_TITLES,
    DenoiseOptions,
    EnhanceOptions,
    Verb,
    documented,
)
from napari_noiser.engine.passes import TileDone, measure_steps, render_steps
from napari_noiser.engine.plan import Plan, make_plan
from napari_noiser.methods.base import Method


@documented("enhance")
def enhance(
    image: ArrayLike,
    model: str | PathLike[str] | Method = "auto",
    **options: Unpack[EnhanceOptions],
) -> Any:
    """Make a display of a dim image or stack: values in [0, 1], to look at.

    It is no measurement (see `denoise`): it is non-linear and depends on a pixel's neighbors. It
    does not depend on the gain and offset of the camera: ``enhance(a * x + b)`` equals
    ``enhance(x)`` for a > 0.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size. NaN and inf are left out of the statistics and come out
        as they went in. A dask array comes out as a lazy one (see Notes), one of xarray with its
        names and coordinates.
    model : str, path or model
        "auto", a bundled name ("noiser", "noiser-es", "noiser-var3", "structured",
        "structured-tiny"), a .safetensors file, or what `train` returned. By name, the form for
        the image's samples, `colors` and `ndim` is taken. Or what `fit` returned, for images like
        those it was fitted to.
    {options}

    Returns
    -------
    array
        Of the image's shape: ``(tanh(contrast * z + brightness) + 1) / 2``, where z is the
        network's last response. `out`, if it was given; lazy, if the image is a dask array.

    Raises
    ------
    InputTypeError
        If the image holds bool, complex or objects, or an argument is of the wrong type.
    InputError
        If the image is empty, 0-d or nowhere finite, or an argument does not fit; it names the
        argument, what came and what is accepted.
    MemoryError
        If there is no room for the smallest tile.

    Warns
    -----
    UserWarning
        If planes that share statistics have no signal (all values are equal): they come out flat,
        at 0.5. If a device's memory runs out.

    See Also
    --------
    denoise : Light in the units of the image, for measuring.
    closed_form : The honest baseline to compare with.
    train : A model from a recipe of your own.

    Notes
    -----
    Zhang et al., "Noise Self-Regression", arXiv 2211.04700. The instance normalization's
    statistics come from the moments of all 3x3 patches (merged after Chan et al. 1983), so tiled
    equals whole, and any number of tiles or planes share their statistics exactly.

    An array that is stored in chunks (zarr, h5py; of others each plane counts as one) is read in
    whole chunks, each twice: once to measure, once to render. If `memory_limit` is too small for
    the chunks along one row of the image (one layer, if ndim=3), or for all chunks that one of
    `out` has a part of, some are read again. A lazy mask is read as the image is.

    Where memory runs out all the same, tiles are halved; then the CPU takes over from another
    device. A warning says so.

    Of a dask array nothing is computed before the result is, on any scheduler. Its chunks are
    what is read and held; `tile` and `memory_limit` bound the work inside a chunk only. Chunks
    thinner than 2 along Y, X (Z, if ndim=3) are merged. The image is computed twice, once to
    measure and once to render, so that no chunk must be held in between: where computing it is
    dear and memory is not, `persist` it first. "auto" is the device of whoever computes a chunk,
    and so is a warning of no signal. Only an image all of whose statistics lie in one chunk
    raises an error if it is nowhere finite.

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.random.default_rng(0).poisson(3, (5, 32, 32)).astype("uint16")
    >>> enhance(stack, "noiser", axes="ZYX").shape
    (5, 32, 32)
    """
    return run("enhance", image, model, **options)


@documented("denoise")
def denoise(
    image: ArrayLike,
    model: str | PathLike[str] | Method = "auto",
    **options: Unpack[DenoiseOptions],
) -> Any:
    """Return the light of an image without its noise: linear, in the image's units.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        As in `enhance`.
    model : str, path or model
        One that learned to see light through noise: "auto", "structured", "structured-tiny", a
        .safetensors file, or what `train` or `fit` returned.
    {options}

    Returns
    -------
    array
        Of the image's shape and in its units, its offset kept. `out`, if it was given; lazy, if
        the image is a dask array.

    Raises
    ------
    InputTypeError, InputError, MemoryError
        As in `enhance`; or if the model makes a display.

    Warns
    -----
    UserWarning
        As in `enhance`; what has no signal comes out as it went in.

    See Also
    --------
    enhance : A display, and how arrays are read.
    report : What denoising kept of the light.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(30, (96, 96)).astype("uint16")
    >>> light = denoise(counts)
    >>> bool(light.std() < 0.3 * counts.std()), round(float(light.mean() / counts.mean()), 2)
    (True, 1.0)
    """
    return run("denoise", image, model, **options)


def run(
    verb: Verb,
    image: ArrayLike,
    model: str | PathLike[str] | Method = "auto",
    *,
    progress: Any = False,
    **options: Any,
) -> Any:
    """Run a verb, whose arguments are documented at `enhance` and `denoise`."""
    if options.get("axes") is None:
        options["axes"] = own_axes(image)
    array, out = plain_array(image), options.get("out")
    if is_dask(array) and out is None:
        from napari_noiser.engine.dask_graph import make_lazy_plan  # brings dask in

        lazy = make_lazy_plan(array, model, verb, progress=progress, **options)
        return label_like(image, lazy.result())
    plan = calibrate(make_plan(array, model, verb, **options))
    result = run_with_progress(plan_steps(plan), progress, PROGRESS_TITLES[verb])
    return label_like(image, result) if out is None else result


def plan_steps(plan: Plan) -> Generator[TileDone, None, Any]:
    """Carry out a plan: measure all tiles, fold the method for each group, render all tiles.

    Closing the generator stops the work within one tile.

    Parameters
    ----------
    plan : Plan
        From `napari_noiser.engine.plan.make_plan`, calibrated.

    Yields
    ------
    TileDone
        Once for each tile measured, once for each tile rendered.

    Returns
    -------
    array
        The result, complete.
    """
    out = plan.options["out"]
    if out is None:
        out = np.empty(plan.image.layout.shape, plan.dtype)
    try:
        moments = yield from measure_steps(plan, out)
        yield from render_steps(plan, out, moments)
    finally:
        plan.device_memory.release()
    return out
