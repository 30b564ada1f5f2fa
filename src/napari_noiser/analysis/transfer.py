"""The curve that a result amounts to: what becomes of each raw value, and how surely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._validation import check_int
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.sampling import sample_pairs, sample_values

__all__ = ["Transfer", "histogram", "transfer_curve"]


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
        pixel's neighbors, its channel or its plane.
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
    bins = check_int("bins", bins, most=_MOST_BINS)
    x, y, integer_offset = sample_pairs(raw, result, axes)
    order = np.argsort(x)
    x, y = x[order], y[order]
    points = [
        (np.median(x[part]) + integer_offset, *np.quantile(y[part], (0.5, _LOWER, _UPPER)))
        for part in _equal_bins(x, bins)
    ]
    return Transfer(*np.array(points, np.float64).reshape(-1, 4).T)


def _equal_bins(ascending: NDArray[np.float64], bins: int) -> Iterator[slice]:
    """Cut sorted values into bins of about equally many, equal values together."""
    count = len(ascending)
    starts = ascending[np.arange(bins) * count // bins] if count else ascending
    cuts = [*np.unique(np.searchsorted(ascending, starts)).tolist(), count]
    yield from map(slice, cuts[:-1], cuts[1:])


_MOST_HISTOGRAM_BINS = 2**16


def histogram(
    image: ArrayLike, *, axes: str | None = None, bins: int = 256
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count values in bins of equal width, from the least to the largest.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size. Of a large one about 2**20 values count, of a lazy one
        they come from at most 8 chunks. NaN and inf are left out, and so is alpha.
    axes : str, optional
        One letter an axis, as in `enhance`. Samples and channels count together.
    bins : int
        How many at most, 1 to 65536. For integers a bin is a whole number wide, so that there is
        no comb of empty bins; floats that are a few roundings apart get as many as differ.

    Returns
    -------
    counts : array of int, shape (n,)
        Values from one edge to the next, the last edge included.
    edges : array of float64, shape (n + 1,)
        In the image's units; of integers half a unit below the values.

    Raises
    ------
    TypeError
        If the image does not hold integers or floats.
    ValueError
        If it is empty or 0-d, or an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> counts, edges = histogram(np.array([[1, 1], [2, 4]]))
    >>> counts.tolist(), edges.tolist()
    ([2, 1, 0, 1], [0.5, 1.5, 2.5, 3.5, 4.5])
    """
    bins = check_int("bins", bins, most=_MOST_HISTOGRAM_BINS)
    stack = ImageArray.from_array(image, axes)
    raw = sample_values(stack.array, layout=stack.layout)[0]
    values = stack.to_float64(raw[None])[0]
    values = values[np.isfinite(values)]
    if not values.size:
        return np.zeros(0, np.int64), np.zeros(0)
    least, most = values.min(), values.max()
    if raw.dtype.kind == "f":
        edges = np.unique(np.linspace(least, most, bins + 1))
        few = 1 < len(edges) <= bins and np.isfinite(edges).all()  # so close that edges coincide
        return np.histogram(values, edges if few else bins, (least, most))
    width = ceil((most - least + 1) / bins)
    count = ceil((most - least + 1) / width)
    edges = least - 0.5 + width * np.arange(count + 1.0)
    return np.histogram(values, count, (edges[0], edges[-1]))[0], edges + stack.integer_offset
