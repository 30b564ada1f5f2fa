"""What the command line says: paths of results to stdout, all else in single lines to stderr."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from napari_noiser._progress import Progress

__all__ = [
    "Terminated",
    "defer_signals",
    "escape_unencodable",
    "print_error",
    "print_message",
    "print_path",
    "print_warnings",
    "progress_display",
    "raise_on_sigterm",
]


_LOG_EVERY = 30.0  # seconds

_IN_PYTHON = (
    (r"train\('([^']+)', samples=(\d), ndim=(\d)\)", r"train \1 OUT --samples \2 --ndim \3"),
    (r"camera=CameraNoise\(gain, offset, read_noise\)", "--camera GAIN,OFFSET,READ_NOISE"),
    (r"(?<![\w./\\-])(axes|channels|colors|ndim|output|statistics)=(?![/\\])", r"--\1 "),
    (r"(--(?:colors|output|statistics)) '(\w+)'", r"\1 \2"),
    (r"--axes ,", "--axes,"),
)
"""How errors name arguments, and what that is on the command line."""


def escape_unencodable() -> None:
    """Let stdout and stderr escape the letters that they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_message(text: str, name: str = "") -> None:
    """Write one line to stderr, if there is one, above a bar."""
    from tqdm import tqdm

    start = f"napari-noiser: {name}: " if name else "napari-noiser: "
    if sys.stderr is not None:
        with suppress(OSError, ValueError), _detach_if_full(sys.stderr):
            tqdm.write(start + " ".join(text.split()), file=sys.stderr)


def print_path(path: Path) -> None:
    """Write the path of a result to stdout; it is done, whether that can be written or not."""
    if sys.stdout is None:
        return
    try:
        with _detach_if_full(sys.stdout):
            sys.stdout.write(f"{path}\n")
            sys.stdout.flush()
    except (OSError, ValueError) as error:  # it may be closed as well
        print_message(f"{path} is done, but stdout cannot be written: {error}")


def print_error(error: Exception, debug: bool, name: str = "") -> None:
    """Say what went wrong, in the command line's own words."""
    if debug and sys.stderr is not None:
        traceback.print_exception(error)
    expected = isinstance(error, (OSError, TypeError, ValueError)) and str(error)
    print_message(_in_options(str(error)) if expected else f"{type(error).__name__} {error}", name)


@contextmanager
def print_warnings(name: str = "") -> Iterator[None]:
    """Say each warning in a line of its own, for every image anew."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print_message(f"warning: {_in_options(str(message))}", name)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def progress_display(name: str, quiet: bool) -> Progress:
    """Return a bar for a terminal; for a log, which a bar would fill, a line now and then."""
    if quiet or sys.stderr is None:
        return False
    if sys.stderr.isatty():
        return True
    next_line = -1.0

    def show(done: int, total: int) -> None:
        nonlocal next_line
        if monotonic() > next_line:
            print_message(f"{done} of {total} steps", name)
            next_line = monotonic() + _LOG_EVERY

    return show


@contextmanager
def _detach_if_full(stream: TextIO) -> Iterator[None]:
    """Lead a stream nowhere if it cannot be written.

    What it holds back would fail once more when Python ends, and change the exit code.
    """
    try:
        yield
    except OSError:
        with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        raise


def _in_options(text: str) -> str:
    """Return an error's text with the options in place of the arguments in Python."""
    for python, option in _IN_PYTHON:
        text = re.sub(python, option, text)
    return text


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


_RAISED: dict[signal.Signals, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """Raise `Terminated` when SIGTERM comes, as Python raises `KeyboardInterrupt` at Ctrl-C."""

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def defer_signals() -> Iterator[Callable[[], None]]:
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
