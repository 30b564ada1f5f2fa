"""A blind-spot network that was fitted to someone's own images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._validation import check_float
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.methods.base import MethodTraits, Model
from napari_noiser.methods.irle import METHOD
from napari_noiser.methods.irle.blind_spot.fold import FoldedBlindSpot
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.stabilized_counts import StabilizedCounts
from napari_noiser.methods.noiser.standardize_output import OutputStandardization


@dataclass(frozen=True, eq=False)
class BlindSpotModel(Model):
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
    weights : dict of str to Tensor
        float32, on the CPU.
    device : str
        The kind of device it was fitted on.
    losses : tuple of float
        The mean loss of each of up to 200 equal stretches of the fit.
    scaling : Scaling
        Of the images it was fitted to.

    Raises
    ------
    ValueError, TypeError
        If the weights do not fit the recipe, or a value is outside its range.
    """

    recipe: BlindSpotRecipe
    scaling: Scaling = field(kw_only=True)
    kind: ClassVar[Mapping[str, str]] = {"method": METHOD, "stage": "denoise"}
    recipe_type: ClassVar[type[BlindSpotRecipe]] = BlindSpotRecipe

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("center", "log_gain", "black"):
            check_float(name, getattr(self.scaling, name))
        check_float("scale", self.scaling.scale, above=0.0)
        for value in self.scaling.noise:
            check_float("noise", value, above=0.0)
        if len(self.scaling.noise) != self.samples:
            raise InputError("noise", f"must be one a sample, got {self.scaling.noise}")

    @property
    def traits(self) -> MethodTraits:
        """A denoiser of stabilized values; whether it needs a gain map depends on the recipe."""
        return MethodTraits(
            is_denoiser=True,
            requires_camera_noise=True,
            requires_gain_map=self.recipe.gain == "given",
        )

    @property
    def halo(self) -> tuple[int, ...]:
        return (*(1,) * (self.ndim - 2), *(self.recipe.halo,) * 2)

    @property
    def voxel_bytes(self) -> int:
        """Working memory that rendering takes a voxel; one plane at a time of eight or more."""
        hidden = sum(4 * 6 * width >> 2 * at for at, width in enumerate(self.recipe.widths))
        return hidden if self.ndim == 2 else hidden // 8

    def fold(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        device: torch.device,
        camera: CameraNoise | None = None,
    ) -> FoldedBlindSpot:
        """Return the model for stabilized images with these patch moments."""
        light = OutputStandardization.of(mean, covariance, self.samples)
        black = self.scaling.black
        return FoldedBlindSpot(
            self.network(device),
            self.recipe,
            self.scaling,
            self.samples,
            light.offset,
            light.scale,
            0.0 if camera is None else StabilizedCounts(camera, black).stabilized_black,
        )

    def network(self, device: torch.device) -> BlindSpot:
        """Return the network with these weights on a device, ready to render."""
        network = make_network(self.recipe, self.samples, self.ndim, seed=0)
        network.load_state_dict(self.weights)
        network.requires_grad_(False)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        if self.recipe.blocks > len(self.weights):
            raise InputError("weights", f"are too few for {self.recipe.blocks} blocks")
        network = make_network(self.recipe, self.samples, self.ndim, seed=None)
        return {name: tuple(each.shape) for name, each in network.named_parameters()}

    def details(self) -> dict[str, Any]:
        """Return the scaling as JSON-able values."""
        return {"scaling": {**asdict(self.scaling), "noise": list(self.scaling.noise)}}

    @classmethod
    def details_from(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        scaling = header["scaling"]
        return {"scaling": Scaling(**{**scaling, "noise": tuple(scaling["noise"])})}


def make_network(recipe: BlindSpotRecipe, samples: int, ndim: int, seed: int | None) -> BlindSpot:
    """Return the network of a recipe, its weights drawn from a seed, or but their shapes."""
    start = None if seed is None else torch.Generator().manual_seed(seed)
    frames = 1 if ndim == 2 else 3
    return BlindSpot(samples, frames, recipe.widths, recipe.blocks, recipe.spacing, start)
