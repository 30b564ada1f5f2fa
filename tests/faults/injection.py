"""Faults at file operations: a full disk, or an end as sudden as that of ``kill -9``."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHANGING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.symlink"}

Fault = Callable[[], object]


class _Watch:
    """Counts the operations that change a folder, and calls a fault at one of them."""

    folder = ""
    count = at = 0
    fault: Fault | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or not _changes(event, arguments, self.folder):
            return
        self.count += 1
        if self.count == self.at and self.fault is not None:
            self.fault()


def _changes(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    path = arguments[0] if arguments else None
    if not isinstance(path, (str, bytes)) or not os.fsdecode(path).startswith(folder):
        return False
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in _CHANGING


WATCH = _Watch()
sys.addaudithook(WATCH)


@contextmanager
def fault_at(folder: Path, at: int, fault: Fault | None) -> Iterator[_Watch]:
    """Call a fault at one of the operations that change a folder, counted from 1."""
    WATCH.count, WATCH.at, WATCH.fault, WATCH.folder = 0, at, fault, str(folder)
    try:
        yield WATCH
    finally:
        WATCH.folder = ""


def no_space() -> None:
    """Raise what a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def count_operations(folder: Path, work: Callable[[], object]) -> int:
    """Return how many operations of some work change a folder."""
    with fault_at(folder, 0, None) as watch:
        work()
    return watch.count


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file become larger: writing more fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_child(work: Callable[[], object], limit: float = 60) -> int:
    """Run some work in a copy of this process; return its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            sys.__stderr__.write(f"{type(error).__name__}: {error}\n")  # type: ignore[union-attr]
        finally:
            os._exit(code)
    return wait(child, limit)


def wait(child: int, limit: float) -> int:
    """Return the exit code of a child process, or fail if it takes longer than a limit."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"it hangs, for more than {limit} s")


def killed_at(folder: Path, at: int, work: Callable[[], object]) -> int:
    """Run some work in a process that is killed at one of its operations on a folder."""

    def run() -> None:
        with fault_at(folder, at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            work()

    return in_child(run)


def killed_after(seconds: float, work: Callable[[], object]) -> int:
    """Run some work in a process that is killed after a time."""

    def run() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        work()
        signal.setitimer(signal.ITIMER_REAL, 0)

    return in_child(run)
