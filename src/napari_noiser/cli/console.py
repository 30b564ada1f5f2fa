"""The streams and signals of the command: paths of results to stdout, all else to stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from napari_noiser._errors import InputError
from napari_noiser._progress import Progress

_LOG_EVERY = 30.0  # seconds
_POSITIONAL = {"command", "images", "recipe", "source", "target"}


def escape_unencodable() -> None:
    """Let stdout and stderr escape the characters that they cannot encode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_message(text: str, name: str = "") -> None:
    """Write one line to stderr, if there is one, above a progress bar."""
    from tqdm import tqdm

    start = f"napari-noiser: {name}: " if name else "napari-noiser: "
    if sys.stderr is not None:
        line = _escape_controls(" ".join((start + text).split()))
        with suppress(OSError, ValueError), _silence_if_unwritable(sys.stderr):
            tqdm.write(line, file=sys.stderr)


def _escape_controls(text: str) -> str:
    """Return a text without codes that a terminal would obey: files may be called by them."""
    return "".join(
        each if each.isprintable() or 0xD800 <= ord(each) < 0xE000 else repr(each)[1:-1]
        for each in text
    )


def print_path(path: Path) -> None:
    """Write the path of a result to stdout; it is done, whether that can be written or not."""
    if sys.stdout is None:
        return
    try:
        with _silence_if_unwritable(sys.stdout):
            shown = _escape_controls(str(path)) if sys.stdout.isatty() else path
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()
    except (OSError, ValueError) as error:  # it may be closed as well
        print_message(f"{path} is done, but stdout cannot be written: {error}")


def print_error(
    error: Exception, args: Namespace, name: str = "", images: Sequence[Path] = ()
) -> None:
    """Write what went wrong to stderr, naming options and files.

    An argument is named as an option of the command if it is one. `name` says what the error is
    about and stands before it; `images` are the files that those of the function in Python were
    opened from. With ``args.debug`` the traceback is written as well.
    """
    if args.debug and sys.stderr is not None:
        traceback.print_exception(error)
    if isinstance(error, InputError):
        text = error.phrase(partial(_name_argument, args), lambda index: str(images[index]))
    elif isinstance(error, (OSError, MemoryError)) and str(error):
        text = str(error)
    else:
        text = f"{type(error).__name__} {error}"
    print_message(text, name)


def _name_argument(args: Namespace, name: str, value: Any) -> str:
    """Return an argument as an option of the command, or as in Python where it is none."""
    if name not in vars(args).keys() - _POSITIONAL:
        return name if value is None else f"{name}={value!r}"
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


@contextmanager
def print_warnings(name: str = "") -> Iterator[None]:
    """Write each warning to stderr in a line of its own, for every image anew."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print_message(f"warning: {message}", name)

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
def _silence_if_unwritable(stream: TextIO) -> Iterator[None]:
    """Redirect a stream to nowhere if it cannot be written.

    What it buffers would fail once more when Python ends, and change the exit code.
    """
    try:
        yield
    except OSError:
        with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        raise


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
    """Hold a signal back, and yield a function that raises it; a second one is raised at once."""
    received: list[KeyboardInterrupt] = []

    def check() -> None:
        if received:
            raise received[0]

    def hold_back(number: int, frame: object) -> None:
        check()
        received.append(_RAISED[signal.Signals(number)]())

    before = {number: signal.signal(number, hold_back) for number in _RAISED}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
