"""Stabilize counts above a black level, and invert that: the input of a blind spot.

A line of variance over mean does not tell read noise from offset: where estimates of it differ,
stabilized values are shifted. Above one and the same black level they are alike, and no digits are
lost where read noise or the offset is large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize

_LEAST = 2 * (3 / 8) ** 0.5  # what no electrons and no read noise are turned into


@dataclass(frozen=True)
class StabilizedCounts:
    """A camera's counts above a black level, itself in counts, stabilized."""

    camera: CameraNoise
    black: float

    @property
    def stabilized_black(self) -> float:
        """The stabilized value of black."""
        return float(stabilize(self.black, self.camera))

    def stabilize(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return stabilized values above that of black."""
        return stabilize(counts, self.camera) - self.stabilized_black

    def invert(self, values: Tensor) -> Tensor:
        """Return the counts above black that were stabilized: the algebraic inverse."""
        return self._counts(values, 0.0)

    def invert_mean(self, values: Tensor) -> Tensor:
        """Return the mean counts above black whose stabilized values have these means.

        Notes
        -----
        Makitalo, Foi, IEEE TIP 22(1), 2013: the closed form of the exact unbiased inverse.
        """
        above = values.clamp_min(_LEAST - self.stabilized_black)
        d = above + self.stabilized_black
        root = (3 / 2) ** 0.5
        bias = 1 / 4 + root / 4 / d - 11 / 8 / d.square() + 5 / 8 * root / d.pow(3)
        return self._counts(above, bias)

    def _counts(self, above: Tensor, bias: Tensor | float) -> Tensor:
        camera, dark = self.camera, self.stabilized_black
        black = camera.offset + camera.gain * (dark**2 / 4 - 3 / 8 - camera.read_noise**2)
        electrons = above.square() / 4 + above * (dark / 2) + bias
        counts: Tensor = camera.gain * electrons + (black - self.black)
        return counts
