"""Fitted networks of illumination and reflectance: recipe, weights and levels, in a safe file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import check_float, check_int
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.blind_spot.model import METHOD, read_tensors, write_tensors
from napari_noiser.methods.irle.retinex.fold import FoldedRetinex
from napari_noiser.methods.irle.retinex.network import Retinex, retinex_radius
from napari_noiser.methods.irle.retinex.recipe import RetinexRecipe
from napari_noiser.methods.irle.retinex.rendering import RetinexRendering
from napari_noiser.methods.weights import fingerprint

__all__ = ["RetinexModel", "load_retinex", "make_retinex"]


@dataclass(frozen=True, eq=False)
class RetinexModel:
    """Networks of illumination and reflectance, fitted to someone's own dark images.

    Parameters
    ----------
    recipe : RetinexRecipe
        How they were fitted.
    samples : int
        1 gray, 3 RGB.
    seed : int
        The seed they were fitted from.
    black, white : float
        The light, in the images' units, that stands for 0 and for 1.
    weights : dict of str to Tensor
        float32, on the CPU.
    device : str
        The kind of device they were fitted on.
    losses : tuple of float
        How they learned: the mean loss of each of up to 200 equal stretches of the fit.
    smoothing : float
        Sigma of the Gaussian that calms an image before its light is looked for, in pixels; 0 or
        above.

    Raises
    ------
    ValueError, TypeError
        If the weights do not fit the recipe, or a value is outside its range.
    """

    recipe: RetinexRecipe
    samples: int
    seed: int
    black: float
    white: float
    weights: dict[str, Tensor] = field(repr=False)
    device: str = "cpu"
    losses: tuple[float, ...] = field(default=(), repr=False)
    smoothing: float = 0.0
    ndim: ClassVar[int] = 2  #: It is of planes.
    is_denoiser: ClassVar[bool] = False  #: What it returns is a display, noise and all.
    requires_camera_noise: ClassVar[bool] = False  #: It takes any noise as it is.
    requires_gain_map: ClassVar[bool] = False  #: It finds the gain itself.
    requires_raw_counts: ClassVar[bool] = True  #: It was told which are black and white.

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", check_gray_or_rgb(self.samples))
        object.__setattr__(self, "seed", check_int("seed", self.seed, 0))
        object.__setattr__(self, "black", check_float("black", self.black))
        object.__setattr__(self, "white", check_float("white", self.white, above=self.black))
        object.__setattr__(self, "smoothing", check_float("smoothing", self.smoothing, least=0.0))
        blank = make_retinex(self.recipe, self.samples, seed=0)
        expected = {name: tuple(value.shape) for name, value in blank.named_parameters()}
        found = {name: tuple(value.shape) for name, value in self.weights.items()}
        if found != expected:
            raise InputError("weights", f"must have the shapes {expected}, got {found}")
        for name, weight in self.weights.items():
            if weight.dtype != torch.float32 or not bool(weight.isfinite().all()):
                raise InputError("weights", f"must be finite float32 numbers, {name!r} is not")
        losses = tuple(map(float, self.losses))
        if not all(map(isfinite, losses)):
            raise InputError("losses", "must be finite numbers")
        object.__setattr__(self, "losses", losses)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def step(self) -> int:
        """After how many pixels the grid of the coarsest scale repeats itself."""
        return self.recipe.step

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels around a tile its rendering needs, along each axis."""
        return (self.reach, self.reach)

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a pixel."""
        return sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))

    @property
    def reach(self) -> int:
        """How many pixels around a tile its rendering needs: whole steps."""
        radius = retinex_radius(len(self.recipe.widths), self.smoothing)
        return -(-radius // self.step) * self.step

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from any others."""
        return fingerprint(self.weights)

    def describe(self) -> dict[str, Any]:
        """Return what a result's provenance says of its model, as JSON-able values."""
        return {
            "method": METHOD,
            "stage": "light",
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            "black": self.black,
            "white": self.white,
            "smoothing": self.smoothing,
            "trained_on": self.device,
            "fingerprint": self.fingerprint,
        }

    def __dask_tokenize__(self) -> dict[str, Any]:
        # What makes two models the same to dask, which cannot see into tensors.
        return self.describe()

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedRetinex:
        """Return the model for images, stabilized if their camera is considered."""
        return FoldedRetinex(self.rendering(device), camera)

    def renamed(self, name: str) -> RetinexModel:
        """Return the same model under another name, which its files and results will carry."""
        return replace(self, recipe=replace(self.recipe, name=name))

    def network(self, device: torch.device) -> Retinex:
        """Return the networks with these weights on a device, ready to render."""
        network = make_retinex(self.recipe, self.samples, 0, self.smoothing)
        network.load_state_dict(self.weights)
        return network.requires_grad_(False).to(device)

    def rendering(self, device: torch.device) -> RetinexRendering:
        """Return what takes tiles apart on a device."""
        network = self.network(device)
        return RetinexRendering(
            network, self.samples, self.black, self.white, self.step, self.reach
        )

    def decomposed(self, image: Tensor, clean: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return illumination and reflectance of whole images.

        Parameters
        ----------
        image : Tensor
            (N, C, Y, X) in float32, in the images' units, on the device to render on.
        clean : Tensor, optional
            The same, denoised: then the reflectance is taken from it, the illumination still
            from `image`.

        Returns
        -------
        light : Tensor
            (N, 1, Y, X) in [0.005, 1]. Its inverse is a smooth gain map.
        reflectance : Tensor
            (N, C, Y, X) in [0, 1].

        Raises
        ------
        ValueError
            If the channels are not the model's, or `clean` has another shape than `image`.
        """
        clean = image if clean is None else clean
        return self.rendering(image.device)(image, clean, ((0, 0), (0, 0)), (0, 0))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the model to a .safetensors file.

        Parameters
        ----------
        path : str or path
            ".safetensors" is appended where it is missing. An existing file is replaced.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        return write_tensors(path, self.weights, self.header())

    def header(self) -> dict[str, Any]:
        """Return all but the weights, as JSON-able values."""
        return {**self.describe(), "losses": self.losses}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], weights: dict[str, Tensor]) -> RetinexModel:
        """Rebuild a model from what `header` returned, and its weights."""
        return cls(
            RetinexRecipe.from_dict(header["recipe"]),
            header["samples"],
            header["seed"],
            header["black"],
            header["white"],
            weights,
            str(header["trained_on"]),
            tuple(header["losses"]),
            header.get("smoothing", 0.0),  # files of before had none
        )


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


def load_retinex(path: str | PathLike[str]) -> RetinexModel:
    """Load a model from a file that `RetinexModel.save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    RetinexModel
        Ready to render.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or not such a model.
    """
    weights, header = read_tensors(path)
    try:
        return RetinexModel.from_header(header, weights)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError("", f"{path} is not a fitted Retinex: {error}") from error
