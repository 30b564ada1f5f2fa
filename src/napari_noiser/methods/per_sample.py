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

__all__ = ["SharedColors"]


@dataclass(frozen=True)
class SharedColors:
    """A method of one channel as one for several samples, which share one exposure.

    Parameters
    ----------
    method : Method
        Of one channel.
    channels : int
        Samples that it renders, one after the other.
    """

    method: Method
    channels: int

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
    def restores(self) -> bool:
        """The method's own."""
        return self.method.restores

    @property
    def needs_camera(self) -> bool:
        """The method's own."""
        return self.method.needs_camera

    @property
    def gain_given(self) -> bool:
        """The method's own."""
        return self.method.gain_given

    @property
    def knows_counts(self) -> bool:
        """The method's own."""
        return self.method.knows_counts

    def describe(self) -> dict[str, Any]:
        """Return what the method says of itself; `Work.describe` says what becomes of colors."""
        return self.method.describe()

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedColors:
        """Fold the method for the patches of all samples, taken for those of one.

        Their covariance is what it is within the samples, on average, and that of their means.
        """
        means = mean.reshape(self.channels, -1)
        size = means.shape[1]
        blocks = covariance.reshape(self.channels, size, self.channels, size)
        joint = means.mean(axis=0)
        steps = means - joint
        within = np.einsum("sisj->ij", blocks)
        shared = (within + steps.T @ steps) / self.channels
        folded = self.method.fold(joint, shared, device, camera)
        return FoldedColors(folded, self.channels)


@dataclass(frozen=True)
class FoldedColors:
    """A folded method of one channel, for each sample of a tile."""

    method: Folded
    channels: int

    @property
    def center(self) -> NDArray[np.float64]:
        """The method's own, for each sample."""
        return np.repeat(self.method.center, self.channels)

    @property
    def scale(self) -> float:
        """The method's own."""
        return self.method.scale

    @property
    def step(self) -> int:
        """The method's own."""
        return self.method.step

    @property
    def middle(self) -> float:
        """The method's own, if it restores."""
        return self.method.middle  # type: ignore[attr-defined, no-any-return]

    @property
    def unit(self) -> float:
        """The method's own, if it restores."""
        return self.method.unit  # type: ignore[attr-defined, no-any-return]

    @property
    def noise(self) -> float:
        """The method's own, if it restores."""
        return self.method.noise  # type: ignore[attr-defined, no-any-return]

    def to(self, device: torch.device) -> FoldedColors:
        """Return the same on a device."""
        return replace(self, method=self.method.to(device))

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        """Return the response before tanh of each sample of a tile, its halo taken off."""
        gain = tile[:, self.channels :]
        samples = (tile[:, at : at + 1] for at in range(self.channels))
        tiles = (torch.cat([each, gain], dim=1) if gain.numel() else each for each in samples)
        return torch.cat([self.method(each, halo, scratch, corner) for each in tiles], dim=1)
