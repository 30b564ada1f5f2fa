"""The state of a training, to be saved and resumed: the network so far, and all that moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_noiser._errors import InputError
from napari_noiser._validation import check_fields, check_int
from napari_noiser.methods.model_file import (
    add_prefix,
    read_model_file,
    select_prefix,
    write_model_file,
)
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.weights import copy_weights, downsample_losses

_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}
_FORM = ("samples", "ndim", "seed", "device", "begun_from")


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training on noise, unfinished or just finished.

    A training resumed ends as one that was never stopped, bit by bit, on the same kind of device
    with as many threads.

    Parameters
    ----------
    model : NoiserModel
        The weights after the last step, without losses.
    done : int
        How many steps are finished.
    losses : Tensor
        The loss of each, float32.
    optimizer : dict of str to Tensor
        Adam's moments: "first.NAME" and "second.NAME" of each weight.
    averages : dict of str to Tensor
        The running mean of each weight; empty if the recipe asks for none.
    generator : Tensor
        The state of the generator that signals and exposures are drawn from.
    """

    model: NoiserModel
    done: int
    losses: Tensor = field(repr=False)
    optimizer: dict[str, Tensor] = field(repr=False)
    averages: dict[str, Tensor] = field(repr=False)
    generator: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        check_fields(self, check_int, "done", least=1, most=self.total)
        shapes = {name: each.shape for name, each in self.model.weights.items()}
        moments = {f"{each}.{name}": shapes[name] for each in _MOMENTS for name in shapes}
        averaged = shapes if self.model.recipe.averaging else {}
        for own, expected in ((self.optimizer, moments), (self.averages, averaged)):
            if {name: each.shape for name, each in own.items()} != expected:
                raise InputError("", "moments and averages must have the shapes of the weights")
        if len(self.losses) != self.done:
            raise InputError("", f"losses must be {self.done}, one a step")

    @classmethod
    def of(
        cls,
        model: NoiserModel,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        averages: Mapping[str, Tensor],
        generator: torch.Generator,
        losses: list[float],
        done: int,
    ) -> TrainingState:
        """Return a copy of the state of a training after a step."""
        moments = {
            f"{moment}.{name}": _moment(optimizer, parameter, key)
            for moment, key in _MOMENTS.items()
            for name, parameter in network.named_parameters()
        }
        return cls(
            replace(model, weights=copy_weights(network)),
            done,
            torch.tensor(losses[:done], dtype=torch.float32),
            moments,
            {name: each.to("cpu", copy=True) for name, each in averages.items()},
            generator.get_state(),
        )

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Copy weights into a network, and moments into its optimizer."""
        for name, parameter in network.named_parameters():
            parameter.data.copy_(self.model.weights[name])
            step = torch.tensor(float(self.done))
            capturable = optimizer.defaults["capturable"] or optimizer.defaults["fused"]
            optimizer.state[parameter] = {
                "step": step.to(parameter.device) if capturable else step
            } | {
                key: self.optimizer[f"{moment}.{name}"].to(parameter, copy=True)
                for moment, key in _MOMENTS.items()
            }

    @property
    def total(self) -> int:
        """How many steps there are."""
        return self.model.recipe.iterations

    @property
    def averaged(self) -> NoiserModel:
        """The model that the weights so far are, their running means if there are any."""
        weights = self.averages or self.model.weights
        losses = downsample_losses(self.losses.tolist())
        return replace(self.model, weights=weights, losses=losses)

    def check_same_training(self, start: NoiserModel) -> None:
        """Raise a `ValueError` if a training that starts from this model is another one.

        It may be a longer or a shorter one, as long as both have the same rate up to here, and
        one whose model is rendered with other coarser images.
        """
        asked = start.recipe
        own = replace(self.model.recipe, coarser=asked.coarser)
        longer = own.iterations != asked.iterations
        if replace(own, iterations=asked.iterations) != asked:
            raise InputError("resume", f"is of another training: its recipe is {own}")
        if longer and self.done > min(own.steady_steps, asked.steady_steps):
            raise InputError(
                "resume",
                f"is of another training, of {own.iterations} steps: after {self.done} of them "
                f"it cannot become one of {asked.iterations}",
            )
        for name in _FORM:
            value, wanted = getattr(self.model, name), getattr(start, name)
            if value != wanted:
                raise InputError(
                    "resume", f"is of another training: its {name} is {value}, not {wanted}"
                )

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `NoiserModel.save` does a model."""
        tensors = {
            **add_prefix("weight", self.model.weights),
            **self.optimizer,
            **add_prefix("average", self.averages),
            "losses": self.losses,
            "generator": self.generator,
        }
        return write_model_file(path, tensors, {**self.model.header(), "done": self.done})

    @classmethod
    def from_header(
        cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> TrainingState:
        """Rebuild a state from its header and its tensors."""
        return cls(
            NoiserModel.from_header(header, select_prefix("weight", tensors)),
            header["done"],
            tensors["losses"],
            {n: each for n, each in tensors.items() if n.partition(".")[0] in _MOMENTS},
            select_prefix("average", tensors),
            tensors["generator"],
        )


def _moment(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, key: str) -> Tensor:
    """Return a moment on the CPU; what has no gradient, as a bias that cancels, has zeros."""
    moment: Tensor = optimizer.state[parameter].get(key, torch.zeros_like(parameter))
    return moment.detach().to("cpu", copy=True)


def load_training_state(path: str | PathLike[str]) -> TrainingState:
    """Load the state of an unfinished training from a file that its `save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    TrainingState
        To resume from; its `averaged` is the model so far.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or no such state.
    """
    return read_model_file(
        path, TrainingState.from_header, content="state of an unfinished training"
    )
