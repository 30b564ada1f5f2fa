"""Checkpoints of a fit or a training, next to the path of its model, for it to be resumed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

from filelock import FileLock

from napari_noiser.engine.fit import State
from napari_noiser.files.partial_output import acquire_lock, remove_lock, wrap_os_error
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


@contextmanager
def lock_model(model: Path) -> Iterator[None]:
    """Lock the name of a model: whoever else wants to make it is told, until this ends.

    Folders that are missing are made, and are removed again if nothing came into them.

    Raises
    ------
    BlockingIOError
        If another run makes it.
    """
    missing = [each for each in model.parents if not each.exists()]
    with wrap_os_error(f"{model} cannot be written"):
        model.parent.mkdir(parents=True, exist_ok=True)
        file = model.with_suffix(".partial.lock")
        file.touch()  # for a file that is not there, a lock looks like another run's
    lock = FileLock(file, thread_local=False)
    try:
        acquire_lock(lock, model)
        try:
            yield
        finally:
            remove_lock(lock)
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


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

    The folder of the model has to exist; once the model is written, the checkpoint is removed. If
    it cannot be written, the checkpoint stays.
    `check` is called after every step: what it raises stops it after a last checkpoint.
    """
    saved = monotonic()
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                path = _save(stop.value, model)
                with suppress(OSError):  # the model is there
                    checkpoint_path(model).unlink()
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


def _save(fitted: Model, model: Path) -> Path:
    checkpoint = checkpoint_path(model)
    kept = f"; what was learned is kept in {checkpoint}, to be resumed"
    with wrap_os_error(f"{model} cannot be written", kept if checkpoint.exists() else ""):
        return fitted.save(model)


def _write(state: State | TrainingState, model: Path) -> None:
    """Replace the checkpoint, once the new one is written completely."""
    with wrap_os_error(f"{checkpoint_path(model)} cannot be written"):
        state.save(checkpoint_path(model))
