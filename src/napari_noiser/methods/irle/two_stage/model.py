"""Both stages, fitted to someone's own dark images: illumination, and denoising that it guides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot
from napari_noiser.methods.irle.blind_spot.model import (
    METHOD,
    BlindSpotModel,
    read_tensors,
    write_tensors,
)
from napari_noiser.methods.irle.blind_spot.recipe import BLOCK_REACH
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.irle.two_stage.fold import (
    FoldedTwoStageDenoiser,
    FoldedTwoStageDisplay,
    Levels,
)
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe

__all__ = ["IRLEDenoiser", "IRLEModel", "load_two_stages"]


@dataclass(frozen=True, eq=False)
class IRLEModel:
    """Internally referenced enhancement: a display of the denoised reflectance.

    Parameters
    ----------
    light : RetinexModel
        Stage 1, fitted.
    denoiser : BlindSpotModel
        Stage 2, fitted with the gain of stage 1's illumination; of planes.
    name : str
        What the model is called.

    Raises
    ------
    ValueError
        If the two do not go together.
    """

    light: RetinexModel
    denoiser: BlindSpotModel
    name: str = "irle"
    ndim: ClassVar[int] = 2  #: It is of planes.
    is_denoiser: ClassVar[bool] = True  #: Stage 2 returns the light, see `restoration`.
    requires_camera_noise: ClassVar[bool] = True  #: Stage 2 weighs the noise of stabilized values.
    requires_gain_map: ClassVar[bool] = False  #: It finds the gain itself.
    requires_raw_counts: ClassVar[bool] = False  #: It sees none: they are stabilized before.

    def __post_init__(self) -> None:
        light, denoiser = self.light, self.denoiser
        if light.samples != denoiser.samples:
            raise InputError(
                "light", f"is for {light.samples} channels, denoiser for {denoiser.samples}"
            )
        if denoiser.ndim != 2 or not denoiser.requires_gain_map:
            raise InputError("denoiser", "must be of planes, and take a gain that is given")

    @property
    def recipe(self) -> IRLERecipe:
        """Of both stages."""
        return IRLERecipe(name=self.name, light=self.light.recipe, denoiser=self.denoiser.recipe)

    @property
    def samples(self) -> int:
        """Samples that it sees together: 1 gray, 3 RGB."""
        return self.light.samples

    @property
    def seed(self) -> int:
        """The seed that both were fitted from."""
        return self.denoiser.seed

    @property
    def losses(self) -> tuple[float, ...]:
        """How stage 2 learned; how stage 1 did, by other losses, is in `light.losses`."""
        return self.denoiser.losses

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels around a tile both stages need, and the gain between them."""
        return (self.light.reach + BLOCK_REACH + self.denoiser.recipe.halo,) * 2

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a pixel: one stage at a time."""
        return self.denoiser.voxel_bytes + 64 * self.samples

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that tell these weights from any others."""
        both = self.light.fingerprint + self.denoiser.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()[:12]

    def restoration(self) -> IRLEDenoiser:
        """Return the model as one whose result is the denoised light."""
        return IRLEDenoiser(self.light, self.denoiser, self.name)

    def describe(self) -> dict[str, Any]:
        """Return what a result's provenance says of its model, as JSON-able values."""
        return {
            "method": METHOD,
            "stage": "both",
            "recipe": self.recipe.to_dict(),
            "samples": self.samples,
            "ndim": self.ndim,
            "seed": self.seed,
            "trained_on": self.denoiser.device,
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
    ) -> FoldedTwoStageDisplay | FoldedTwoStageDenoiser:
        """Return both stages for stabilized images of a camera with these patch moments.

        Raises
        ------
        ValueError
            If the camera is not known.
        """
        return FoldedTwoStageDisplay(self._folded(mean, covariance, device, camera))

    def _folded(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None,
    ) -> FoldedTwoStageDenoiser:
        if camera is None:
            raise InputError("camera", "must be known for a model that was fitted to counts")
        light, black = self.light, self.denoiser.scaling.black
        return FoldedTwoStageDenoiser(
            light.network(device),
            Levels(light.black - black, light.white - black),
            FoldedBlindSpot.of(self.denoiser, mean, covariance, device, camera),
            StabilizedCounts(camera, black),
            self.halo[0],
            lcm(self.light.step, self.denoiser.recipe.grid),
        )

    def renamed(self, name: str) -> IRLEModel:
        """Return the same model under another name, which its files and results will carry."""
        return replace(self, name=IRLERecipe(name=name).name)

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
        stages: dict[str, RetinexModel | BlindSpotModel]
        stages = {"light": self.light, "denoiser": self.denoiser}
        tensors = {
            f"{stage}.{name}": value
            for stage, model in stages.items()
            for name, value in model.weights.items()
        }
        header = {stage: model.header() for stage, model in stages.items()}
        about = {"method": METHOD, "stage": "both", "name": self.name}
        return write_tensors(path, tensors, {**about, **header})

    @classmethod
    def from_header(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> IRLEModel:
        """Rebuild a model from what `save` wrote."""

        def of(stage: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(f"{stage}."): value
                for name, value in tensors.items()
                if name.startswith(f"{stage}.")
            }

        return cls(
            RetinexModel.from_header(header["light"], of("light")),
            BlindSpotModel.from_header(header["denoiser"], of("denoiser")),
            header["name"],
        )


@dataclass(frozen=True, eq=False)
class IRLEDenoiser(IRLEModel):
    """The same model as one whose response is the denoised light."""

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedTwoStageDenoiser:
        """Return stage 2, guided by stage 1, for stabilized images of a camera."""
        return self._folded(mean, covariance, device, camera)


def load_two_stages(path: str | PathLike[str]) -> IRLEModel:
    """Load a model from a file that `IRLEModel.save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    IRLEModel
        Ready to render.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or not such a model.
    """
    tensors, header = read_tensors(path)
    try:
        return IRLEModel.from_header(header, tensors)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError("", f"{path} is not a fitted model of both stages: {error}") from error
