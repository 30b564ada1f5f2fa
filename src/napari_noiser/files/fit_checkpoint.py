"""Checkpoints of a fit, next to the path of its model, for the fit to be resumed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from time import monotonic

from napari_noiser.engine.fit import Fitted, State
from napari_noiser.methods.irle.checkpoint import load_fit_state
from napari_noiser.methods.irle.optimization import FittingStep

_EVERY = 60.0  # seconds


def checkpoint_path(model: Path) -> Path:
    """Return the path of the checkpoint of a model's fit: NAME.partial.safetensors."""
    return model.with_suffix(".partial.safetensors")


def load_checkpoint(model: Path) -> State | None:
    """Return the state of a model's fit, if it was stopped before."""
    path = checkpoint_path(model)
    return load_fit_state(path) if path.exists() else None


def run_with_checkpoints(
    steps: Generator[FittingStep, None, Fitted],
    model: Path,
    check: Callable[[], object] = lambda: None,
) -> Generator[FittingStep, None, Path]:
    """Run a fit, with a checkpoint once a minute and whenever it is stopped; save its model.

    The folder of the model has to exist; once the model is written, the checkpoint is removed.
    `check` is called after every step: what it raises stops the fit after a last checkpoint.
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
                    _write(step.state(), model)
                    saved = monotonic()
                yield step
            except BaseException:  # also a generator's end, and Ctrl-C
                _write(step.state(), model)
                raise


def _write(state: State, model: Path) -> None:
    """Replace the checkpoint, once the new one is written completely."""
    new = state.save(model.with_suffix(".partial.new.safetensors"))
    new.replace(checkpoint_path(model))
