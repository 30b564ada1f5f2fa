"""Where black and white should lie, so that an enhanced image looks right at once."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.blocks import chunk_grid

__all__ = ["display_limits"]

_BINS = 256
_SAMPLES = 2**20  # limits need no more, and lazy arrays stay lazy
_CHUNKS = 8


def display_limits(result: Any, rgb: bool = False) -> tuple[float, float]:
    """Return contrast limits for an enhanced image.

    Gray world lifts a black background to mid-gray, which looks like fog. Where the values have a
    long tail above one crowded level (cells on glass, stars on sky), that level is the background
    and becomes the lower limit; otherwise the darkest percent does. The upper limit leaves the
    brightest 0.1 % out.

    Parameters
    ----------
    result : array
        An enhanced image of any type. It is sampled, not read whole: of one in chunks a few.
    rgb : bool
        Whether its last axis holds colour samples. Then the full range is returned: other limits
        would shift the colours.

    Returns
    -------
    lower, upper : float
        In the units of `result`; lower < upper.
    """
    full = 1.0 if result.dtype.kind == "f" else float(np.iinfo(result.dtype).max)
    if rgb:
        return 0.0, full
    sample = _sampled(result).astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0 or sample.min() == sample.max():
        return 0.0, full
    darkest, upper = np.percentile(sample, (1, 99.9))
    background = _crowded_level(sample)
    lower = background if upper - background > 3 * (background - darkest) else darkest
    if not lower < upper:
        lower, upper = sample.min(), sample.max()
    return float(lower), float(upper)


def _sampled(result: Any) -> NDArray[Any]:
    """Return some of an array's values, evenly spread, or of chunks along its diagonal."""
    if isinstance(result, np.ndarray):
        long = sum(length > 1 for length in result.shape) or 1
        step = max(1, ceil((result.size / _SAMPLES) ** (1 / long)))
        values: NDArray[Any] = result[(slice(None, None, step),) * result.ndim].ravel()
        return values
    grid = chunk_grid(result)
    last = [len(along) - 2 for along in grid.cuts]
    corners = {tuple(at * step // (_CHUNKS - 1) for at in last) for step in range(_CHUNKS)}
    chunks = (np.asarray(result[grid.box(corner)]).ravel() for corner in sorted(corners))
    # An odd step apart: not of a few columns.
    return np.concatenate([chunk[:: chunk.size * _CHUNKS // _SAMPLES | 1] for chunk in chunks])


def _crowded_level(sample: NDArray[np.float64]) -> float:
    """Return the mode of a smoothed histogram."""
    counts, edges = np.histogram(sample, _BINS)
    smooth = np.convolve(counts, np.ones(5), mode="same")
    peak = int(np.argmax(smooth))
    return float((edges[peak] + edges[peak + 1]) / 2)
