"""What a stack can be rendered by: any method that the moments of patches turn into a map."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.patches import Halo, Scratch

__all__ = ["Folded", "FoldedDenoiser", "Method"]


class Folded(Protocol):
    """A method for one exposure: a plain map of tiles."""

    @property
    def input_offset(self) -> NDArray[np.float64]: ...
    @property
    def input_scale(self) -> float: ...
    @property
    def grid_period(self) -> int: ...
    def to(self, device: torch.device) -> Folded: ...
    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor: ...


@runtime_checkable
class FoldedDenoiser(Folded, Protocol):
    """One whose response tells the light: ``middle + unit * response``, in the image's units.

    `noise_std` is the standard deviation of what is not light, in the same units.
    """

    @property
    def output_offset(self) -> float: ...
    @property
    def output_scale(self) -> float: ...
    @property
    def noise_std(self) -> float: ...


class Method(Protocol):
    """What can be rendered: anything that the moments of patches turn into a map of tiles.

    One that `requires_raw_counts` is told black and white in them: none may be taken off.
    """

    @property
    def samples(self) -> int: ...
    @property
    def ndim(self) -> int: ...
    @property
    def halo(self) -> tuple[int, ...]: ...
    @property
    def voxel_bytes(self) -> int: ...
    @property
    def is_denoiser(self) -> bool: ...
    @property
    def requires_camera_noise(self) -> bool: ...
    @property
    def requires_gain_map(self) -> bool: ...
    @property
    def requires_raw_counts(self) -> bool: ...
    def describe(self) -> dict[str, Any]: ...
    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> Folded: ...
