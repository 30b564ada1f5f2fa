"""Where a fit stands, to be saved and resumed: the model so far and the optimizer's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError
from napari_noiser._validation import check_int
from napari_noiser.methods.irle.blind_spot.model import (
    METHOD,
    BlindSpotModel,
    read_tensors,
    write_tensors,
)
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.weights import copy_weights

__all__ = ["FittingState", "IRLEState", "Stage", "load_fitting_state"]

Stage = TypeVar("Stage", BlindSpotModel, RetinexModel)
"""A model of one stage."""

_MODELS: dict[str, type[BlindSpotModel] | type[RetinexModel]]
_MODELS = {"light": RetinexModel, "denoise": BlindSpotModel}
_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}
_OUTCOME = ("trained_on", "fingerprint")  # what a fit comes to, not what it is asked for


@dataclass(frozen=True, eq=False)
class FittingState(Generic[Stage]):
    """A fit of one stage, unfinished or just finished.

    Which crops a step sees follows from the seed and the number of the step, its rate from the
    number: a fit resumed ends as one that was never stopped, bit by bit.

    Parameters
    ----------
    model : BlindSpotModel or RetinexModel
        With the weights so far, and every step's loss.
    done : int
        How many steps are finished.
    moments : dict of str to Tensor
        Of Adam: "first.NAME" and "second.NAME" of each weight; not needed before the first step
        and after the last.
    images : str
        What tells the images of the fit from others; empty where nobody noted it, as in files of
        before.
    """

    model: Stage
    done: int
    moments: dict[str, Tensor] = field(default_factory=dict, repr=False)
    images: str = ""

    def __post_init__(self) -> None:
        done = check_int("done", self.done, least=0, most=self.total)
        object.__setattr__(self, "done", done)
        expected = {
            f"{moment}.{name}": weight.shape
            for moment in _MOMENTS
            for name, weight in self.model.weights.items()
        }
        found = {name: value.shape for name, value in self.moments.items()}
        if 0 < done < self.total and found != expected:
            raise InputError("", "moments must be two of the shape of each weight")

    @classmethod
    def of(
        cls,
        model: Stage,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        done: int,
        losses: Sequence[float],
    ) -> FittingState[Stage]:
        """Return a copy of how a fit stands."""
        moments = {
            f"{moment}.{name}": optimizer.state[parameter][key].detach().to("cpu", copy=True)
            for moment, key in _MOMENTS.items()
            for name, parameter in network.named_parameters()
        }
        so_far = replace(model, weights=copy_weights(network), losses=tuple(losses[:done]))
        return cls(so_far, done, moments)

    def restore(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        """Give an optimizer of a network with these weights its memory back."""
        if not self.moments:
            return
        for name, parameter in network.named_parameters():
            optimizer.state[parameter] = {"step": torch.tensor(float(self.done))} | {
                key: self.moments[f"{moment}.{name}"].to(parameter, copy=True)
                for moment, key in _MOMENTS.items()
            }

    def check_same_fit(self, start: Stage) -> None:
        """Raise a `ValueError` if a fit that starts from this model is another one."""
        found = self.model.describe()
        for name, here in start.describe().items():
            there = found.get(name)
            if name not in _OUTCOME and here != there:
                raise InputError("resume", f"is of another fit: its {name} is {there}, not {here}")

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self.model.recipe.iterations

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `BlindSpotModel.save` does a model."""
        return write_tensors(path, self.tensors(), self.header())

    def header(self) -> dict[str, Any]:
        """Return all but weights and moments, as JSON-able values."""
        return {**self.model.header(), "done": self.done, "images": self.images}

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and moments."""
        return _prefixed("weight", self.model.weights) | self.moments

    @classmethod
    def from_header(
        cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> FittingState[Any]:
        """Rebuild a state from its header and its tensors."""
        model = _MODELS[header["stage"]].from_header(header, _tensors_of("weight", tensors))
        moments = {n: each for n, each in tensors.items() if n.partition(".")[0] in _MOMENTS}
        return FittingState(model, header["done"], moments, header.get("images", ""))


@dataclass(frozen=True, eq=False)
class IRLEState:
    """An unfinished fit of both stages.

    Parameters
    ----------
    recipe : IRLERecipe
        Of both stages.
    light : FittingState
        Stage 1.
    denoiser : FittingState, optional
        Stage 2, if stage 1 is finished and this one begun.
    """

    recipe: IRLERecipe
    light: FittingState[RetinexModel]
    denoiser: FittingState[BlindSpotModel] | None = None

    @property
    def done(self) -> int:
        """How many steps of both stages are finished."""
        return self.light.done + (self.denoiser.done if self.denoiser else 0)

    @property
    def total(self) -> int:
        """How many steps there are in both."""
        return self.recipe.iterations

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `IRLEModel.save` does a model."""
        header = {
            "method": METHOD,
            "stage": "both",
            "done": self.done,
            "recipe": self.recipe.to_dict(),
            "light": self.light.header(),
        }
        tensors = _prefixed("light", self.light.tensors())
        if self.denoiser is not None:
            header["denoiser"] = self.denoiser.header()
            tensors |= self.denoiser.tensors()
        return write_tensors(path, tensors, header)

    @classmethod
    def from_header(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> IRLEState:
        """Rebuild a state from what `save` wrote."""
        whose = _tensors_of("light", tensors)
        second = header.get("denoiser")
        denoiser = None if second is None else FittingState.from_header(second, tensors)
        if denoiser is not None and "recipe" not in header:
            # A file of before stage 1 could be resumed: it stands there finished, as a model.
            model = RetinexModel.from_header(header["light"], whose)
            recipe = IRLERecipe(light=model.recipe, denoiser=denoiser.model.recipe)
            return cls(recipe, FittingState(model, model.recipe.iterations), denoiser)
        light = FittingState.from_header(header["light"], whose)
        return cls(IRLERecipe.from_dict(header["recipe"]), light, denoiser)


def load_fitting_state(path: str | PathLike[str]) -> FittingState[Any] | IRLEState:
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
        kind = IRLEState if header["stage"] == "both" else FittingState
        return kind.from_header(header, tensors)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise InputError("", f"{path} is not an unfinished fit: {error}") from error


def _prefixed(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": each for name, each in tensors.items()}


def _tensors_of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    whose = f"{part}."
    return {n.removeprefix(whose): t for n, t in tensors.items() if n.startswith(whose)}
