"""Measure, fold, render: any array through any method, one event a tile."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_noiser.progress import Progress, drain
from napari_noiser.srm.fold import Halo
from napari_noiser.srm.model import Model
from napari_noiser.stack.axes import ImageIndex, Statistics
from napari_noiser.stack.moments import PatchMoments, patch_moments
from napari_noiser.stack.tiles import Tile
from napari_noiser.stack.values import to_output
from napari_noiser.stack.work import Folded, Work, plan

__all__ = ["TileDone", "enhance", "render_steps"]

_FAR = 1e18  # standard deviations: what a mask keeps out of the statistics may be anything


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
        as they went in.
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
        A numpy or zarr array of the image's shape to fill, in one of those dtypes.
    progress : bool or callable
        True shows a tqdm bar; a callable is called as ``progress(done, total)``.

    Returns
    -------
    array
        In [0, 1], of the image's shape: ``(tanh(contrast * z + brightness) + 1) / 2``, where z is
        the network's last response. `out`, if it was given.

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

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.random.default_rng(0).poisson(3, (5, 32, 32)).astype("uint16")
    >>> enhance(stack, "noiser", axes="ZYX").shape
    (5, 32, 32)
    """
    work = plan(
        image,
        model,
        axes=axes,
        ndim=ndim,
        statistics=statistics,
        mask=mask,
        brightness=brightness,
        contrast=contrast,
        device=device,
        tile=tile,
        memory_limit=memory_limit,
        dtype=dtype,
        out=out,
    )
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
    _check_signal(moments)
    folded = {
        exposure: work.method.fold(found.mean, found.covariance, work.device)
        for exposure, found in moments.items()
        if found.has_signal
    }
    count = work.tile_count
    for done, (image, tile) in enumerate(work.tiles(work.method.halo), start=count + 1):
        values, raw = work.stack.read(image, tile.read)
        kept = (slice(None), *_inner(tile))
        network = folded.get(work.exposure(image))
        enhanced = (
            np.full((len(values), *raw[kept].shape[1:]), 0.5, np.float32)
            if network is None
            else _render(network, values, tile.halo, work)
        )
        block = to_output(enhanced, raw[kept], work.dtype)
        work.stack.layout.write(out, image, tile.place, block)
        yield TileDone(done, 2 * count, "render")
    return out


def _measure(work: Work) -> Generator[TileDone, None, dict[ImageIndex, PatchMoments]]:
    # torch has no float64 on Apple's GPUs; the moments need it.
    device = torch.device("cpu") if work.device.type == "mps" else work.device
    layout, total = work.stack.layout, 2 * work.tile_count
    size = layout.samples * 3**layout.ndim
    moments: dict[ImageIndex, PatchMoments] = {}
    for done, (image, tile) in enumerate(work.tiles(halo=1), start=1):
        values, _ = work.stack.read(image, tile.read)
        inside = None
        if work.mask is not None:
            here = layout.without_samples.read(work.mask, image, tile.place)[0]
            inside = torch.from_numpy(here.copy()).to(device)
        found = patch_moments(torch.from_numpy(values).to(device), tile.halo, inside)
        key = work.exposure(image)
        moments[key] = moments.get(key, PatchMoments.none(size)) + found
        yield TileDone(done, total, "measure")
    return moments


@torch.inference_mode()
def _render(
    network: Folded, values: NDArray[np.float64], halo: Halo, work: Work
) -> NDArray[np.float32]:
    """Return (samples, *spatial) in [0, 1] for a tile's values, halo taken off."""
    centre = network.centre.reshape(-1, *(1 for _ in halo))
    values = (values - centre) / network.scale
    values[~np.isfinite(values)] = 0.0  # a voxel without a value is read as the channel's mean
    np.clip(values, -_FAR, _FAR, out=values)
    tile = torch.from_numpy(values.astype(np.float32))[None].to(work.device)
    with _full_precision(work.device):
        response = network(tile, halo)
    response.mul_(work.contrast).add_(work.brightness).tanh_().add_(1).mul_(0.5)
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


def _check_signal(moments: dict[ImageIndex, PatchMoments]) -> None:
    if not any(found.count for found in moments.values()):
        raise ValueError(
            "image has no patch to measure: no 3x3 neighbourhood is finite throughout and "
            "centred in the mask"
        )
    if not all(np.isfinite(found.covariance).all() for found in moments.values()):
        raise ValueError("image holds values too large to square; scale them down")
    flat = sum(not found.has_signal for found in moments.values())
    if flat:
        warnings.warn(
            f"no signal in {flat} of {len(moments)} exposures (all measured values are equal, or "
            "none is finite); they come out flat at 0.5",
            stacklevel=2,
        )
