"""Measure, fold, render: any array through any method, one event a tile."""

from __future__ import annotations

from collections.abc import Generator
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from napari_noiser._progress import Progress, run_with_progress
from napari_noiser.arrays.image_array import Background, Output, is_dask
from napari_noiser.arrays.layout import Colors, Statistics
from napari_noiser.camera.noise_model import Camera
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.passes import TileDone, measure_steps, render_steps
from napari_noiser.engine.plan import Plan, make_plan
from napari_noiser.methods.noiser.model import Model

__all__ = ["enhance", "plan_steps"]


def enhance(
    image: ArrayLike,
    model: str | PathLike[str] | Model = "noiser",
    *,
    axes: str | None = None,
    ndim: int = 2,
    colors: Colors = "balanced",
    statistics: Statistics = "stack",
    mask: ArrayLike | None = None,
    gain: ArrayLike | None = None,
    camera: Camera = "auto",
    repair: bool = True,
    max_change: float | None = None,
    conserve: float | None = None,
    background: Background = "gray",
    output: Output = "display",
    brightness: float = 0.0,
    contrast: float = 1.0,
    device: str = "auto",
    tile: int | None = None,
    memory_limit: int | None = None,
    dtype: DTypeLike | None = None,
    out: Any = None,
    progress: Progress = False,
) -> Any:
    """Make a dim image or stack visible by noise self-regression.

    The result is a display of the data, not a measurement (but see `output`): it is non-linear
    and depends on a pixel's neighbors. It does not depend on the gain and offset of the camera:
    ``enhance(a * x + b)`` equals ``enhance(x)`` for a > 0.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size. NaN and inf are left out of the statistics and come out
        as they went in. A dask array comes out as a lazy one (see Notes).
    model : str, path or Model
        A bundled name ("noiser", "noiser-es", "noiser-var3", "structured", "structured-tiny"), a
        .safetensors file, or what `train` returned. By name, the form for the image's samples,
        `colors` and `ndim` is taken. A model of one sample that restores, such as "structured",
        always keeps colors. Or what `fit` returned, for images like those it was fitted to.
    axes : str, optional
        One letter an axis: T time, C channel (a dye: each is enhanced for itself), Z, Y, X, and
        S for color samples (RGB or RGBA: see `colors`; alpha passes through, scaled to
        [0, 1]). Left out, YX, ZYX, TZYX, TCZYX stand for 2, 3, 4, 5 dimensions: color
        is never guessed.
    ndim : int
        2 renders planes (YX), 3 renders volumes (ZYX together). A 3-D model takes a voxel's
        neighbors in z as near as those in y and x, whatever the step in z; one that restores
        sees each plane between its two neighbors. Without Z, time stands in its place (TYX
        together): what moves between two time points may then be merged.
    colors : {"balanced", "kept"}
        Of an image with samples (S). Balanced: a model of three channels sees them together, and
        a color cast is removed like a lack of light. Kept: a model of one channel renders each
        of them, with one exposure for all, so that no cast comes or goes. Gain and offset do not
        matter then as long as the samples share them.
    statistics : {"stack", "volume", "plane"}
        What shares one exposure, for each channel: the whole series (no flicker; bleaching and
        attenuation stay visible), each time point, or each plane for itself as in the paper.
    mask : array of bool or integers, optional
        Which pixels (not 0) set the exposure, by the patches centered on them; all are rendered.
        The image's shape without S, its trailing axes, or the shape of one plane (volume).
    gain : array, optional
        For a model that was fitted to images with their gain maps (`fit`): the image's, above 0,
        of a shape as a mask's, or one number for all of it.
    camera : CameraNoise, sequence of CameraNoise, "auto" or None
        The noise of the camera: values are then stabilized before all else (the generalized
        Anscombe transform; an intensity is taken back without bias), so that the same model
        serves every camera. One for all, or one for each channel (C). "auto" estimates it from a
        few planes for models that restore light, such as "structured", and does without for
        others, as None does for all.
    repair : bool
        Whether pixels that stand out as no lens would have it, hot ones and cosmic rays, are
        replaced by their neighbors' median. That takes a camera's noise to tell them by.
    max_change : float, optional
        Of a model that restores: by how many standard deviations of the noise the result may
        differ from what was read (and repaired).
    conserve : float, optional
        Of an intensity: what was taken away is given back behind a Gaussian of this standard
        deviation, in pixels, so that the light of stars and cells stays what it was in the raw
        data. 2 leaves a seventh of white noise at least, 4 a fourteenth.
    background : {"gray", "dark"}
        Of a display. Gray: the mean comes out as mid-gray, as in the paper, and an empty
        background not far below. Dark: the background, found by sigma clipping in a few planes of
        each channel, comes out at 0.05, and nothing is lifted above what its noise allows: a step
        as high as the noise is wide stays below 0.2 before tanh.
    output : {"display", "intensity"}
        To be looked at, in [0, 1]; or the light itself, denoised, in the image's units: linear,
        its offset kept. That takes a model that learned to see light through noise, such as
        "structured"; brightness and contrast are of no effect on it.
    brightness : float
        Added to the response before tanh; 0 leaves the mean at mid-gray.
    contrast : float
        Multiplies the response before tanh; above 0.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    tile : int, optional
        Side of the tiles in pixels. It never changes the result (beyond float rounding).
    memory_limit : int, optional
        Bytes to hold at a time, by default a quarter of what is free: parts of the image, tiles
        (down to 8 a side) and what is computed from them. On top come a result in memory, and
        what zarr and the like take to decode and encode a chunk, or chunks that are larger than
        that themselves. It never changes the result either.
    dtype : {"float32", "float64", "uint8", "uint16"}, optional
        Of the result, float32 by default. For display integers span their range: 255 or 65535
        is 1; an intensity is rounded, and clipped to what they hold.
    out : array, optional
        A numpy or zarr array of the image's shape to fill, in one of those dtypes, a chunk at a
        time; a dask image is then computed here and now.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``. Not for a lazy
        result, whose progress is dask's own affair (`dask.diagnostics.ProgressBar`).

    Returns
    -------
    array
        Of the image's shape. For display in [0, 1]: ``(tanh(contrast * z + brightness) + 1) / 2``,
        where z is the network's last response. `out`, if it was given; lazy, if the image is a
        dask array.

    Raises
    ------
    TypeError
        If the image holds bool, complex or objects, or an argument is of the wrong type.
    ValueError
        If the image is empty, 0-d or nowhere finite, or an argument does not fit; the message
        names it, what came and what is accepted.
    MemoryError
        If there is no room for the smallest tile.

    Warns
    -----
    UserWarning
        If an exposure has no signal (all values are equal): it comes out flat, a display at 0.5.
        If a device's memory runs out.

    See Also
    --------
    closed_form : The honest baseline to compare with.
    train : A model from a recipe of your own.

    Notes
    -----
    Zhang et al., "Noise Self-Regression", arXiv 2211.04700. The instance normalization's
    statistics come from the moments of all 3x3 patches (merged after Chan et al. 1983), so tiled
    equals whole, and any number of tiles or planes share one exposure exactly.

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
    and so is a warning of no signal, which counts the exposures in a chunk. Only an image whose
    exposures all lie in one chunk raises an error if it is nowhere finite.

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.random.default_rng(0).poisson(3, (5, 32, 32)).astype("uint16")
    >>> enhance(stack, "noiser", axes="ZYX").shape
    (5, 32, 32)
    """
    options: dict[str, Any] = {
        "axes": axes,
        "ndim": ndim,
        "colors": colors,
        "statistics": statistics,
        "mask": mask,
        "gain": gain,
        "camera": camera,
        "repair": repair,
        "max_change": max_change,
        "conserve": conserve,
        "background": background,
        "output": output,
        "brightness": brightness,
        "contrast": contrast,
        "device": device,
        "tile": tile,
        "memory_limit": memory_limit,
        "dtype": dtype,
    }
    if is_dask(image) and out is None:
        from napari_noiser.engine.dask_graph import make_lazy_plan  # brings dask in

        return make_lazy_plan(image, model, progress=progress, **options).result()
    plan = calibrate(make_plan(image, model, out=out, **options))
    return run_with_progress(plan_steps(plan), progress, "enhancing")


def plan_steps(plan: Plan) -> Generator[TileDone, None, Any]:
    """Carry out a plan: measure all tiles, fold the method for each exposure, render all tiles.

    Closing the generator stops the work within one tile.

    Parameters
    ----------
    work : Work
        From `napari_noiser.engine.plan.make_plan`.

    Yields
    ------
    TileDone
        Once for each tile measured, once for each tile rendered.

    Returns
    -------
    array
        The result, complete.
    """
    out = np.empty(plan.image.layout.shape, plan.dtype) if plan.out is None else plan.out
    try:
        moments = yield from measure_steps(plan, out)
        yield from render_steps(plan, out, moments)
    finally:
        plan.device_memory.release()
    return out
