"""The protocols of methods, which render images, and the base class of their models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_float, check_int, set_fields
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.model_file import write_model_file
from napari_noiser.methods.patches import Halo, Scratch
from napari_noiser.methods.weights import fingerprint


@dataclass(frozen=True)
class MethodTraits:
    """What a method returns, and what it needs beside an image.

    A denoiser can return the light, and not only a display; what requires the camera's noise sees
    stabilized values. One that has its own display shows something else than the
    light: reflectance, say. Black and white of a method that requires raw counts are levels of the
    counts themselves, so that no offset may be taken off before; any other is invariant to gain
    and offset.
    """

    is_denoiser: bool = False
    requires_camera_noise: bool = False
    requires_gain_map: bool = False
    requires_raw_counts: bool = False
    has_own_display: bool = False


class Folded(Protocol):
    """A method folded for one statistics group: a plain map of tiles, without statistics.

    A tile is centered by `input_offset` and divided by `input_scale` before; the response to an
    image that repeats itself does so after `grid_period` pixels.
    """

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
    """A folded method that returns light: ``output_offset + output_scale * response``.

    Light is in the image's units, and so is `noise_std`, the noise's standard deviation.
    """

    @property
    def output_offset(self) -> float: ...
    @property
    def output_scale(self) -> float: ...
    @property
    def noise_std(self) -> float: ...


@dataclass(frozen=True)
class FoldedWrapper:
    """What a folded method is wrapped in: centered and scaled, and on a device, as that one is."""

    method: Folded

    @property
    def input_offset(self) -> NDArray[np.float64]:
        return self.method.input_offset

    @property
    def input_scale(self) -> float:
        return self.method.input_scale

    @property
    def grid_period(self) -> int:
        return self.method.grid_period

    def to(self, device: torch.device) -> Self:
        """Return the method on a device."""
        return replace(self, method=self.method.to(device))


class Method(Protocol):
    """Anything that the moments of an image's patches turn into a map of tiles.

    It sees `samples` together in `ndim` dimensions, needs a `halo` of so many voxels around a
    tile along each axis, and about `voxel_bytes` of working memory a voxel.
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
    def traits(self) -> MethodTraits: ...
    def describe(self) -> dict[str, Any]: ...
    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> Folded: ...


class ModelRecipe(Protocol):
    """Every number that decides how a model is trained or fitted."""

    @property
    def name(self) -> str: ...
    @property
    def iterations(self) -> int: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self: ...


@dataclass(frozen=True, eq=False)
class Model(ABC):
    """A method with trained weights, float32 on the CPU, in memory and in a file.

    It sees `samples` together (1 gray, 3 RGB) in `ndim` dimensions (2 for planes, 3 for volumes),
    and was trained from `seed` on a kind of `device`. `losses` are the means of up to 200 equal
    stretches of its training; empty where nobody noted them, as in the bundled files.
    """

    recipe: ModelRecipe
    samples: int
    ndim: int
    seed: int
    weights: dict[str, Tensor] = field(repr=False)
    device: str = "cpu"
    losses: tuple[float, ...] = field(default=(), repr=False)
    kind: ClassVar[Mapping[str, str]] = {}
    """Method and stage, as headers and provenance name them; of a `NoiserModel` nothing."""
    recipe_type: ClassVar[type[ModelRecipe]]

    def __post_init__(self) -> None:
        check_fields(self, check_int, "samples")
        check_fields(self, check_int, "ndim", least=2, most=3)
        check_fields(self, check_int, "seed", least=0)
        set_fields(self, losses=tuple(check_float("losses", loss) for loss in self.losses))
        _check_weights(self.weights, self.weight_shapes())

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    @abstractmethod
    def traits(self) -> MethodTraits:
        """What it returns, and what it needs beside an image."""

    @property
    @abstractmethod
    def halo(self) -> tuple[int, ...]:
        """How many voxels around a tile its rendering needs, along each axis."""

    @property
    @abstractmethod
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a voxel."""

    @abstractmethod
    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> Folded:
        """Return the model for images with these moments of patches, on a device."""

    @abstractmethod
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight."""

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from any others."""
        return fingerprint(self.weights)

    def describe(self) -> dict[str, Any]:
        """Return what a result's provenance says of its model, as JSON-able values."""
        return {
            **self.kind,
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            **self.details(),
            "trained_on": self.device,
            "fingerprint": self.fingerprint,
        }

    def details(self) -> dict[str, Any]:
        """Return the fields that only models of this class have, as JSON-able values."""
        return {}

    def __dask_tokenize__(self) -> dict[str, Any]:
        # What makes two models the same to dask, which cannot see into tensors.
        return self.describe()

    def renamed(self, name: str) -> Self:
        """Return the model under another name, which its files and results will carry.

        Parameters
        ----------
        name : str
            For its recipe: a model has no other name.
        """
        recipe: Any = self.recipe
        return replace(self, recipe=replace(recipe, name=name))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the model to a .safetensors file, all but the weights as JSON in its header.

        Parameters
        ----------
        path : str or path
            ".safetensors" is appended where it is missing. An existing file is replaced, once the
            new one is written completely.

        Returns
        -------
        Path
            The file written.
        """
        return write_model_file(path, self.weights, self.header())

    def header(self) -> dict[str, Any]:
        """Return all but the weights, as JSON-able values."""
        return {**self.describe(), "losses": self.losses}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Self:
        """Rebuild a model from what `header` returned, and its weights."""
        model = cls(
            recipe=cls.recipe_type.from_dict(header["recipe"]),
            samples=header["samples"],
            ndim=header["ndim"],
            seed=header["seed"],
            weights=dict(weights),
            device=str(header["trained_on"]),
            losses=header.get("losses", ()),  # files of before may have none
            **cls.details_from(header),
        )
        noted = header.get("fingerprint", model.fingerprint)  # files of before may have none
        if noted != model.fingerprint:
            raise InputError(
                "weights", f"are damaged: their fingerprint is {model.fingerprint}, not {noted}"
            )
        return model

    @classmethod
    def details_from(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that `details` wrote into a header."""
        return {}


def _check_weights(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != shapes:
        raise InputError("weights", f"must have the shapes {shapes}, got {found}")
    for name, value in weights.items():
        if value.dtype != torch.float32 or not bool(value.isfinite().all()):
            raise InputError("weights", f"must be finite float32 numbers, {name!r} is not")
