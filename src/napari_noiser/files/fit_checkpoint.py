"""A fit that goes on where it was stopped: how far it is lies beside its model's place."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from time import monotonic

from napari_noiser.engine.fit_stages import Fitted, State
from napari_noiser.methods.irle.checkpoint import load_fitting_state
from napari_noiser.methods.irle.optimization import FittingStep

__all__ = ["checkpoint_path", "load_checkpoint", "run_with_checkpoints"]

_EVERY = 60.0  # seconds


def checkpoint_path(model: Path) -> Path:
    """Return where a fit is kept until its model is finished: NAME.partial.safetensors."""
    return model.with_suffix(".partial.safetensors")


def load_checkpoint(model: Path) -> State | None:
    """Return where the fit of a model stood, if it was ever stopped.

    Raises
    ------
    ValueError
        If what there is cannot be read.
    """
    path = checkpoint_path(model)
    return load_fitting_state(path) if path.exists() else None


def run_with_checkpoints(
    steps: Generator[FittingStep, None, Fitted],
    model: Path,
    check: Callable[[], object] = lambda: None,
) -> Generator[FittingStep, None, Path]:
    """Run a fit that is kept once a minute, and whenever it is stopped; write its model at last.

    Parameters
    ----------
    steps : generator
        As of `napari_noiser.fit_steps`.
    model : Path
        Of the model, in a folder that is there. What was kept goes when it is written.
    check : callable
        Called after every step; what it raises stops the fit, and what there is is kept.

    Yields
    ------
    FittingStep
        Those of the fit.

    Returns
    -------
    Path
        Of the model.

    Raises
    ------
    OSError
        If it cannot be written.
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
    """Write a state in the place of the last one, which is there until the new one is whole."""
    new = state.save(model.with_suffix(".partial.new.safetensors"))
    new.replace(checkpoint_path(model))
