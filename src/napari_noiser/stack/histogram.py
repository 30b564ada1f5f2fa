"""The histogram of an array of any size."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.checks import whole
from napari_noiser.stack.sampling import sampled_values
from napari_noiser.stack.values import Stack

__all__ = ["histogram"]

_MOST_BINS = 2**16


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
    bins = whole("bins", bins, most=_MOST_BINS)
    stack = Stack.of(image, axes)
    raw = sampled_values(stack.array, layout=stack.layout)[0]
    values = stack.exact(raw[None])[0]
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
    return np.histogram(values, count, (edges[0], edges[-1]))[0], edges + stack.zero
