"""Progress of generators: run to their end, with a bar, a callback or in silence."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from napari_noiser._errors import InputTypeError

Progress = bool | Callable[[int, int], object]

Result = TypeVar("Result")
Other = TypeVar("Other")


class Event(Protocol):
    """A generator's progress: how many of its steps are done, and in which stage it is."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def stage(self) -> str: ...


@dataclass(frozen=True)
class Waiting:
    """Something has begun that has no steps, such as an import."""

    stage: str
    done: int = 0
    total: int = 0


def describe_event(event: Event) -> str:
    """Return an event in words."""
    if not event.total:
        return f"{event.stage}…"
    loss = getattr(event, "loss", None)
    return f"{event.stage} {event.done} of {event.total}" + (
        "" if loss is None else f", loss {loss:.3f}"
    )


@dataclass(frozen=True)
class PartDone:
    """One of several parts of long work is done: all that came before it was about that part."""

    done: int
    total: int
    result: Any
    stage: str = "done"


def map_events(
    steps: Generator[Event, None, Result], change: Callable[[Any], Other]
) -> Generator[Other, None, Result]:
    """Yield a generator's events, each changed, and return what it returns."""
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

    Progress is False for silence, True for a tqdm bar with the description before it, or a
    callable that takes ``(done, total)``.
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
