"""Checkpoints of a fit or a training, next to the path of its model, for it to be resumed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TypeVar

from napari_noiser.engine.fit import State
from napari_noiser.methods.base import Model
from napari_noiser.methods.irle.checkpoint import load_fit_state
from napari_noiser.methods.irle.optimization import FittingStep
from napari_noiser.methods.noiser.checkpoint import TrainingState, load_training_state
from napari_noiser.methods.noiser.training import TrainingStep

_EVERY = 60.0  # seconds

Step = TypeVar("Step", FittingStep, TrainingStep)


def checkpoint_path(model: Path) -> Path:
    """Return the path of the checkpoint of a model: NAME.partial.safetensors."""
    return model.with_suffix(".partial.safetensors")


def load_checkpoint(model: Path) -> State | None:
    """Return the state of a model's fit, if it was stopped before."""
    path = checkpoint_path(model)
    return load_fit_state(path) if path.exists() else None


def load_training_checkpoint(model: Path) -> TrainingState | None:
    """Return the state of a model's training on noise, if it was stopped before."""
    path = checkpoint_path(model)
    return load_training_state(path) if path.exists() else None


def run_with_checkpoints(
    steps: Generator[Step, None, Model],
    model: Path,
    check: Callable[[], object] = lambda: None,
) -> Generator[Step, None, Path]:
    """Run a fit or a training, with a checkpoint a minute and when stopped; save its model.

    The folder of the model has to exist; once the model is written, the checkpoint is removed.
    `check` is called after every step: what it raises stops it after a last checkpoint.
    """
    saved = monotonic()
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                path: Path = stop.value.save(model)
                checkpoint_path(model).unlink(missing_ok=True)
                return path
            try:
                check()
                if monotonic() > saved + _EVERY:
                    _write(_state(step), model)
                    saved = monotonic()
                yield step
            except BaseException:  # also a generator's end, and Ctrl-C
                _write(_state(step), model)
                raise


def _state(step: FittingStep | TrainingStep) -> State | TrainingState:
    assert step.state is not None  # of `regress` alone
    state: State | TrainingState = step.state()
    return state


def _write(state: State | TrainingState, model: Path) -> None:
    """Replace the checkpoint, once the new one is written completely."""
    new = state.save(model.with_suffix(".partial.new.safetensors"))
    new.replace(checkpoint_path(model))
