"""The curve that a result amounts to: what becomes of each raw value, and how surely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.checks import whole
from napari_noiser.stack.sampling import sampled_pairs

__all__ = ["Transfer", "transfer_curve"]

_LOWER, _UPPER = 0.05, 0.95  # nine of ten results lie between
_MOST_BINS = 2**16


@dataclass(frozen=True)
class Transfer:
    """The results at each level of the raw values.

    Parameters
    ----------
    raw : array of float64, shape (n,)
        The median raw value of each bin, ascending, in the raw data's units.
    median, lower, upper : array of float64, shape (n,)
        Of the results of each bin: the median, and the 5th and 95th percentile. A curve alone
        (lower equals upper) would be a change of contrast; what lies between them depends on a
        pixel's neighbours, its channel or its plane.
    """

    raw: NDArray[np.float64]
    median: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def transfer_curve(
    raw: ArrayLike, result: ArrayLike, *, axes: str | None = None, bins: int = 64
) -> Transfer:
    """Return which result each raw value has, on average and at most.

    Parameters
    ----------
    raw : array, 2 to 6 dimensions
        The image; integers or floats of any size.
    result : array
        What became of it, of the same shape. Of large arrays about 2**18 pairs of values count,
        of lazy ones they come from at most 8 places. Pairs that are not finite are left out.
    axes : str, optional
        One letter an axis, as in `enhance`. Alpha is left out; samples and channels count
        together, so where they were enhanced differently, the curve is wide.
    bins : int
        How many at most, 1 to 65536. Each holds about equally many values; equal raw values are
        never parted.

    Returns
    -------
    Transfer
        Empty arrays, if there is no finite pair.

    Raises
    ------
    TypeError
        If an array does not hold integers or floats, or `bins` is no whole number.
    ValueError
        If the shapes differ, the axes do not fit or `bins` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(64).reshape(8, 8)
    >>> transfer_curve(image, image / 63, bins=2).raw.tolist()
    [15.5, 47.5]
    """
    bins = whole("bins", bins, most=_MOST_BINS)
    x, y, zero = sampled_pairs(raw, result, axes)
    order = np.argsort(x)
    x, y = x[order], y[order]
    points = [
        (np.median(x[part]) + zero, *np.quantile(y[part], (0.5, _LOWER, _UPPER)))
        for part in _equal_bins(x, bins)
    ]
    return Transfer(*np.array(points, np.float64).reshape(-1, 4).T)


def _equal_bins(ascending: NDArray[np.float64], bins: int) -> Iterator[slice]:
    """Cut sorted values into bins of about equally many, equal values together."""
    count = len(ascending)
    starts = ascending[np.arange(bins) * count // bins] if count else ascending
    cuts = [*np.unique(np.searchsorted(ascending, starts)).tolist(), count]
    yield from map(slice, cuts[:-1], cuts[1:])
