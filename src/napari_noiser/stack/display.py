"""Where black and white should lie, so that an enhanced image looks right at once."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

__all__ = ["display_limits"]

_BINS = 256
_SAMPLES = 2**20  # limits need no more, and lazy arrays stay lazy


def display_limits(result: Any, rgb: bool = False) -> tuple[float, float]:
    """Return contrast limits for an enhanced image.

    Gray world lifts a black background to mid-gray, which looks like fog. Where the values have a
    long tail above one crowded level (cells on glass, stars on sky), that level is the background
    and becomes the lower limit; otherwise the darkest percent does. The upper limit leaves the
    brightest 0.1 % out.

    Parameters
    ----------
    result : array
        An enhanced image of any type. It is sampled, not read whole.
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
    long = sum(length > 1 for length in result.shape) or 1
    step = max(1, ceil((prod(result.shape) / _SAMPLES) ** (1 / long)))
    sample = (
        np.asarray(result[(slice(None, None, step),) * len(result.shape)])
        .astype(np.float64)
        .ravel()
    )
    sample = sample[np.isfinite(sample)]
    if sample.size == 0 or sample.min() == sample.max():
        return 0.0, full
    darkest, upper = np.percentile(sample, (1, 99.9))
    background = _crowded_level(sample)
    lower = background if upper - background > 3 * (background - darkest) else darkest
    if not lower < upper:
        lower, upper = sample.min(), sample.max()
    return float(lower), float(upper)


def _crowded_level(sample: np.ndarray) -> float:
    """Return the mode of a smoothed histogram."""
    counts, edges = np.histogram(sample, _BINS)
    smooth = np.convolve(counts, np.ones(5), mode="same")
    peak = int(np.argmax(smooth))
    return float((edges[peak] + edges[peak + 1]) / 2)
