"""Where a fit stands, to be saved and resumed: the model so far and the optimiser's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_noiser.checks import whole
from napari_noiser.irle.model import METHOD, BlindSpotModel, read_tensors, write_tensors
from napari_noiser.irle.network import BlindSpot
from napari_noiser.irle.retinex_model import RetinexModel
from napari_noiser.srm.learned import copied_weights

__all__ = ["FittingState", "IRLEState", "load_fitting_state"]

_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}


@dataclass(frozen=True, eq=False)
class FittingState:
    """An unfinished fit.

    Which crops a step sees follows from the seed and the number of the step, its rate from the
    number: a fit resumed ends as one that was never stopped, bit by bit.

    Parameters
    ----------
    model : BlindSpotModel
        With the weights so far, and every step's loss.
    done : int
        How many steps are finished.
    moments : dict of str to Tensor
        Of Adam: "first.NAME" and "second.NAME" of each weight; none before the first step.
    """

    model: BlindSpotModel
    done: int
    moments: dict[str, Tensor] = field(repr=False)

    def __post_init__(self) -> None:
        done = whole("done", self.done, least=0, most=self.model.recipe.iterations)
        object.__setattr__(self, "done", done)
        expected = {
            f"{moment}.{name}": weight.shape
            for moment in _MOMENTS
            for name, weight in self.model.weights.items()
        }
        if done and {name: value.shape for name, value in self.moments.items()} != expected:
            raise ValueError("moments must be two of the shape of each weight")

    @classmethod
    def of(
        cls,
        model: BlindSpotModel,
        network: BlindSpot,
        optimiser: torch.optim.Optimizer,
        done: int,
        losses: Sequence[float],
    ) -> FittingState:
        """Return a copy of how a fit stands."""
        moments = {
            f"{moment}.{name}": optimiser.state[parameter][key].detach().to("cpu", copy=True)
            for moment, key in _MOMENTS.items()
            for name, parameter in network.named_parameters()
        }
        so_far = replace(model, weights=copied_weights(network), losses=tuple(losses[:done]))
        return cls(so_far, done, moments)

    def restore(self, optimiser: torch.optim.Optimizer, network: BlindSpot) -> None:
        """Give an optimiser of a network with these weights its memory back."""
        if not self.done:
            return
        for name, parameter in network.named_parameters():
            optimiser.state[parameter] = {"step": torch.tensor(float(self.done))} | {
                key: self.moments[f"{moment}.{name}"].to(parameter, copy=True)
                for moment, key in _MOMENTS.items()
            }

    def check_same_fit(self, start: BlindSpotModel) -> None:
        """Raise a `ValueError` if a fit that starts from this model is another one."""
        for name in ("recipe", "channels", "ndim", "seed", "scaling"):
            here, there = getattr(start, name), getattr(self.model, name)
            if here != there:
                raise ValueError(f"resume is of another fit: its {name} is {there}, not {here}")

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self.model.recipe.iterations

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `BlindSpotModel.save` does a model."""
        return write_tensors(path, self.tensors(), self.header())

    def header(self) -> dict[str, Any]:
        """Return all but weights and moments, as JSON-able values."""
        return {**self.model.header(), "done": self.done}

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and moments."""
        return _named("weight", self.model.weights) | self.moments

    @classmethod
    def from_header(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FittingState:
        """Rebuild a state from its header and its tensors."""
        model = BlindSpotModel.from_header(header, _of("weight", tensors))
        moments = {n: each for n, each in tensors.items() if n.partition(".")[0] in _MOMENTS}
        return cls(model, header["done"], moments)


@dataclass(frozen=True, eq=False)
class IRLEState:
    """An unfinished fit of both stages, in its second.

    Parameters
    ----------
    light : RetinexModel
        Stage 1, finished.
    denoiser : FittingState
        Stage 2, unfinished.
    """

    light: RetinexModel
    denoiser: FittingState

    @property
    def done(self) -> int:
        """How many steps of both stages are finished."""
        return self.light.recipe.iterations + self.denoiser.done

    @property
    def total(self) -> int:
        """How many steps there are in both."""
        return self.light.recipe.iterations + self.denoiser.total

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `IRLEModel.save` does a model."""
        tensors = _named("light", self.light.weights) | self.denoiser.tensors()
        header = {"light": self.light.header(), "denoiser": self.denoiser.header()}
        return write_tensors(path, tensors, {"method": METHOD, "stage": "both", **header})


def load_fitting_state(path: str | PathLike[str]) -> FittingState | IRLEState:
    """Load a state from a file that its `save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    FittingState or IRLEState
        To resume from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or no such state.
    """
    tensors, header = read_tensors(path)
    try:
        if header["stage"] != "both":
            return FittingState.from_header(header, tensors)
        light = RetinexModel.from_header(header["light"], _of("light", tensors))
        return IRLEState(light, FittingState.from_header(header["denoiser"], tensors))
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not an unfinished fit: {error}") from error


def _named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": each for name, each in tensors.items()}


def _of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    whose = f"{part}."
    return {n.removeprefix(whose): t for n, t in tensors.items() if n.startswith(whose)}
