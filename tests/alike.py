"""Whether two computations of one image agree, whatever the number of threads that summed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def assert_alike(found: ArrayLike, expected: ArrayLike, within: float = 1e-5) -> None:
    """Compare to a part of the brightest pixel: light near zero is a difference of sums."""
    expected = np.asarray(expected)
    atol = within * float(np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=atol)
