"""Both stages of IRLE, fitted: illumination, and denoising that is guided by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser._validation import set_fields
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.base import MethodTraits, Model
from napari_noiser.methods.irle import METHOD, STAGE_1
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.blind_spot.recipe import BLOCK_REACH
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.irle.two_stage.fold import (
    FoldedTwoStageDenoiser,
    FoldedTwoStageDisplay,
    Levels,
)
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.model_file import add_prefix, select_prefix


@dataclass(frozen=True, eq=False)
class IRLEModel(Model):
    """Internally referenced enhancement: a display of the denoised reflectance.

    Parameters
    ----------
    retinex : RetinexModel
        Stage 1, fitted.
    denoiser : BlindSpotModel
        Stage 2, fitted with the gain of stage 1's illumination; of planes.
    name : str
        What the model is called.

    Attributes
    ----------
    recipe, samples, ndim, seed, weights, device, losses
        As of any `Model`, from both stages; device and losses are those of stage 2.

    Raises
    ------
    ValueError
        If the two do not go together.
    """

    recipe: IRLERecipe = field(init=False)
    samples: int = field(init=False)
    ndim: int = field(init=False)
    seed: int = field(init=False)
    weights: dict[str, Tensor] = field(init=False, repr=False)
    device: str = field(init=False)
    losses: tuple[float, ...] = field(init=False, repr=False)
    retinex: RetinexModel
    denoiser: BlindSpotModel
    name: str = "irle"
    kind: ClassVar[Mapping[str, str]] = {"method": METHOD, "stage": "both"}
    folded_type: ClassVar[type[FoldedTwoStageDenoiser] | type[FoldedTwoStageDisplay]]
    folded_type = FoldedTwoStageDisplay

    def __post_init__(self) -> None:
        retinex, denoiser = self.retinex, self.denoiser
        if retinex.samples != denoiser.samples:
            raise InputError(
                "retinex", f"is for {retinex.samples} samples, denoiser for {denoiser.samples}"
            )
        if denoiser.ndim != 2 or not denoiser.traits.requires_gain_map:
            raise InputError("denoiser", "must be of planes, and take a gain that is given")
        set_fields(
            self,
            recipe=IRLERecipe(name=self.name, retinex=retinex.recipe, denoiser=denoiser.recipe),
            samples=retinex.samples,
            ndim=2,
            seed=denoiser.seed,
            weights=add_prefix(STAGE_1, retinex.weights)
            | add_prefix("denoiser", denoiser.weights),
            device=denoiser.device,
            losses=denoiser.losses,
        )

    @property
    def traits(self) -> MethodTraits:
        """Stage 2 can return the light, of stabilized values: see `as_denoiser`."""
        return MethodTraits(is_denoiser=True, requires_camera_noise=True, has_own_display=True)

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels around a tile both stages need, and the gain between them."""
        return (self.retinex.reach + BLOCK_REACH + self.denoiser.recipe.halo,) * 2

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a pixel: one stage at a time."""
        return self.denoiser.voxel_bytes + 64 * self.samples

    @property
    def fingerprint(self) -> str:
        both = self.retinex.fingerprint + self.denoiser.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()[:12]

    def as_denoiser(self) -> IRLEDenoiser:
        """Return the model as one whose result is the denoised light."""
        return IRLEDenoiser(self.retinex, self.denoiser, self.name)

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedTwoStageDenoiser | FoldedTwoStageDisplay:
        """Return both stages for stabilized images of a camera with these patch moments.

        Raises
        ------
        ValueError
            If the camera is not known.
        """
        if camera is None:
            raise InputError("camera", "must be known for a model that was fitted to counts")
        retinex, black = self.retinex, self.denoiser.scaling.black
        return self.folded_type(
            retinex.network(device),
            Levels(retinex.black - black, retinex.white - black),
            self.denoiser.fold(mean, covariance, device, camera),
            StabilizedCounts(camera, black),
            self.halo[0],
            lcm(retinex.recipe.step, self.denoiser.recipe.grid),
        )

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(each.shape) for name, each in self.weights.items()}

    def renamed(self, name: str) -> Self:
        return replace(self, name=IRLERecipe(name=name).name)

    def header(self) -> dict[str, Any]:
        stages = {STAGE_1: self.retinex.header(), "denoiser": self.denoiser.header()}
        return {**self.kind, "name": self.name, **stages}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Self:
        return cls(
            RetinexModel.from_header(header[STAGE_1], select_prefix(STAGE_1, weights)),
            BlindSpotModel.from_header(header["denoiser"], select_prefix("denoiser", weights)),
            header["name"],
        )


@dataclass(frozen=True, eq=False)
class IRLEDenoiser(IRLEModel):
    """Both stages as a model whose response is the denoised light."""

    folded_type: ClassVar[type[FoldedTwoStageDenoiser]] = FoldedTwoStageDenoiser
