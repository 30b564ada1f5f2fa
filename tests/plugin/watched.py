"""An array that the tests of live layers and previews watch."""

from __future__ import annotations

from collections import Counter

import numpy as np


class Watched:
    """An array that counts which planes are read, and how often."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.size = values.size
        self.read: Counter[int] = Counter()

    def __getitem__(self, key) -> np.ndarray:
        planes = key[0] if isinstance(key, tuple) else key
        self.read.update(np.atleast_1d(np.arange(len(self.values))[planes]).tolist())
        return self.values[key]
