"""A fitted blind spot: recipe, weights and scaling, in a file that cannot execute anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import check_float, check_int, check_ndim
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.weights import fingerprint

__all__ = [
    "METHOD",
    "BlindSpotModel",
    "load_blind_spot",
    "make_network",
    "read_tensors",
    "stage_of",
    "write_tensors",
]

METHOD = "IRLE, reconstructed from public figures"
_HEADER = "napari_noiser"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class BlindSpotModel:
    """A blind-spot network fitted to someone's own images.

    Parameters
    ----------
    recipe : BlindSpotRecipe
        How it was fitted.
    samples : int
        Samples that it sees together: 1 gray, 3 RGB.
    ndim : int
        2 for planes, 3 for planes between their neighbors in z or time.
    seed : int
        The seed it was fitted from.
    scaling : Scaling
        Of the images it was fitted to.
    weights : dict of str to Tensor
        float32, on the CPU.
    device : str
        The kind of device it was fitted on.
    losses : tuple of float
        How it learned: the mean loss of each of up to 200 equal stretches of the fit.

    Raises
    ------
    ValueError, TypeError
        If the weights do not fit the recipe, or a value is outside its range.
    """

    recipe: BlindSpotRecipe
    samples: int
    ndim: int
    seed: int
    scaling: Scaling
    weights: dict[str, Tensor] = field(repr=False)
    device: str = "cpu"
    losses: tuple[float, ...] = field(default=(), repr=False)
    is_denoiser: ClassVar[bool] = True  #: It can return the light.
    requires_camera_noise: ClassVar[bool] = (
        True  #: What it weighs is the noise of stabilized values.
    )
    requires_raw_counts: ClassVar[bool] = False  #: It sees none: they are stabilized before.

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("seed", 0)):
            object.__setattr__(self, name, check_int(name, getattr(self, name), least))
        object.__setattr__(self, "ndim", check_ndim(self.ndim))
        expected = {name: tuple(value.shape) for name, value in self._blank().named_parameters()}
        found = {name: tuple(value.shape) for name, value in self.weights.items()}
        if found != expected:
            raise InputError("weights", f"must have the shapes {expected}, got {found}")
        for name, weight in self.weights.items():
            if weight.dtype != torch.float32 or not bool(weight.isfinite().all()):
                raise InputError("weights", f"must be finite float32 numbers, {name!r} is not")
        for name in ("center", "log_gain", "black"):
            check_float(name, getattr(self.scaling, name))
        for value in (self.scaling.scale, *self.scaling.noise):
            check_float("scale and noise", value, above=0.0)
        if len(self.scaling.noise) != self.samples:
            raise InputError("noise", f"must be one a channel, got {self.scaling.noise}")
        losses = tuple(map(float, self.losses))
        if not all(map(isfinite, losses)):
            raise InputError("losses", "must be finite numbers")
        object.__setattr__(self, "losses", losses)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def requires_gain_map(self) -> bool:
        """Whether a gain map has to come with each image."""
        return self.recipe.gain == "given"

    @property
    def halo(self) -> tuple[int, ...]:
        """How many voxels around a tile its rendering needs, along each axis."""
        return (*(1,) * (self.ndim - 2), *(self.recipe.halo,) * 2)

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a voxel; one plane at a time of eight or more."""
        hidden = sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))
        return hidden if self.ndim == 2 else hidden // 8

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from any others."""
        return fingerprint(self.weights)

    def describe(self) -> dict[str, Any]:
        """Return what a result's provenance says of its model, as JSON-able values."""
        return {
            "method": METHOD,
            "stage": "denoise",
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            "scaling": {**asdict(self.scaling), "noise": list(self.scaling.noise)},
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
    ) -> FoldedBlindSpot:
        """Return the model for stabilized images with these patch moments."""
        return FoldedBlindSpot.of(self, mean, covariance, device, camera)

    def renamed(self, name: str) -> BlindSpotModel:
        """Return the same model under another name, which its files and results will carry."""
        return replace(self, recipe=replace(self.recipe, name=name))

    def network(self, device: torch.device) -> BlindSpot:
        """Return the network with these weights on a device, ready to render."""
        network = self._blank()
        network.load_state_dict(self.weights)
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

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
    def from_header(cls, header: Mapping[str, Any], weights: dict[str, Tensor]) -> BlindSpotModel:
        """Rebuild a model from what `header` returned, and its weights."""
        return cls(
            BlindSpotRecipe.from_dict(header["recipe"]),
            header["samples"],
            header["ndim"],
            header["seed"],
            Scaling(**{**header["scaling"], "noise": tuple(header["scaling"]["noise"])}),
            weights,
            str(header["trained_on"]),
            tuple(header["losses"]),
        )

    def _blank(self) -> BlindSpot:
        return make_network(self.recipe, self.samples, self.ndim, seed=0)


def make_network(recipe: BlindSpotRecipe, samples: int, ndim: int, seed: int) -> BlindSpot:
    """Return the network of a recipe, its weights drawn from a seed."""
    start = torch.Generator().manual_seed(seed)
    frames = 1 if ndim == 2 else 3
    return BlindSpot(samples, frames, recipe.widths, recipe.blocks, recipe.spacing, start)


def stage_of(path: str | PathLike[str]) -> str | None:
    """Return which stages of this method a file holds: "light", "denoise", "both" or None.

    Or "unfinished", of a fit that was kept to be gone on with.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
        stage = "unfinished" if "done" in header.get("denoiser", header) else header["stage"]
        return str(stage) if header["method"] == METHOD else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None


def load_blind_spot(path: str | PathLike[str]) -> BlindSpotModel:
    """Load a model from a file that `BlindSpotModel.save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    BlindSpotModel
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
        return BlindSpotModel.from_header(header, weights)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError("", f"{path} is not a fitted blind spot: {error}") from error


def write_tensors(
    path: str | PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> Path:
    """Write tensors with a JSON header to a .safetensors file, and return its path."""
    path = Path(path)
    if path.suffix != ".safetensors":
        path = path.with_name(path.name + ".safetensors")
    kept = {name: value.contiguous() for name, value in tensors.items()}
    text = json.dumps({"format": _FORMAT, **header})
    path.write_bytes(to_bytes(kept, metadata={_HEADER: text}))
    return path


def read_tensors(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file that `write_tensors` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or from elsewhere.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["method"] != METHOD or header["format"] != _FORMAT:
            raise InputError("", f"it says {header['method']!r}, format {header['format']}")
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError("", f"{path} is not a fitted blind spot: {error!r}") from error
    return tensors, dict(header)
