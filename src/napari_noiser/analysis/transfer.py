"""The transfer curve of a result, from raw values to its own, and the histogram of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._validation import check_int
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.sampling import sample_pairs, sample_values

_QUANTILES = (0.5, 0.05, 0.95)
_MAX_BINS = 2**16


@dataclass(frozen=True)
class Transfer:
    """The distribution of the results at each level of the raw values.

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
    """Return the median and the range of the results at each raw value.

    Parameters
    ----------
    raw : array, 2 to 6 dimensions
        The image; integers or floats of any size.
    result : array
        Of the same shape. Of large arrays about 2**18 pairs of values count, of lazy ones they
        come from at most 8 planes or chunks. Pairs that are not finite are left out.
    axes : str, optional
        One letter an axis, as in `enhance`. Alpha is left out; samples and channels count
        together, so where they were enhanced differently, the curve is wide.
    bins : int
        How many at most, 1 to 65536. Each holds about equally many values; equal raw values stay
        together.

    Returns
    -------
    Transfer
        Empty arrays, if there is no finite pair.

    Raises
    ------
    InputTypeError, InputError
        If an array does not hold integers or floats, the shapes differ, or `axes` or `bins` do
        not fit.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(64).reshape(8, 8)
    >>> transfer_curve(image, image / 63, bins=2).raw.tolist()
    [15.5, 47.5]
    """
    bins = check_int("bins", bins, most=_MAX_BINS)
    x, y, integer_offset = sample_pairs(raw, result, axes)
    order = np.argsort(x)
    x, y = x[order], y[order]
    points = [
        (np.median(x[part]) + integer_offset, *np.quantile(y[part], _QUANTILES))
        for part in _equal_bins(x, bins)
    ]
    return Transfer(*np.array(points, np.float64).reshape(-1, 4).T)


def _equal_bins(ascending: NDArray[np.float64], bins: int) -> Iterator[slice]:
    """Iterate over bins of about equally many sorted values, equal values together."""
    count = len(ascending)
    starts = ascending[np.arange(bins) * count // bins] if count else ascending
    cuts = [*np.unique(np.searchsorted(ascending, starts)).tolist(), count]
    yield from map(slice, cuts[:-1], cuts[1:])


def histogram(
    image: ArrayLike, *, axes: str | None = None, bins: int = 256
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count values in bins of equal width, from the minimum to the maximum.

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

    Examples
    --------
    >>> import numpy as np
    >>> counts, edges = histogram(np.array([[1, 1], [2, 4]]))
    >>> counts.tolist(), edges.tolist()
    ([2, 1, 0, 1], [0.5, 1.5, 2.5, 3.5, 4.5])
    """
    bins = check_int("bins", bins, most=_MAX_BINS)
    stack = ImageArray.from_array(image, axes)
    raw = sample_values(stack.array, layout=stack.layout)[0]
    values = stack.to_float64(raw[None])[0]
    values = values[np.isfinite(values)]
    if not values.size:
        return np.zeros(0, np.int64), np.zeros(0)
    minimum, maximum = values.min(), values.max()
    if raw.dtype.kind == "f":
        edges = np.unique(np.linspace(minimum, maximum, bins + 1))
        coincide = 1 < len(edges) <= bins and np.isfinite(edges).all()  # for close values
        return np.histogram(values, edges if coincide else bins, (minimum, maximum))
    width = ceil((maximum - minimum + 1) / bins)
    count = ceil((maximum - minimum + 1) / width)
    edges = minimum - 0.5 + width * np.arange(count + 1.0)
    return np.histogram(values, count, (edges[0], edges[-1]))[0], edges + stack.integer_offset
