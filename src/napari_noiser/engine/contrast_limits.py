"""Where black and white should lie, so that an enhanced image looks right at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.sampling import sample_values
from napari_noiser.engine.options import Verb

_BINS = 256


def contrast_limits(result: Any, rgb: bool = False, verb: Verb = "enhance") -> tuple[float, float]:
    """Return contrast limits for an enhanced image.

    Gray world lifts a black background to mid-gray, which looks like fog. Where the values have a
    long tail above one crowded level (cells on glass, stars on sky), that level is the background
    and becomes the lower limit; otherwise the darkest percent does. The upper limit leaves the
    brightest 0.1 % out. What is not finite does not count, nor 0 in a display in integers, which
    stands for NaN.

    Parameters
    ----------
    result : array
        An enhanced image of any type. It is sampled, not read whole: of one in chunks a few.
    rgb : bool
        Whether its last axis is S, color samples. Then the range is from 0, to the full one of a
        display, or to the brightest of light: other limits would shift the colors.
    verb : {"enhance", "denoise"}
        What the result shows: a display, or light.
    """
    full = 1.0 if result.dtype.kind == "f" else float(np.iinfo(result.dtype).max)
    if rgb and verb == "enhance":
        return 0.0, full
    values = sample_values(result)[0]
    nan_is_zero = verb == "enhance" and result.dtype.kind in "ui"
    sample = values[values > 0 if nan_is_zero else np.isfinite(values)].astype(np.float64)
    if rgb and sample.size and sample.max() > 0:
        return 0.0, float(np.percentile(sample, 99.9)) or float(sample.max())
    if sample.size == 0 or sample.min() == sample.max():
        return 0.0, full
    darkest, upper = np.percentile(sample, (1, 99.9))
    background = _crowded_level(sample)
    lower = background if upper - background > 3 * (background - darkest) else darkest
    if not lower < upper:
        lower, upper = sample.min(), sample.max()
    return float(lower), float(upper)


def _crowded_level(sample: NDArray[np.float64]) -> float:
    """Return the mode of a smoothed histogram."""
    counts, edges = np.histogram(sample, _BINS)
    smooth = np.convolve(counts, np.ones(5), mode="same")
    peak = int(np.argmax(smooth))
    return float((edges[peak] + edges[peak + 1]) / 2)
