"""A self-regression network that was trained on noise, and where the bundled ones are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.base import Folded, MethodTraits, Model
from napari_noiser.methods.noiser.fold import fold
from napari_noiser.methods.noiser.fold_unet import fold_unet
from napari_noiser.methods.noiser.network import (
    expand_all,
    filter_shapes,
    orientation_matrix,
)
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.recomposition import fold_recomposed, recomposed_radius
from napari_noiser.methods.noiser.unet import unet_radius, unet_shapes


@dataclass(frozen=True, eq=False)
class NoiserModel(Model):
    """A trained self-regression network: the recipe, the seed and the weights.

    Parameters
    ----------
    recipe : Recipe
        What it learned from.
    samples : int
        Samples that it sees together: 1 gray, 3 RGB.
    ndim : int
        2 for planes, 3 for volumes.
    seed : int
        The seed it was trained from.
    weights : dict of str to Tensor
        float32, on the CPU. Of a symmetric model each filter once: see `expanded_weights`.
    device : str
        The kind of device it was trained on: "cpu", "cuda", ... Recipe, seed and device determine
        the weights.
    losses : tuple of float
        The mean loss of each of up to 200 equal stretches of its training; empty where nobody
        noted it, as in the bundled files.
    begun_from : str
        The fingerprint of the model that its training began from; empty if weights were drawn.
    """

    recipe: Recipe
    begun_from: str = ""
    recipe_type: ClassVar[type[Recipe]] = Recipe

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recipe.check_samples(self.samples)

    @property
    def traits(self) -> MethodTraits:
        """Whether it learned to see light through noise; it takes any noise, gain and offset."""
        return MethodTraits(is_denoiser=self.recipe.is_denoiser)

    @property
    def halo(self) -> tuple[int, ...]:
        """How many voxels around a tile its rendering needs, along each axis.

        Two 3x3 convolutions need 2. A U-Net sees further planes by its first convolution alone.
        """
        if self.recipe.is_denoiser:
            radius = recomposed_radius(unet_radius(len(self.recipe.widths)), self._coarser)
            return (*(1,) * (self.ndim - 2), radius, radius)
        return (2,) * self.ndim

    @property
    def _coarser(self) -> int:
        """How many coarser images are put together with the finest."""
        return self.recipe.coarser if self.ndim == 2 else 0

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a voxel, in float32.

        The patches, the hidden channels before and after GELU, and what they send to their
        neighbors; of a U-Net some copies of the hidden channels of each scale, which one plane
        at a time of a volume's eight or more has.
        """
        if self.recipe.is_denoiser:
            hidden = sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))
            return hidden if self.ndim == 2 else hidden // 8
        hidden = len(self.expanded_weights["first_bias"])
        return int(4 * (2 * self.samples * 3**self.ndim + 2 * hidden))

    @property
    def expanded_weights(self) -> dict[str, Tensor]:
        """The weights as convolutions take them: of a symmetric model, for all orientations.

        Their hidden channels are ordered by orientation, then by filter.
        """
        if not self.recipe.symmetric:
            return self.weights
        matrix = orientation_matrix(self.samples, self.ndim, True)
        return expand_all(self.weights, matrix)

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> Folded:
        """Return the network for images with these patch moments; see `fold`."""
        if self.recipe.is_denoiser:
            scales = len(self.recipe.widths)
            network = partial(fold_unet, self.weights, scales, device=device)
            return fold_recomposed(network, mean, covariance, unet_radius(scales), self._coarser)
        return fold(self.expanded_weights, mean, covariance, device)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        if self.recipe.is_denoiser:
            return unet_shapes(self.samples, self.recipe.widths, self.ndim)
        return filter_shapes(self.samples, self.recipe.width, self.ndim, self.recipe.symmetric)

    def details(self) -> dict[str, Any]:
        """Return what it was begun from, if it was, as JSON-able values."""
        return {"begun_from": self.begun_from} if self.begun_from else {}

    @classmethod
    def details_from(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        return {"begun_from": str(header.get("begun_from", ""))}


def bundled_file(name: str, samples: int, ndim: int) -> Path:
    """Return where the package keeps the weights of one of `BUNDLED`."""
    folder = resources.files("napari_noiser.methods.noiser") / "bundled"
    return Path(str(folder / f"{name}-{samples}ch-{ndim}d.safetensors"))
