"""Random crops out of images of any size: what each step of a fit sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_noiser.irle.gain import low_passed_log_gain
from napari_noiser.irle.images import Image
from napari_noiser.irle.light import Scaling
from napari_noiser.irle.recipe import BlindSpotRecipe

__all__ = ["Batch", "Crops"]

_SAMPLE = 64  # crops that the scaling is measured on


@dataclass(frozen=True)
class Batch:
    """Crops of one step.

    Attributes
    ----------
    electrons : Tensor
        (N, frames * C, Y, X).
    read_noise : Tensor
        (N, frames * C, 1, 1), in electrons.
    log_gain : Tensor
        (N, 1, Y, X).
    """

    electrons: Tensor
    read_noise: Tensor
    log_gain: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        return Batch(*(each.to(device) for each in vars(self).values()))

    def middle(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return electrons and read noise of the frames that are estimated."""
        own = slice((at := (self.electrons.shape[1] - channels) // 2), at + channels)
        return self.electrons[:, own], self.read_noise[:, own]


class Crops:
    """Crops of images, turned and mirrored, each step's a function of the seed and its number.

    Parameters
    ----------
    images : sequence of Image
        All with the same channels, all with a gain map or none. A larger one is seen more often.
    recipe : BlindSpotRecipe
        Its crop and batch. Crops are smaller where an image is.
    neighbours : int
        Frames to either side.
    seed : int
        0 or more.
    """

    def __init__(
        self, images: Sequence[Image], recipe: BlindSpotRecipe, neighbours: int, seed: int
    ) -> None:
        self._images, self._neighbours, self._seed = images, neighbours, seed
        side = min(recipe.crop, *(length for image in images for length in image.sides))
        self._side = side // recipe.grid * recipe.grid
        self._count = recipe.batch
        sizes = np.array([float(image.frames * np.prod(image.sides)) for image in images])
        self._shares = sizes / sizes.sum()

    def batch(self, number: int) -> Batch:
        """Return the crops of a step."""
        random = np.random.default_rng([self._seed, number])
        crops = [self._crop(random) for _ in range(self._count)]
        return Batch(*(torch.stack(parts) for parts in zip(*crops, strict=True)))

    def scaling(self) -> Scaling:
        """Return what scales the images, measured on crops that no step will see first."""
        random = np.random.default_rng([self._seed, 0])
        plain, seen, gains = Scaling(0.0, 1.0, 0.0), [], []
        for _ in range(_SAMPLE):
            electrons, read_noise, log_gain = self._crop(random)
            seen.append(plain.seen(electrons, read_noise).double())
            gains.append(float(log_gain.double().mean()))
        stable = torch.stack(seen)
        return Scaling(float(stable.mean()), float(stable.std()), float(np.mean(gains)))

    def _crop(self, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        image = self._images[random.choice(len(self._images), p=self._shares)]
        frame = int(random.integers(image.frames))
        rows, columns = (
            slice((start := int(random.integers(length - self._side + 1))), start + self._side)
            for length in image.sides
        )
        frames = image.around(frame, self._neighbours)
        turns, mirrored = int(random.integers(4)), bool(random.integers(2))

        def turned(window: Tensor) -> Tensor:
            window = torch.rot90(window, turns, (1, 2))
            return (window.flip(2) if mirrored else window).contiguous()

        electrons = turned(image.electrons(frames, rows, columns))
        read_noise = image.read_noise.repeat(len(frames), 1, 1)
        if image.gain is not None:
            return electrons, read_noise, turned(image.log_gain(frame, rows, columns))
        own = slice(self._neighbours * image.channels, (self._neighbours + 1) * image.channels)
        return electrons, read_noise, low_passed_log_gain(electrons[None, own])[0]
