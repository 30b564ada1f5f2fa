"""Colors that are kept: a method of one sample, for several samples of one statistics group.

A model of three samples sees red, green and blue together, each normalized with weights of its
own: it takes a color cast for a lack of light. A model of one sample, folded with one mean and
one covariance for all samples, is a single curve that each of them goes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.base import FoldedDenoiser, FoldedWrapper, Method, MethodTraits
from napari_noiser.methods.patches import Halo, Scratch


@dataclass(frozen=True)
class PerSampleMethod:
    """A method of one sample, applied to several samples one after the other."""

    method: Method
    samples: int

    @property
    def ndim(self) -> int:
        return self.method.ndim

    @property
    def halo(self) -> tuple[int, ...]:
        return self.method.halo

    @property
    def voxel_bytes(self) -> int:
        """The method's: one sample is rendered at a time."""
        return self.method.voxel_bytes

    @property
    def traits(self) -> MethodTraits:
        return self.method.traits

    def describe(self) -> dict[str, Any]:
        """Return the method's own description; `Plan.describe` says what becomes of colors."""
        return self.method.describe()

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedPerSample:
        """Fold the method for the patches of all samples, taken for those of one.

        Their covariance is the average within the samples, and that of the samples' means.
        """
        means = mean.reshape(self.samples, -1)
        size = means.shape[1]
        blocks = covariance.reshape(self.samples, size, self.samples, size)
        joint = means.mean(axis=0)
        steps = means - joint
        within = np.einsum("sisj->ij", blocks)
        shared = (within + steps.T @ steps) / self.samples
        folded = self.method.fold(joint, shared, device, camera)
        if isinstance(folded, FoldedDenoiser):
            return FoldedDenoiserPerSample(folded, self.samples)
        return FoldedPerSample(folded, self.samples)


@dataclass(frozen=True)
class FoldedPerSample(FoldedWrapper):
    """A folded method of one sample, for each sample of a tile."""

    samples: int

    @property
    def input_offset(self) -> NDArray[np.float64]:
        """The method's, for each sample."""
        return np.repeat(self.method.input_offset, self.samples)

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh of each sample of a tile, its halo taken off."""
        gain = tile[:, self.samples :]
        samples = (tile[:, at : at + 1] for at in range(self.samples))
        tiles = (torch.cat([each, gain], dim=1) if gain.numel() else each for each in samples)
        return torch.cat([self.method(each, halo, scratch, corner) for each in tiles], dim=1)


@dataclass(frozen=True)
class FoldedDenoiserPerSample(FoldedPerSample):
    """A folded denoiser of one sample, for each sample of a tile."""

    method: FoldedDenoiser

    @property
    def output_offset(self) -> float:
        return self.method.output_offset

    @property
    def output_scale(self) -> float:
        return self.method.output_scale

    @property
    def noise_std(self) -> float:
        return self.method.noise_std
