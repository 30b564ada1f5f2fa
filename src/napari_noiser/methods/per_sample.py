"""Colors that are kept: the samples of an image rendered one by one, with one exposure for all.

A model of three channels sees red, green and blue together, each normalized with weights of its
own: it takes a color cast for a lack of light. A model of one channel, given one exposure for
all samples, is a single curve that each of them goes through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.patches import Halo, Scratch

if TYPE_CHECKING:
    from napari_noiser.methods.base import Folded, Method

__all__ = ["PerSampleMethod"]


@dataclass(frozen=True)
class PerSampleMethod:
    """A method of one channel as one for several samples, which share one exposure.

    Parameters
    ----------
    method : Method
        Of one channel.
    samples : int
        Samples that it renders, one after the other.
    """

    method: Method
    samples: int

    @property
    def ndim(self) -> int:
        """The method's own."""
        return self.method.ndim

    @property
    def halo(self) -> tuple[int, ...]:
        """The method's own."""
        return self.method.halo

    @property
    def voxel_bytes(self) -> int:
        """The method's own: one sample is rendered at a time."""
        return self.method.voxel_bytes

    @property
    def is_denoiser(self) -> bool:
        """The method's own."""
        return self.method.is_denoiser

    @property
    def requires_camera_noise(self) -> bool:
        """The method's own."""
        return self.method.requires_camera_noise

    @property
    def requires_gain_map(self) -> bool:
        """The method's own."""
        return self.method.requires_gain_map

    @property
    def requires_raw_counts(self) -> bool:
        """The method's own."""
        return self.method.requires_raw_counts

    def describe(self) -> dict[str, Any]:
        """Return what the method says of itself; `Work.describe` says what becomes of colors."""
        return self.method.describe()

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedPerSample:
        """Fold the method for the patches of all samples, taken for those of one.

        Their covariance is what it is within the samples, on average, and that of their means.
        """
        means = mean.reshape(self.samples, -1)
        size = means.shape[1]
        blocks = covariance.reshape(self.samples, size, self.samples, size)
        joint = means.mean(axis=0)
        steps = means - joint
        within = np.einsum("sisj->ij", blocks)
        shared = (within + steps.T @ steps) / self.samples
        folded = self.method.fold(joint, shared, device, camera)
        return FoldedPerSample(folded, self.samples)


@dataclass(frozen=True)
class FoldedPerSample:
    """A folded method of one channel, for each sample of a tile."""

    method: Folded
    samples: int

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """The method's own, for each sample."""
        return np.repeat(self.method.input_offset, self.samples)

    @property
    def input_scale(self) -> float:
        """The method's own."""
        return self.method.input_scale

    @property
    def grid_period(self) -> int:
        """The method's own."""
        return self.method.grid_period

    @property
    def output_offset(self) -> float:
        """The method's own, if it restores."""
        return self.method.middle  # type: ignore[attr-defined, no-any-return]

    @property
    def output_scale(self) -> float:
        """The method's own, if it restores."""
        return self.method.unit  # type: ignore[attr-defined, no-any-return]

    @property
    def noise_std(self) -> float:
        """The method's own, if it restores."""
        return self.method.noise  # type: ignore[attr-defined, no-any-return]

    def to(self, device: torch.device) -> FoldedPerSample:
        """Return the same on a device."""
        return replace(self, method=self.method.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh of each sample of a tile, its halo taken off."""
        gain = tile[:, self.samples :]
        samples = (tile[:, at : at + 1] for at in range(self.samples))
        tiles = (torch.cat([each, gain], dim=1) if gain.numel() else each for each in samples)
        return torch.cat([self.method(each, halo, scratch, corner) for each in tiles], dim=1)
