"""Where a fit stands, to be saved and resumed: the model so far and the optimiser's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from napari_noiser.checks import whole
from napari_noiser.irle.model import BlindSpotModel, read_tensors, write_tensors
from napari_noiser.irle.network import BlindSpot

__all__ = ["FittingState", "copied_weights", "load_fitting_state"]

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

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the state to a .safetensors file, as `BlindSpotModel.save` does a model."""
        weights = {f"weight.{name}": value for name, value in self.model.weights.items()}
        header = {**self.model.header(), "done": self.done}
        return write_tensors(path, weights | self.moments, header)


def load_fitting_state(path: str | PathLike[str]) -> FittingState:
    """Load a state from a file that `FittingState.save` wrote.

    Parameters
    ----------
    path : str or path
        The .safetensors file.

    Returns
    -------
    FittingState
        To resume from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is corrupt, or no such state.
    """
    tensors, header = read_tensors(path)
    weights = {n.removeprefix("weight."): v for n, v in tensors.items() if n.startswith("weight.")}
    moments = {n: v for n, v in tensors.items() if not n.startswith("weight.")}
    try:
        return FittingState(BlindSpotModel.from_header(header, weights), header["done"], moments)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not an unfinished fit: {error}") from error


def copied_weights(network: BlindSpot) -> dict[str, Tensor]:
    """Return a network's weights as they are now, on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in network.named_parameters()
    }
