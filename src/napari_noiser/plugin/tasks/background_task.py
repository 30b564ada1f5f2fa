"""Tasks in the background: starting them, their progress bars, cancel, the result.

The engine's generators run in napari's generator worker, which can stop between two steps.
Bars are made on the GUI thread only, in the slots of the worker's signals.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import monotonic, sleep
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import cancelable_progress, progress
from psygnal import Signal

from napari_noiser._progress import Event, PartDone, Waiting, describe_event
from napari_noiser._torch_import import explain_torch_import_error
from napari_noiser.plugin.tasks.errors import describe_error, show_failure

_REFRESH = 0.05  # seconds between two updates of a bar: training makes hundreds of steps a second
_PACE_KNOWN = 2.0  # seconds after which the rest is estimated, if it is as long
_DRAWN = 0.05  # seconds in which Qt draws what a task waits for, before an import holds it up


class TaskRunning(RuntimeError):
    """Raised when a task is started while another one runs."""


class TaskFailed(Exception):
    """Stands for a RuntimeError in the worker.

    superqt takes those for a deleted worker, and would never say that the task has ended; torch
    raises them when memory runs out.
    """


class _Worker(GeneratorWorker):  # type: ignore[misc]
    """Closes its generator where it ran, and before it says that it has ended.

    Left to the garbage collector, that would come at any time, on any thread: a file would stay
    claimed by a run that was canceled.
    """

    def work(self) -> Any:
        try:
            with closing(self._gen):
                return super().work()
        finally:
            from napari_noiser.methods.device import release_memory

            release_memory()


class TaskSignals:
    """What happens to the task that runs, whoever started it; emitted on the GUI thread.

    `started` gets the task, `progressed` an event some twenty times a second, `result` what all of
    it or a part of it made, `ended` its outcome, as `on_end` does. Methods that are connected are
    not kept alive.
    """

    started = Signal(object)
    progressed = Signal(object)
    result = Signal(object)
    ended = Signal(str)


class BackgroundTask:
    """A generator that runs in the background; only one task runs at a time.

    The job returns it, and is called and drained on the worker's thread. `on_event` gets an event
    some twenty times a second, and each `PartDone`; `on_result` the job's return value, if it ran
    to its end. `on_end` is called last in any case, with "finished", "canceled", or "failed" and
    the reason. The title is that of the outer progress bar, `progress` says how far it is.
    """

    current: BackgroundTask | None = None
    signals = TaskSignals()
    title: str
    progress: str

    def __init__(
        self,
        title: str,
        job: Callable[[], Generator[Any, None, Any]],
        on_result: Callable[[Any], object],
        on_event: Callable[[Event], object] = lambda event: None,
        on_end: Callable[[str], object] = lambda outcome: None,
    ) -> None:
        if BackgroundTask.current is not None:
            raise TaskRunning(
                f"{BackgroundTask.current.title} is still running: wait for it, or cancel it"
            )
        self.title = title
        self._on_event, self._on_result, self._on_end = on_event, on_result, on_end
        self._outcome = "failed"
        self._result: Any = None
        self._inner: Any = None  # napari's progress bar of this stage
        self._kind: tuple[type, int] | None = None
        self._shown = 0.0
        self._waiting: deque[Callable[[], None]] = deque()
        self._handling = False
        self._outer = cancelable_progress(desc=title, total=0)
        self._time_left = _TimeLeft()
        self.progress = describe_event(Waiting(_first_stage()))
        BackgroundTask.current = self
        self._worker: GeneratorWorker | None = create_worker(
            leave_one_core,
            job,
            _start_thread=False,
            _worker_class=_Worker,
            _connect={
                "yielded": lambda event: self._handle(partial(self._show, event)),
                "returned": lambda result: self._handle(partial(self._finish, result)),
                "aborted": lambda: self._handle(self._abort),
                "errored": lambda error: self._handle(partial(self._fail, error)),
                "finished": lambda: self._handle(self._end),
            },
        )
        self.signals.started.emit(self)
        self._worker.start()

    def cancel(self) -> None:
        """Ask the task to stop: it does within one step or tile."""
        if self._worker is not None:
            self._outcome, self.progress = "canceled", "canceling…"
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
        if isinstance(event, PartDone):
            self._outer.total = event.total
            self._outer.update(event.done - self._outer.n)
            self._kind = None  # the next part has a bar of its own
            self._on_event(event)
            self.signals.result.emit(event.result)
            return
        now, kind = monotonic(), (type(event), event.total)
        if kind == self._kind and event.done < event.total and now < self._shown + _REFRESH:
            return
        self._shown = now
        if kind != self._kind:
            self._kind = kind
            self._close_inner()
            # Not nest_under=self._outer: napari 0.9.2 deletes the whole group when one of its bars
            # closes while the activity dock is hidden, and PyQt6 then crashes the process.
            self._inner = progress(total=event.total, desc=event.stage)
        if self._inner.desc.rstrip(": ") != event.stage:
            self._inner.set_description(event.stage)
        self._inner.update(event.done - self._inner.n)
        if self._outcome != "canceled":
            self.progress = f"{describe_event(event)}{self._time_left.after(event)}"
        self._on_event(event)
        self.signals.progressed.emit(event)

    def _finish(self, result: Any) -> None:
        if self._outcome != "canceled":
            self._outcome, self._result = "finished", result

    def _abort(self) -> None:
        self._outcome = "canceled"

    def _fail(self, error: BaseException) -> None:
        self._outcome = f"failed: {describe_error(error)}"
        show_failure(error)

    def _end(self) -> None:
        self._close_inner()
        self._outer.close()
        result, on_result, on_end = self._result, self._on_result, self._on_end
        # Qt keeps the worker's slots, and so this object: it must not keep anything large.
        del self._result, self._on_result, self._on_event, self._on_end
        BackgroundTask.current = self._worker = None
        try:
            if self._outcome == "finished":
                on_result(result)
                self.signals.result.emit(result)
        finally:
            on_end(self._outcome)
            self.signals.ended.emit(self._outcome)

    def _close_inner(self) -> None:
        if self._inner is not None:
            self._inner.close()
            self._inner = None


class _TimeLeft:
    """How long a task has still to go, as far as its pace tells."""

    def __init__(self) -> None:
        self._kind: tuple[type, int] | None = None
        self._began, self._before = 0.0, 0

    def after(self, event: Event) -> str:
        """Return what is left after an event, in words; empty while it is unknown or short."""
        now, kind = monotonic(), (type(event), event.total)
        if kind != self._kind or event.done < self._before:  # another count
            self._kind, self._began, self._before = kind, now, event.done
        spent, done = now - self._began, event.done - self._before
        if spent < _PACE_KNOWN or not done:
            return ""
        left = spent / done * (event.total - event.done)
        return f", {_format_time(left)} left" if left >= _PACE_KNOWN else ""


def _format_time(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{round(minutes)} min" if minutes < 120 else f"{round(minutes / 60)} h"


_LEAST_CORES = 2
LOADING = "loading torch"
"""The stage of a task that waits for the import of torch, which takes seconds."""


def _first_stage() -> str:
    torch = sys.modules.get("torch")
    being_imported = getattr(getattr(torch, "__spec__", None), "_initializing", False)
    return LOADING if torch is None or being_imported else "starting"


def leave_one_core(job: Callable[[], Generator[Any, None, Any]]) -> Generator[Any, None, Any]:
    """Run a job on all cores but one, as `limit_threads` does."""
    if (stage := _first_stage()) == LOADING:
        yield Waiting(stage)
        sleep(_DRAWN)
    with limit_threads():
        try:
            return (yield from job())
        except RuntimeError as error:
            raise TaskFailed(str(error)) from error


@contextmanager
def limit_threads() -> Iterator[None]:
    """Leave one core to the viewer, if there are more than two: torch's threads spin.

    Of two, both are used: napari goes on drawing as it needs little, and a result is there sooner.
    It holds for the thread that enters it, and until it leaves: each has a number of its own.
    """
    with explain_torch_import_error():
        import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(_LEAST_CORES, (os.cpu_count() or 2) - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
