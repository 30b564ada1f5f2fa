"""Stage 1 alone for one exposure, ready to render tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.retinex.rendering import RetinexRendering
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.patches import Halo, Scratch

__all__ = ["FoldedRetinex", "as_response"]

_LEAST = 1e-3  # of a display, whose response before tanh must be finite


def as_response(display: Tensor) -> Tensor:
    """Return the response whose display is an image in [0, 1]: ``(tanh(response) + 1) / 2``."""
    return display.clamp(_LEAST, 1 - _LEAST).logit() / 2


@dataclass(frozen=True)
class FoldedRetinex:
    """Stage 1, whose response is the reflectance, as a display.

    Attributes
    ----------
    rendering : RetinexRendering
        On the device to render on.
    camera : CameraNoise, optional
        How the image was stabilized, if it was.
    """

    rendering: RetinexRendering
    camera: CameraNoise | None

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """To be subtracted from the input; what stands for a value that is not finite."""
        black = self.rendering.black
        dark = black if self.camera is None else StabilizedCounts(self.camera, black).dark
        return np.full(self.rendering.samples, dark)

    @property
    def input_scale(self) -> float:
        """To divide the centered input by."""
        return 1.0

    @property
    def grid_period(self) -> int:
        """After how many pixels its grid repeats itself."""
        return self.rendering.step

    def to(self, device: torch.device) -> FoldedRetinex:
        """Return the same on a device."""
        network = self.rendering.network.to(device)
        return replace(self, rendering=replace(self.rendering, network=network))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh, for the part of a tile that its halo surrounds."""
        black, white = self.rendering.black, self.rendering.white
        above = tile if self.camera is None else StabilizedCounts(self.camera, black).read(tile)
        # Counts themselves, of a large offset, would lose their digits in float32.
        rendering = replace(self.rendering, black=0.0, white=white - black)
        _, reflectance = rendering(above, above, halo, corner)
        return as_response(reflectance)
