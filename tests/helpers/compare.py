"""Whether two computations of one image agree, whatever the number of threads that summed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def assert_alike(found: ArrayLike, expected: ArrayLike, within: float = 1e-5) -> None:
    """Compare to a part of the brightest pixel: light near zero is a difference of sums."""
    expected = np.asarray(expected)
    atol = within * float(np.nanmax(np.abs(expected), initial=0, where=np.isfinite(expected)))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=atol)


def assert_same(one: ArrayLike, other: ArrayLike) -> None:
    """Check that two results are the same to float rounding: BLAS may sum in another order."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.dtype == other.dtype
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def largest_difference(one: ArrayLike, other: ArrayLike) -> float:
    """Return the largest absolute difference of two arrays of one shape."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


def rms(values: ArrayLike) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def drained(steps: Any) -> tuple[list[Any], Any]:
    """Return all events of a generator, and its return value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value
