"""A model: a recipe and the weights it led to, in a file that cannot execute anything."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from math import isfinite
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_int, check_ndim
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.noiser.fold import FoldedSRM, fold
from napari_noiser.methods.noiser.fold_unet import FoldedUNet, fold_unet
from napari_noiser.methods.noiser.recipe import BUNDLED, RECIPES, Recipe, bundled_form
from napari_noiser.methods.noiser.unet import unet_radius, unet_shapes
from napari_noiser.methods.weights import fingerprint

__all__ = ["BUNDLED", "Model", "bundled_file", "check_form", "load_model"]

_HEADER = "napari_noiser"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Model:
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
        float32, on the CPU.
    device : str
        The kind of device it was trained on: "cpu", "cuda", ... Recipe, seed and device determine
        the weights.
    losses : tuple of float
        How it learned: the mean loss of each of up to 200 equal stretches of its training. Empty
        where nobody noted it, as in the bundled files.
    begun_from : str
        The fingerprint of the model that its training began from; empty if weights were drawn.
    """

    recipe: Recipe
    samples: int
    ndim: int
    seed: int
    weights: dict[str, Tensor] = field(repr=False)
    device: str = "cpu"
    losses: tuple[float, ...] = field(default=(), repr=False)
    begun_from: str = ""
    requires_raw_counts: ClassVar[bool] = False  #: Whatever the gain and offset, it sees the same.

    def __post_init__(self) -> None:
        form = check_form(self.recipe, self.samples, self.ndim, self.seed)
        for field_name, number in zip(("samples", "ndim", "seed"), form, strict=True):
            object.__setattr__(self, field_name, number)
        expected = _shapes(self.recipe, self.samples, self.ndim)
        found = {name: tuple(value.shape) for name, value in self.weights.items()}
        if found != expected:
            raise InputError("weights", f"must have the shapes {expected}, got {found}")
        for name, value in self.weights.items():
            if value.dtype != torch.float32 or not bool(value.isfinite().all()):
                raise InputError("weights", f"must be finite float32 numbers, {name!r} is not")
        object.__setattr__(self, "losses", _checked_losses(self.losses))

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def is_denoiser(self) -> bool:
        """Whether it learned to see light through noise: then it can return that light."""
        return self.recipe.is_denoiser

    @property
    def requires_camera_noise(self) -> bool:
        """False: it takes any noise as it is."""
        return False

    @property
    def requires_gain_map(self) -> bool:
        """False: no gain map has to come with an image."""
        return False

    @property
    def halo(self) -> tuple[int, ...]:
        """How many voxels around a tile its rendering needs, along each axis.

        Two 3x3 convolutions need 2. A deeper network sees further planes by its first one alone.
        """
        if self.recipe.is_denoiser:
            return (*(1,) * (self.ndim - 2), *(unet_radius(len(self.recipe.widths)),) * 2)
        return (2,) * self.ndim

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a voxel, in float32.

        The patches, the hidden channels before and after GELU, and what they send to their
        neighbors; of a deeper network some copies of the hidden channels of each scale, which
        one plane at a time of a volume's eight or more has.
        """
        if self.recipe.is_denoiser:
            hidden = sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))
            return hidden if self.ndim == 2 else hidden // 8
        return int(4 * (2 * self.samples * 3**self.ndim + 2 * self.recipe.width))

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from any others."""
        return fingerprint(self.weights)

    def describe(self) -> dict[str, Any]:
        """Return what a result's provenance says of its model, as JSON-able values."""
        return {
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            "trained_on": self.device,
            "fingerprint": self.fingerprint,
            **({"begun_from": self.begun_from} if self.begun_from else {}),
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
    ) -> FoldedSRM | FoldedUNet:
        """Return the network for images with these patch moments; see `fold`."""
        if self.recipe.is_denoiser:
            return fold_unet(self.weights, len(self.recipe.widths), mean, covariance, device)
        return fold(self.weights, mean, covariance, device)

    def renamed(self, name: str) -> Model:
        """Return the same model under another name, which its files and results will carry.

        Parameters
        ----------
        name : str
            For its recipe: a model has no other name.

        Returns
        -------
        Model
            With the same weights, and so the same fingerprint.

        Raises
        ------
        TypeError
            If the name is empty, or no string.

        Examples
        --------
        >>> load_model("noiser").renamed("mine").name
        'mine'
        """
        return replace(self, recipe=replace(self.recipe, name=name))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the model to a .safetensors file, the recipe as JSON in its header.

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
        path = Path(path)
        if path.suffix != ".safetensors":
            path = path.with_name(path.name + ".safetensors")
        header = {
            "format": _FORMAT,
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            "device": self.device,
        }
        if self.losses:
            header["losses"] = self.losses
        if self.begun_from:
            header["begun_from"] = self.begun_from
        weights = {name: value.contiguous() for name, value in self.weights.items()}
        path.write_bytes(to_bytes(weights, metadata={_HEADER: json.dumps(header)}))
        return path


def load_model(name_or_path: str | PathLike[str], *, samples: int = 1, ndim: int = 2) -> Model:
    """Load a bundled model by name, or a model file.

    Parameters
    ----------
    name_or_path : str or path
        "noiser", "noiser-es", "noiser-var3", "structured" or "structured-tiny", or a .safetensors
        file from `Model.save`.
    samples, ndim : int
        Which of the bundled forms to take: 1 or 3 channels in 2-D, 1 channel in 3-D; of
        the last two 1 channel, for colors as well, of "structured-tiny" in 2-D only. A file says
        so itself.

    Returns
    -------
    Model
        Ready for `enhance`.

    Raises
    ------
    ValueError
        If nothing of that name is bundled in that form, or the file is corrupt or not a model
        of napari-noiser.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> load_model("noiser", samples=3).recipe.iterations
    2000
    """
    if isinstance(name_or_path, str) and name_or_path in RECIPES:
        return _load_bundled(name_or_path, samples, ndim)
    if not isinstance(name_or_path, (str, PathLike)):
        raise InputTypeError("model", f"must be a Model, a name or a path, got {name_or_path!r}")
    path = Path(fspath(name_or_path))
    if path.is_file():
        return _read(path)
    if path.suffix != ".safetensors" and path.name == fspath(name_or_path):
        raise InputError(
            "model",
            f"must be a Model, a .safetensors file or one of "
            f"{sorted({name for name, _, _ in BUNDLED})}, got {fspath(name_or_path)!r}",
        )
    raise FileNotFoundError(f"there is no model file {path}")


def check_form(recipe: Recipe, samples: Any, ndim: Any, seed: Any) -> tuple[int, int, int]:
    """Return channels, ndim and seed as ints, or raise an error that names what cannot be."""
    form = (
        check_int("samples", samples),
        check_ndim(ndim),
        check_int("seed", seed, 0),
    )
    recipe.check_form(*form[:2])
    return form


def bundled_file(name: str, samples: int, ndim: int) -> Path:
    """Return where the package keeps the weights of one of `BUNDLED`."""
    folder = resources.files("napari_noiser.methods.noiser") / "bundled"
    return Path(str(folder / f"{name}-{samples}ch-{ndim}d.safetensors"))


def _load_bundled(name: str, samples: int, ndim: int) -> Model:
    form = bundled_form(name, samples, ndim)
    if form is None:
        recipe = RECIPES[name]
        recipe.check_form(samples, ndim)
        sees = 1 if recipe.is_denoiser else samples
        have = ", ".join(f"{n} ({c} channels, {d}-D)" for n, c, d in BUNDLED)
        raise InputError(
            "model",
            f"{name!r} is not bundled with {samples} channels in {ndim}-D; "
            f"train it (train({name!r}, samples={sees}, ndim={ndim})) or take one of: "
            f"{have}",
        )
    return _read(bundled_file(*form))


def _read(path: Path) -> Model:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "channels" in header:  # as files of before say it
            header["samples"] = header.pop("channels")
        if header["format"] != _FORMAT:
            raise InputError("", f"its format is {header['format']}, this version reads {_FORMAT}")
        recipe = Recipe.from_dict(header["recipe"])
        return Model(
            recipe,
            header["samples"],
            header["ndim"],
            header["seed"],
            weights,
            str(header["device"]),
            header.get("losses", ()),  # files of before have none
            str(header.get("begun_from", "")),
        )
    except KeyError as error:
        raise InputError(
            "", f"{path} is not a model of napari-noiser: {error} is missing"
        ) from error
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            "", f"{path} is not a readable model of napari-noiser: {error}"
        ) from error


def _checked_losses(losses: Any) -> tuple[float, ...]:
    if isinstance(losses, (list, tuple)) and all(isinstance(x, (int, float)) for x in losses):
        with suppress(OverflowError):  # an integer that no float holds
            checked = tuple(map(float, losses))
            if all(map(isfinite, checked)):
                return checked
    raise InputError("losses", "must be finite numbers")


def _shapes(recipe: Recipe, samples: int, ndim: int) -> dict[str, tuple[int, ...]]:
    if recipe.is_denoiser:
        return unet_shapes(samples, recipe.widths, ndim)
    kernel, width = (3,) * ndim, recipe.width
    return {
        "first_weight": (width, samples, *kernel),
        "first_bias": (width,),
        "second_weight": (samples, width, *kernel),
        "second_bias": (samples,),
    }
