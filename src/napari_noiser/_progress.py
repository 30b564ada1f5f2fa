"""Draining a generator of events, with or without a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from napari_noiser._errors import InputTypeError

__all__ = ["Event", "PartDone", "Progress", "map_events", "run_with_progress"]

Progress = bool | Callable[[int, int], object]

Result = TypeVar("Result")
Other = TypeVar("Other")


class Event(Protocol):
    """What long work yields: how much is done, of how much, in which stage."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def stage(self) -> str: ...


@dataclass(frozen=True)
class PartDone:
    """One of several parts of long work is done: all that came before it was about that part.

    Attributes
    ----------
    done, total : int
        How many parts are done, of how many.
    result : object
        Of this part.
    stage : str
        As of any event.
    """

    done: int
    total: int
    result: Any
    stage: str = "done"


def map_events(
    steps: Generator[Event, None, Result], change: Callable[[Any], Other]
) -> Generator[Other, None, Result]:
    """Yield other events for a generator's own, and return what it returns."""
    with closing(steps):
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            yield change(event)


def run_with_progress(
    steps: Generator[Event, None, Result], progress: Progress, description: str
) -> Result:
    """Run a generator to its end and return its return value.

    Parameters
    ----------
    steps : generator
        Yields events with ``done``, ``total`` and ``stage``.
    progress : bool or callable
        False for silence, True for a tqdm bar, or a callable taking ``(done, total)``.
    description : str
        Stands before the bar.

    Returns
    -------
    object
        What the generator returned.

    Raises
    ------
    TypeError
        If `progress` is neither a bool nor callable.
    """
    if callable(progress):
        return _report(steps, progress)
    if not isinstance(progress, bool):
        raise InputTypeError("progress", f"must be False, True or a callable, got {progress!r}")
    if not progress:
        return _report(steps, lambda done, total: None)
    from tqdm.auto import tqdm

    with tqdm(desc=description) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return _report(steps, show)


def _report(
    steps: Generator[Event, None, Result], callback: Callable[[int, int], object]
) -> Result:
    try:
        while True:
            event = next(steps)
            callback(event.done, event.total)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        steps.close()
