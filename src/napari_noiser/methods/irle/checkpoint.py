"""The state of a fit, to be saved and resumed: the model so far and the optimizer's moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_int
from napari_noiser.methods.irle import STAGE_1
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.two_stage.model import IRLEModel
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.model_file import (
    add_prefix,
    read_model_file,
    select_prefix,
    write_model_file,
)
from napari_noiser.methods.weights import copy_weights

Stage = TypeVar("Stage", BlindSpotModel, RetinexModel)
"""A model of one stage."""

_STAGES: dict[str, type[BlindSpotModel] | type[RetinexModel]]
_STAGES = {model.kind["stage"]: model for model in (RetinexModel, BlindSpotModel)}
_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}
_OUTCOME = ("trained_on", "fingerprint")  # results of a fit, not what it is asked for


@dataclass(frozen=True, eq=False)
class FitState(Generic[Stage]):
    """A fit of one stage, unfinished or just finished.

    Which crops a step sees follows from the seed and the number of the step, its rate from the
    number: a fit resumed ends as one that was never stopped, bit by bit.

    The model has the weights so far, and every step's loss. Adam's moments are "first.NAME" and
    "second.NAME" of each weight; not needed before the first step and after the last. `images` is
    a digest of the images of the fit; empty where nobody noted it, as in files of before.
    """

    model: Stage
    done: int
    moments: dict[str, Tensor] = field(default_factory=dict, repr=False)
    images: str = ""

    def __post_init__(self) -> None:
        check_fields(self, check_int, "done", least=0, most=self.total)
        expected = {
            f"{moment}.{name}": weight.shape
            for moment in _MOMENTS
            for name, weight in self.model.weights.items()
        }
        shapes = {name: value.shape for name, value in self.moments.items()}
        if 0 < self.done < self.total and shapes != expected:
            raise InputError("", "moments must be two of the shape of each weight")

    @classmethod
    def of(
        cls,
        model: Stage,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        done: int,
        losses: Sequence[float],
    ) -> FitState[Stage]:
        """Return a copy of the state of a fit."""
        moments = {
            f"{moment}.{name}": optimizer.state[parameter][key].detach().to("cpu", copy=True)
            for moment, key in _MOMENTS.items()
            for name, parameter in network.named_parameters()
        }
        so_far = replace(model, weights=copy_weights(network), losses=tuple(losses[:done]))
        return cls(so_far, done, moments)

    def restore(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        """Restore the moments of an optimizer of a network with these weights."""
        if not self.moments:
            return
        for name, parameter in network.named_parameters():
            optimizer.state[parameter] = {"step": torch.tensor(float(self.done))} | {
                key: self.moments[f"{moment}.{name}"].to(parameter, copy=True)
                for moment, key in _MOMENTS.items()
            }

    def check_same_fit(self, start: Stage) -> None:
        """Raise a `ValueError` if a fit that starts from this model is another one."""
        own = self.model.describe()
        for name, value in start.describe().items():
            if name not in _OUTCOME and own.get(name) != value:
                raise InputError(
                    "resume", f"is of another fit: its {name} is {own.get(name)}, not {value}"
                )

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self.model.recipe.iterations

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `BlindSpotModel.save` does a model."""
        return write_model_file(path, self.tensors(), self.header())

    def header(self) -> dict[str, Any]:
        """Return all but weights and moments, as JSON-able values."""
        return {**self.model.header(), "done": self.done, "images": self.images}

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and moments."""
        return add_prefix("weight", self.model.weights) | self.moments

    @classmethod
    def from_header(
        cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> FitState[Any]:
        """Rebuild a state from its header and its tensors."""
        model = _STAGES[header["stage"]].from_header(header, select_prefix("weight", tensors))
        moments = {n: each for n, each in tensors.items() if n.partition(".")[0] in _MOMENTS}
        return FitState(model, header["done"], moments, header.get("images", ""))


@dataclass(frozen=True, eq=False)
class IRLEState:
    """An unfinished fit of both stages.

    Of `denoiser`, stage 2, there is a state if stage 1 is finished and this one begun.
    """

    recipe: IRLERecipe
    retinex: FitState[RetinexModel]
    denoiser: FitState[BlindSpotModel] | None = None

    @property
    def done(self) -> int:
        """How many steps of both stages are finished."""
        return self.retinex.done + (self.denoiser.done if self.denoiser else 0)

    @property
    def total(self) -> int:
        """How many steps there are in both."""
        return self.recipe.iterations

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `IRLEModel.save` does a model."""
        header = {
            **IRLEModel.kind,
            "done": self.done,
            "recipe": self.recipe.to_dict(),
            STAGE_1: self.retinex.header(),
        }
        tensors = add_prefix(STAGE_1, self.retinex.tensors())
        if self.denoiser is not None:
            header["denoiser"] = self.denoiser.header()
            tensors |= self.denoiser.tensors()
        return write_model_file(path, tensors, header)

    @classmethod
    def from_header(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> IRLEState:
        """Rebuild a state from what `save` wrote."""
        whose = select_prefix(STAGE_1, tensors)
        second = header.get("denoiser")
        denoiser = None if second is None else FitState.from_header(second, tensors)
        if denoiser is not None and "recipe" not in header:
            # A file of before stage 1 could be resumed: it stands there finished, as a model.
            model = RetinexModel.from_header(header[STAGE_1], whose)
            recipe = IRLERecipe(retinex=model.recipe, denoiser=denoiser.model.recipe)
            return cls(recipe, FitState(model, model.recipe.iterations), denoiser)
        retinex = FitState.from_header(header[STAGE_1], whose)
        return cls(IRLERecipe.from_dict(header["recipe"]), retinex, denoiser)


def load_fit_state(path: str | PathLike[str]) -> FitState[Any] | IRLEState:
    """Load the state of an unfinished fit from a file that its `save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    FitState or IRLEState
        To resume from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or no such state.
    """
    return read_model_file(path, _build, content="state of an unfinished fit")


def is_fit_state(header: Mapping[str, Any]) -> bool:
    """Return whether a file with this header holds an unfinished fit or training, and no model."""
    return "done" in header or "done" in header.get("denoiser", {})


def _build(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FitState[Any] | IRLEState:
    is_of_both = header["stage"] == IRLEModel.kind["stage"]
    return (IRLEState if is_of_both else FitState).from_header(header, tensors)
