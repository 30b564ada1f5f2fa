"""The linearity of a result: how far it is from being proportional to its raw data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.arrays.sampling import sample_pairs

_DARKEST = 0.02  # of the values: their median is the background
_FAINTEST = 0.05  # of the range above it: where the slope begins, out of the background's noise
_BINS = 24  # for the slope, a sixth of a stop each
_MIN_BINS = 3
_GROUP = 32  # values with about equal raw values, for the spread
_RANGE = (0.1, 99.9)  # percentiles, as in contrast_limits


@dataclass(frozen=True)
class Linearity:
    """How a result relates to its raw data; ``dataclasses.asdict`` gives JSON-able values.

    Parameters
    ----------
    rank_correlation : float or None
        Spearman's, in [-1, 1]: 1 if brighter always stays brighter. None if raw data or result
        are constant.
    slope : float or None
        The exponent of the power law that comes closest: 1 if twice the signal is twice as
        bright, below 1 if bright values are compressed. Signal is counted from the background on
        both sides (see `measure_linearity`). None if fewer than 3 levels stand out.
    spread : float or None
        The standard deviation of the results at equal raw values, as a fraction of the result's
        range, 0 or above: 0 if each raw value has one result. None if the result is constant.
    """

    rank_correlation: float | None
    slope: float | None
    spread: float | None

    def remark(self) -> str:
        """Return the measures and their meaning in a sentence."""
        facts = []
        if self.rank_correlation is not None:
            facts.append(f"its rank correlation with the raw data is {self.rank_correlation:.2f}")
        if self.slope is not None:
            facts.append(f"its brightness grows with the signal to the power of {self.slope:.2f}")
        if self.spread is not None:
            facts.append(f"equal raw values differ by {100 * self.spread:.1f} % of its range")
        measures = f" ({', '.join(facts)})" if facts else ""
        return f"Measure on the raw data: the result is a display{measures}."


def measure_linearity(raw: ArrayLike, result: ArrayLike, *, axes: str | None = None) -> Linearity:
    """Measure how far a result is from being proportional to its raw data.

    All planes, channels and samples are taken together: where they were enhanced differently, the
    spread grows. Nothing in it depends on the gain and offset of either array.

    Parameters
    ----------
    raw : array, 2 to 6 dimensions
        The image; integers or floats of any size.
    result : array
        Of the same shape. Of large arrays about 2**18 pairs of values count, of lazy ones they
        come from at most 8 planes or chunks. Pairs that are not finite are left out.
    axes : str, optional
        One letter an axis, as in `enhance`. Alpha is left out.

    Returns
    -------
    Linearity
        A linear result has 1, 1 and 0.

    Raises
    ------
    InputTypeError, InputError
        If an array does not hold integers or floats, the shapes differ or the axes do not fit.

    Notes
    -----
    *Background* is the median of the darkest 2 % of the raw values, and the median of their
    results: a camera's offset, and the gray that it became. *Slope*: the raw values from 5 % to
    100 % of the range above the background (its 99.9th percentile) fall into 24 bins of equal
    width in their logarithm; through the medians of the bins, less the backgrounds, goes the line
    of least squares of log(result) over log(raw). *Spread*: the values, sorted by raw
    value, fall into groups of 32, and what the results differ by from a line through each group
    is the residual; its standard deviation is divided by the range from the 0.1th to the 99.9th
    percentile of the result.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((32, 32))
    >>> measure_linearity(100 + image, np.sqrt(image)).rank_correlation
    1.0
    """
    x, y, _ = sample_pairs(raw, result, axes)
    order = np.random.default_rng(0).permutation(len(x))  # neighbors are alike: not side by side
    order = order[np.argsort(x[order])]
    x, y = _rescale(x[order]), _rescale(y[order])
    return Linearity(_rank_correlation(x, y), _slope(x, y), _spread(x, y))


def _rescale(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values scaled to [0, 1], where no square under- or overflows; 0 if constant."""
    if not len(values):
        return values
    above: NDArray[np.float64] = values - values.min()
    above /= above.max() or 1.0
    return above


def _rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(x, y).statistic) if x.any() and y.any() else None


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return the slope of log(y) over log(x), both less their background; x ascends."""
    if not x.any():
        return None
    darkest = np.searchsorted(x, x[int(_DARKEST * (len(x) - 1))], side="right")
    raw, result = x - np.median(x[:darkest]), y - np.median(y[:darkest])
    brightest = np.percentile(raw, _RANGE[1])
    if brightest <= 0:
        return None
    edges = np.geomspace(_FAINTEST * brightest, brightest, _BINS + 1)
    cuts = [*np.searchsorted(raw, edges[:-1]), np.searchsorted(raw, edges[-1], side="right")]
    points = [
        (np.median(raw[start:stop]), np.median(result[start:stop]))
        for start, stop in pairwise(cuts)
        if start < stop
    ]
    logarithms = np.log([point for point in points if point[1] > 0])
    if len(logarithms) < _MIN_BINS:
        return None
    across, up = (logarithms - logarithms.mean(axis=0)).T
    return float(across @ up / (across @ across))


def _spread(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return the deviation of y at equal x, as a fraction of its range; x ascends."""
    if not y.any():
        return None
    width = min(_GROUP, len(y))
    raw, result = (values[len(y) % width :].reshape(-1, width) for values in (x, y))
    across, up = raw - raw[:, :1], result - result[:, :1]  # exactly 0 where all are equal
    across, up = (each - each.mean(axis=1, keepdims=True) for each in (across, up))
    power, both = (across**2).sum(axis=1), (across * up).sum(axis=1)
    slope = np.divide(both, power, out=np.zeros_like(both), where=power > 0)
    squares = ((up - slope[:, None] * across) ** 2).sum()
    free = np.maximum(width - 1 - (power > 0), 1).sum()
    lower, upper = np.percentile(y, _RANGE)
    return float(np.sqrt(squares / free) / (upper - lower or 1.0))
