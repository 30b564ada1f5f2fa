"""A folded method whose input is bounded, so that a few bright pixels are no more than bright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.methods.base import FoldedWrapper
from napari_noiser.methods.patches import Halo, Scratch


@dataclass(frozen=True)
class BoundedInput(FoldedWrapper):
    """A folded method that sees no values below `low` or above `high`, of each sample."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh of a tile, its halo taken off."""
        low, high = (
            torch.from_numpy((bound - self.input_offset) / self.input_scale)
            .to(tile)
            .view(-1, *(1,) * len(halo))
            for bound in (self.low, self.high)
        )
        return self.method(tile.maximum(low).minimum(high), halo, scratch, corner)
