"""Measure, fold, render: any array through any method, one event a tile."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_noiser.progress import Progress, drain
from napari_noiser.srm.model import Model
from napari_noiser.srm.patches import Halo
from napari_noiser.stack.axes import ImageIndex, Statistics
from napari_noiser.stack.moments import PatchMoments, patch_moments
from napari_noiser.stack.tiles import Tile
from napari_noiser.stack.values import is_dask, to_output
from napari_noiser.stack.work import Folded, Work, plan

__all__ = [
    "TileDone",
    "check_signal",
    "enhance",
    "fold_exposures",
    "measure_tile",
    "render_steps",
    "render_tile",
]


@dataclass(frozen=True)
class TileDone:
    """One finished tile.

    Attributes
    ----------
    done, total : int
        How many tiles are finished, of how many; measuring and rendering count alike.
    stage : str
        "measure" or "render".
    """

    done: int
    total: int
    stage: str


def enhance(
    image: ArrayLike,
    model: str | PathLike[str] | Model = "noiser",
    *,
    axes: str | None = None,
    ndim: int = 2,
    statistics: Statistics = "stack",
    mask: ArrayLike | None = None,
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

    The result is a display of the data, not a measurement: it is non-linear and depends on a
    pixel's neighbours. It does not depend on the gain and offset of the camera:
    ``enhance(a * x + b)`` equals ``enhance(x)`` for a > 0.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size. NaN and inf are left out of the statistics and come out
        as they went in. A dask array comes out as a lazy one (see Notes).
    model : str, path or Model
        A bundled name ("noiser", "noiser-es", "noiser-var3"), a .safetensors file, or what
        `train` returned. By name, the form for the image's samples and `ndim` is taken.
    axes : str, optional
        One letter an axis: T time, C channel (a dye: each is enhanced for itself), Z, Y, X, and
        S for colour samples (RGB or RGBA: one model sees them together; alpha passes through,
        scaled to [0, 1]). Left out, YX, ZYX, TZYX, TCZYX stand for 2, 3, 4, 5 dimensions: colour
        is never guessed.
    ndim : int
        2 renders planes (YX), 3 renders volumes (ZYX together). A 3-D model takes a voxel's
        neighbours in z as near as those in y and x, whatever the step in z.
    statistics : {"stack", "volume", "plane"}
        What shares one exposure, for each channel: the whole series (no flicker; bleaching and
        attenuation stay visible), each time point, or each plane for itself as in the paper.
    mask : array of bool or integers, optional
        Which pixels (not 0) set the exposure, by the patches centred on them; all are rendered.
        The image's shape without S, its trailing axes, or the shape of one plane (volume).
    brightness : float
        Added to the response before tanh; 0 leaves the mean at mid-gray.
    contrast : float
        Multiplies the response before tanh; above 0.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".
    tile : int, optional
        Side of the tiles in pixels. It never changes the result (beyond float rounding).
    memory_limit : int, optional
        Working memory in bytes, which bounds the tiles (down to 8 a side); it is an estimate, and
        the result itself comes on top. It never changes the result either.
    dtype : {"float32", "float64", "uint8", "uint16"}, optional
        Of the result, float32 by default. Integers span their range: 255 or 65535 is 1.
    out : array, optional
        A numpy or zarr array of the image's shape to fill, in one of those dtypes; a dask image
        is then computed here and now.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``. Not for a lazy
        result, whose progress is dask's own affair (`dask.diagnostics.ProgressBar`).

    Returns
    -------
    array
        In [0, 1], of the image's shape: ``(tanh(contrast * z + brightness) + 1) / 2``, where z is
        the network's last response. `out`, if it was given; lazy, if the image is a dask array.

    Raises
    ------
    TypeError
        If the image holds bool, complex or objects, or an argument is of the wrong type.
    ValueError
        If the image is empty, 0-d or nowhere finite, or an argument does not fit; the message
        names it, what came and what is accepted.

    Warns
    -----
    UserWarning
        If an exposure has no signal (all values are equal): it comes out flat at 0.5.

    See Also
    --------
    closed_form : The honest baseline to compare with.
    train : A model from a recipe of your own.

    Notes
    -----
    Zhang et al., "Noise Self-Regression", arXiv 2211.04700. The instance normalisation's
    statistics come from the moments of all 3x3 patches (merged after Chan et al. 1983), so tiled
    equals whole, and any number of tiles or planes share one exposure exactly.

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
        "statistics": statistics,
        "mask": mask,
        "brightness": brightness,
        "contrast": contrast,
        "device": device,
        "tile": tile,
        "memory_limit": memory_limit,
        "dtype": dtype,
    }
    if is_dask(image) and out is None:
        from napari_noiser.stack.lazy import plan_lazily  # brings dask in

        return plan_lazily(image, model, progress=progress, **options).result()
    work = plan(image, model, out=out, **options)
    return drain(render_steps(work), progress, "enhancing")


def render_steps(work: Work) -> Generator[TileDone, None, Any]:
    """Carry out a plan: measure all tiles, fold the method for each exposure, render all tiles.

    Closing the generator stops the work within one tile.

    Parameters
    ----------
    work : Work
        From `napari_noiser.stack.work.plan`.

    Yields
    ------
    TileDone
        Twice a tile: once measured, once rendered.

    Returns
    -------
    array
        The result, complete.
    """
    out = np.empty(work.stack.layout.shape, work.dtype) if work.out is None else work.out
    moments = yield from _measure(work)
    check_signal(moments.values())
    folded = fold_exposures(work, moments)
    count = work.tile_count
    for done, (image, tile) in enumerate(work.tiles(work.method.halo), start=count + 1):
        block = render_tile(work, folded.get(work.exposure(image)), image, tile)
        work.stack.layout.write(out, image, tile.place, block)
        yield TileDone(done, 2 * count, "render")
    return out


def _measure(work: Work) -> Generator[TileDone, None, dict[ImageIndex, PatchMoments]]:
    layout, total = work.stack.layout, 2 * work.tile_count
    size = layout.samples * 3**layout.ndim
    moments: dict[ImageIndex, PatchMoments] = {}
    for done, (image, tile) in enumerate(work.tiles(halo=1), start=1):
        key = work.exposure(image)
        found = measure_tile(work, image, tile)
        moments[key] = moments.get(key, PatchMoments.none(size)) + found
        yield TileDone(done, total, "measure")
    return moments


def measure_tile(work: Work, image: ImageIndex, tile: Tile) -> PatchMoments:
    """Return the moments of the patches centred in a tile, read with a halo of 1."""
    # torch has no float64 on Apple's GPUs; the moments need it.
    device = torch.device("cpu") if work.device.type == "mps" else work.device
    values = work.stack.exact(work.stack.read(image, tile.read))
    inside = None
    if work.mask is not None:
        here = work.stack.layout.without_samples.read(work.mask, image, tile.place)[0]
        inside = torch.from_numpy(here.copy()).to(device)
    return patch_moments(torch.from_numpy(values).to(device), tile.halo, inside, work.scratch)


def fold_exposures(
    work: Work, moments: dict[ImageIndex, PatchMoments]
) -> dict[ImageIndex, Folded]:
    """Return the method folded for each exposure that has a signal."""
    return {
        exposure: work.method.fold(found.mean, found.covariance, work.device)
        for exposure, found in moments.items()
        if found.has_signal
    }


def render_tile(work: Work, network: Folded | None, image: ImageIndex, tile: Tile) -> NDArray[Any]:
    """Return (S, *spatial) in the result's type for a tile's place: flat without a network."""
    raw = work.stack.read(image, tile.read)
    kept = raw[(slice(None), *_inner(tile))]
    if network is None:
        enhanced = np.full((work.stack.layout.samples, *kept.shape[1:]), 0.5, np.float32)
    else:
        enhanced = _render(network, raw, tile.halo, work)
    return to_output(enhanced, kept, work.dtype)


@torch.inference_mode()
def _render(network: Folded, raw: NDArray[Any], halo: Halo, work: Work) -> NDArray[np.float32]:
    """Return (samples, *spatial) in [0, 1] for a tile as it was read, halo taken off."""
    values = work.stack.normalised(raw, network.centre, network.scale)
    tile = torch.from_numpy(values)[None].to(work.device)
    with _full_precision(work.device):
        response = network(tile, halo, work.scratch)
    # (tanh(z) + 1) / 2 is the logistic function of 2 z
    response.mul_(2 * work.contrast).add_(2 * work.brightness).sigmoid_()
    result: NDArray[np.float32] = response[0].cpu().numpy()
    return result


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Keep CUDA's convolutions in float32: TF32's ten bits would make tiles differ."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def _inner(tile: Tile) -> tuple[slice, ...]:
    """Where a tile's place lies within what was read for it."""
    return tuple(
        slice(place.start - read.start, place.stop - read.start)
        for place, read in zip(tile.place, tile.read, strict=True)
    )


def check_signal(moments: Collection[PatchMoments], *, everything: bool = True) -> None:
    """Warn of exposures without a signal; raise an error where nothing can be made of them.

    Parameters
    ----------
    moments : collection of PatchMoments
        One an exposure.
    everything : bool
        Whether these are all exposures of the image. If so, one of them must have patches.

    Raises
    ------
    ValueError
        If there is nothing to measure, or values are too large.
    """
    if everything and not any(found.count for found in moments):
        raise ValueError(
            "image has no patch to measure: no 3x3 neighbourhood is finite throughout and "
            "centred in the mask"
        )
    if not all(np.isfinite(found.covariance).all() for found in moments):
        raise ValueError("image holds values too large to square; scale them down")
    flat = sum(not found.has_signal for found in moments)
    if flat:
        warnings.warn(
            f"no signal in {flat} of {len(moments)} exposures (all measured values are equal, or "
            "none is finite); they come out flat at 0.5",
            stacklevel=2,
        )
