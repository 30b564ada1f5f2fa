"""Networks of illumination and reflectance that were fitted to someone's own dark images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_float
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.base import MethodTraits, Model
from napari_noiser.methods.irle import METHOD, STAGE_1
from napari_noiser.methods.irle.retinex.fold import FoldedRetinex, RetinexRendering
from napari_noiser.methods.irle.retinex.network import Retinex, retinex_radius, retinex_shapes
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe


@dataclass(frozen=True, eq=False)
class RetinexModel(Model):
    """Networks of illumination and reflectance, fitted to someone's own dark images.

    Parameters
    ----------
    recipe : RetinexRecipe
        How they were fitted.
    samples : int
        1 gray, 3 RGB.
    ndim : int
        2: they see planes.
    seed : int
        The seed they were fitted from.
    weights : dict of str to Tensor
        float32, on the CPU.
    device : str
        The kind of device they were fitted on.
    losses : tuple of float
        The mean loss of each of up to 200 equal stretches of the fit.
    black, white : float
        The light, in the images' units, that stands for 0 and for 1.
    smoothing : float
        Sigma in pixels of the Gaussian that an image is smoothed by before its illumination is
        estimated; 0 for none.

    Raises
    ------
    ValueError, TypeError
        If the weights do not fit the recipe, or a value is outside its range.
    """

    recipe: RetinexRecipe
    black: float = field(kw_only=True)
    white: float = field(kw_only=True)
    smoothing: float = field(default=0.0, kw_only=True)
    kind: ClassVar[Mapping[str, str]] = {"method": METHOD, "stage": STAGE_1}
    recipe_type: ClassVar[type[RetinexRecipe]] = RetinexRecipe

    def __post_init__(self) -> None:
        check_gray_or_rgb(self.samples)
        super().__post_init__()
        if self.ndim != 2:
            raise InputError("ndim", f"must be 2, got {self.ndim}")
        check_fields(self, check_float, "black")
        check_fields(self, check_float, "white", above=self.black)
        check_fields(self, check_float, "smoothing", least=0.0)

    @property
    def traits(self) -> MethodTraits:
        """A display of counts, noise and all, whose black and white are levels of them."""
        return MethodTraits(requires_raw_counts=True)

    @property
    def halo(self) -> tuple[int, ...]:
        return (self.reach, self.reach)

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a pixel."""
        return sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))

    @property
    def reach(self) -> int:
        """How many pixels around a tile its rendering needs: whole steps."""
        radius = retinex_radius(len(self.recipe.widths), self.smoothing)
        return -(-radius // self.recipe.step) * self.recipe.step

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedRetinex:
        """Return the model for images, stabilized if their camera is considered."""
        return FoldedRetinex(self.rendering(device), camera)

    def network(self, device: torch.device) -> Retinex:
        """Return the networks with these weights on a device, ready to render."""
        network = make_retinex(self.recipe, self.samples, 0, self.smoothing)
        network.load_state_dict(self.weights)
        return network.requires_grad_(False).to(device)

    def rendering(self, device: torch.device) -> RetinexRendering:
        """Return what decomposes tiles on a device."""
        network = self.network(device)
        return RetinexRendering(
            network, self.samples, self.black, self.white, self.recipe.step, self.reach
        )

    def decompose(self, image: Tensor, clean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Decompose whole images into illumination and reflectance.

        Parameters
        ----------
        image : Tensor
            (N, C, Y, X) in float32, in the images' units, on the device to render on.
        clean : Tensor, optional
            The same, denoised: then the reflectance is taken from it, the illumination still
            from `image`.

        Returns
        -------
        illumination : Tensor
            (N, 1, Y, X) in [0.005, 1]. Its inverse is a smooth gain map.
        reflectance : Tensor
            (N, C, Y, X) in [0, 1].

        Raises
        ------
        ValueError
            If the samples are not the model's, or `clean` has another shape than `image`.
        """
        clean = image if clean is None else clean
        return self.rendering(image.device)(image, clean, ((0, 0), (0, 0)), (0, 0))

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return retinex_shapes(self.samples, self.recipe.widths)

    def details(self) -> dict[str, Any]:
        """Return levels and smoothing."""
        return {"black": self.black, "white": self.white, "smoothing": self.smoothing}

    @classmethod
    def details_from(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        levels = {"black": header["black"], "white": header["white"]}
        return {**levels, "smoothing": header.get("smoothing", 0.0)}  # files of before had none


def check_gray_or_rgb(samples: Any) -> int:
    """Return 1 or 3, or raise a `ValueError`."""
    if isinstance(samples, bool) or samples not in (1, 3):
        raise InputError("samples", f"must be 1 (gray) or 3 (RGB), got {samples!r}")
    return int(samples)


def make_retinex(
    recipe: RetinexRecipe, samples: int, seed: int, smoothing: float = 0.0
) -> Retinex:
    """Return the networks of a recipe, their weights drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    return Retinex(samples, recipe.widths, generator, smoothing)
