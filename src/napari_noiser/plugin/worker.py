"""Work in the background: starting it, its progress bars, cancel, the result.

The generators of the core run in napari's generator worker, which can stop between two steps.
Bars and layers are made on the GUI thread only, in the slots of the worker's signals.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from napari.qt.threading import create_worker
from napari.utils import cancelable_progress, progress

from napari_noiser.plugin.layers import ImageSource
from napari_noiser.plugin.settings import Settings
from napari_noiser.progress import Event
from napari_noiser.remedy import torch_remedy

__all__ = ["Busy", "Enhanced", "Run", "enhance_job", "train_job"]

_REFRESH = 0.05  # seconds between two updates of a bar: training makes hundreds of steps a second


class Busy(RuntimeError):
    """Raised when work is started while other work runs."""


class WorkFailed(Exception):
    """Stands for a RuntimeError in the worker.

    superqt takes those for a deleted worker, and would never say that the work has ended; torch
    raises them when memory runs out.
    """


@dataclass(frozen=True)
class Enhanced:
    """What an enhancement leaves: all that the result's layer takes.

    Attributes
    ----------
    array : array
        The result.
    provenance : dict
        How it was made.
    limits : pair of float
        Contrast limits.
    model : Model
        What rendered it.
    trained : bool
        Whether the model was trained on the way.
    """

    array: Any
    provenance: dict[str, Any]
    limits: tuple[float, float]
    model: Any
    trained: bool


def train_job(recipe: Any, channels: int, ndim: int, device: str, seed: int) -> Generator:
    """Train a model as `napari_noiser.train_steps` does, torch imported on the worker's thread."""
    from napari_noiser import train_steps

    return (yield from train_steps(recipe, channels=channels, ndim=ndim, device=device, seed=seed))


def enhance_job(source: ImageSource, settings: Settings) -> Generator:
    """Enhance a layer's image; train the model first, if it is the name of one not bundled."""
    from napari_noiser.srm.model import BUNDLED
    from napari_noiser.srm.recipe import RECIPES
    from napari_noiser.stack.axes import Layout
    from napari_noiser.stack.display import display_limits
    from napari_noiser.stack.enhance import render_steps
    from napari_noiser.stack.work import plan

    ndim, model = settings.ndim, settings.model
    samples = Layout.of(tuple(source.array.shape), source.axes, ndim).samples
    trained = model in RECIPES and (model, samples, ndim) not in BUNDLED
    if trained:
        model = yield from train_job(model, samples, ndim, settings.device, seed=0)
    work = plan(source.array, model, axes=source.axes, **settings.options)
    array = yield from render_steps(work)
    limits = display_limits(array, source.rgb)
    return Enhanced(array, work.describe(), limits, work.method, trained)


class Run:
    """One stretch of work in the background; only one runs at a time.

    Parameters
    ----------
    title : str
        Of the outer progress bar.
    job : callable
        Returns a generator of events; called and drained on the worker's thread.
    on_event : callable
        Gets an event, some twenty times a second.
    on_result : callable
        Gets the job's return value, if it ran to its end.
    on_end : callable
        Called last in any case, with "finished", "cancelled" or "failed".

    Raises
    ------
    Busy
        If other work runs.
    """

    current: Run | None = None

    def __init__(
        self,
        title: str,
        job: Callable[[], Generator],
        on_result: Callable[[Any], object],
        on_event: Callable[[Event], object] = lambda event: None,
        on_end: Callable[[str], object] = lambda outcome: None,
    ) -> None:
        if Run.current is not None:
            raise Busy(f"{Run.current.title} is still running: wait for it, or cancel it")
        self.title = title
        self._on_event, self._on_result, self._on_end = on_event, on_result, on_end
        self._outcome = "failed"
        self._result: Any = None
        self._inner: progress | None = None
        self._stage: type | None = None
        self._shown = 0.0
        self._waiting: deque[Callable[[], None]] = deque()
        self._handling = False
        self._outer = cancelable_progress(desc=title, total=0, cancel_callback=self.cancel)
        Run.current = self
        self._worker = create_worker(
            _politely,
            job,
            _start_thread=False,
            _connect={
                "yielded": lambda event: self._handle(partial(self._show, event)),
                "returned": lambda result: self._handle(partial(self._finish, result)),
                "aborted": lambda: self._handle(self._abort),
                "finished": lambda: self._handle(self._end),
            },
        )
        self._worker.start()

    def cancel(self) -> None:
        """Ask the work to stop: it does within one step or tile, and leaves nothing behind."""
        self._outcome = "cancelled"
        self._worker.quit()

    def _handle(self, slot: Callable[[], None]) -> None:
        """Call the worker's slots one after the other.

        napari's progress bars process Qt's events whenever they move, so that the next signal
        comes in while the last one is still being handled.
        """
        self._waiting.append(slot)
        if self._handling:
            return
        self._handling = True
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._handling = False

    def _show(self, event: Event) -> None:
        if self._outer.is_canceled:
            self.cancel()
        now = monotonic()
        if (
            type(event) is self._stage
            and event.done < event.total
            and now < self._shown + _REFRESH
        ):
            return
        self._shown = now
        if type(event) is not self._stage:
            self._stage = type(event)
            self._close_inner()
            # Not nest_under=self._outer: napari 0.9.2 deletes the whole group when one of its bars
            # closes while the activity dock is hidden, and PyQt6 then crashes the process.
            self._inner = progress(total=event.total, desc=event.stage)
        if self._inner.desc.rstrip(": ") != event.stage:
            self._inner.set_description(event.stage)
        self._inner.update(event.done - self._inner.n)
        self._on_event(event)

    def _finish(self, result: Any) -> None:
        if self._outcome != "cancelled":
            self._outcome, self._result = "finished", result

    def _abort(self) -> None:
        self._outcome = "cancelled"

    def _end(self) -> None:
        self._close_inner()
        self._outer.close()
        Run.current = self._worker = None  # lets go of the generator, and of what it holds
        try:
            if self._outcome == "finished":
                self._on_result(self._result)
        finally:
            self._result = None
            self._on_end(self._outcome)

    def _close_inner(self) -> None:
        if self._inner is not None:
            self._inner.close()
            self._inner = None


def _politely(job: Callable[[], Generator]) -> Generator:
    """Run a job on all cores but one: torch's threads spin, and the viewer needs one to draw."""
    with _threads(max(1, (os.cpu_count() or 2) - 1)):
        try:
            return (yield from job())
        except RuntimeError as error:
            raise WorkFailed(str(error)) from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    with torch_remedy():
        import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
