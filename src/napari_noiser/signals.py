"""The signals that end the command: at once, or between two steps, where nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Terminated", "between_steps", "terminated_by_signal"]


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


_RAISED: dict[signal.Signals, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raise `Terminated` when SIGTERM comes, as Python raises `KeyboardInterrupt` at Ctrl-C."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def between_steps() -> Iterator[Callable[[], None]]:
    """Take note of a signal, and give a function that raises it; a second one is raised at once.

    Yields
    ------
    callable
        To be called between two steps.
    """
    came: list[KeyboardInterrupt] = []

    def check() -> None:
        if came:
            raise came[0]

    def note(number: int, frame: object) -> None:
        check()
        came.append(_RAISED[signal.Signals(number)]())

    before = {number: signal.signal(number, note) for number in _RAISED}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
