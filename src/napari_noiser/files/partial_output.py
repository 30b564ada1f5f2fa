"""A result that is not finished yet: a folder beside its place, with all that resuming takes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from os.path import lexists
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from napari_noiser._errors import InputError
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.passes import Moments

__all__ = ["PartialOutput"]

_MARK = "made by napari-noiser"


class PartialOutput:
    """The folder ``NAME.partial`` in which the result ``NAME`` is made.

    The result has its own name only once it is complete. A run that is killed leaves a folder
    that tells what was asked for, what was measured, and how many blocks are finished.

    Parameters
    ----------
    path : Path
        Where the result will be.

    Attributes
    ----------
    folder : Path
        Beside it.
    result : Path
        Where the result is while it is being made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(path.name + ".partial")
        self.result = self.folder / path.name
        # Not a lock of one thread: a run that began on one may end on another.
        self._lock = FileLock(self.folder / "lock", thread_local=False)

    @property
    def exists(self) -> bool:
        """Whether an earlier run left something to go on with."""
        with wrap_os_error(f"{self.folder.parent} cannot be looked into"):
            return self._description.exists()

    def claim(self) -> dict[str, Any] | None:
        """Take hold of the folder, which is made if need be, until `release` or the process ends.

        Returns
        -------
        dict or None
            What `begin` wrote, if an earlier run left something to go on with.

        Raises
        ------
        BlockingIOError
            If another run is at work in it.
        FileExistsError
            If there is such a folder that no run has made.
        OSError
            If it cannot be made, or not be written in.
        ValueError
            If what an earlier run left cannot be read.
        """
        self._make_folder()
        with self._written:
            locked = self._try_lock()
        if not locked:
            raise BlockingIOError(
                f"{self.path} is being made by another run (if you are sure that none is, delete "
                f"{self._lock.lock_file})"
            )
        if not self.exists:  # it was killed before there was anything to resume
            with self._written:
                self._clear()
            return None
        try:
            found: dict[str, Any] = json.loads(self._description.read_text("utf-8"))
        except ValueError as error:
            self.release()
            raise InputError("", f"{self.folder} is broken, delete it: {error}") from error
        with self._written:
            for orphan in self.result.rglob("*.partial"):  # of a chunk that zarr was writing
                orphan.unlink()
        return found

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write down what is being made: from now on it can be resumed."""
        with self._written:
            self._finished.write_bytes(b"")
            _replace(self._description, json.dumps(description, indent=1).encode())

    def check(self) -> None:
        """Raise a `FileNotFoundError` if the folder has been taken away."""
        if not self.exists:
            raise FileNotFoundError(
                f"{self.folder} has vanished, and with it what was finished of {self.path.name}"
            )

    @property
    def finished(self) -> int:
        """How many blocks are finished."""
        self.check()
        return self._finished.stat().st_size

    def add_finished(self) -> None:
        """Note that one more block is finished."""
        with self._finished.open("ab") as file:
            file.write(b".")

    def save_moments(self, moments: Moments, blocks: int) -> None:
        """Keep what was measured in a number of blocks."""
        self.check()
        with self._written:
            self._write_moments(moments, blocks)

    def _write_moments(self, moments: Moments, blocks: int) -> None:
        keys, values = list(moments), list(moments.values())
        temporary = self._moments.with_suffix(".new")
        with temporary.open("wb") as file:
            np.savez(
                file,
                blocks=blocks,
                exposures=np.array(keys, np.int64).reshape(len(keys), -1),
                counts=np.array([each.count for each in values], np.int64),
                means=np.array([each.mean for each in values]),
                covariances=np.array([each.covariance for each in values]),
            )
        temporary.replace(self._moments)

    def load_moments(self) -> tuple[Moments, int]:
        """Return what was measured, and in how many blocks."""
        if not self._moments.exists():
            return {}, 0
        try:
            with np.load(self._moments) as saved:
                parts = zip(saved["counts"], saved["means"], saved["covariances"], strict=True)
                values = [PatchMoments(int(count), *rest) for count, *rest in parts]
                keys = map(tuple, saved["exposures"].tolist())
                return dict(zip(keys, values, strict=True)), int(saved["blocks"])
        except (EOFError, KeyError, OSError, ValueError, BadZipFile) as error:
            raise InputError("", f"{self._moments} is broken, delete it: {error}") from error

    def complete(self) -> None:
        """Give the result its own name and place, and take the folder away.

        Raises
        ------
        FileExistsError
            If something has taken that place meanwhile.
        """
        if lexists(self.path):
            raise FileExistsError(f"{self.path} has come up meanwhile; {self.result} is complete")
        with wrap_os_error(f"{self.path} cannot be given its name; {self.result} is complete"):
            self.result.rename(self.path)
        self.discard()

    def clear_up(self) -> None:
        """Take away what a run has left that was killed when its result had its place already."""
        if self.folder.exists() and not self.result.exists():
            self.discard()

    def discard(self) -> None:
        """Take the folder away with all that is in it."""
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Let go of the folder, for another run to resume."""
        self._lock.release()

    def _try_lock(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def _make_folder(self) -> None:
        """Make the folder, marked as ours: what we have not made we must not clear."""
        mark = self.folder / _MARK
        with wrap_os_error(f"{self.folder} cannot be made"):
            self.folder.mkdir(parents=True, exist_ok=True)
        with self._written:
            foreign = not mark.exists() and any(self.folder.iterdir())
        if foreign:
            raise FileExistsError(
                f"{self.folder} exists, and napari-noiser has not made it: move it away, or take "
                "another name"
            )
        with self._written:
            mark.touch()

    @property
    def _written(self) -> AbstractContextManager[None]:
        return wrap_os_error(f"{self.folder} cannot be written in")

    @property
    def _description(self) -> Path:
        return self.folder / "run.json"

    @property
    def _finished(self) -> Path:
        return self.folder / "finished"

    @property
    def _moments(self) -> Path:
        return self.folder / "moments.npz"

    def _clear(self) -> None:
        for each in self.folder.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name not in ("lock", _MARK):
                each.unlink()


@contextmanager
def wrap_os_error(what: str) -> Iterator[None]:
    """Say of a failure of the file system what could not be done, and where."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{what} ({error.strerror or error})") from error


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    os.replace(temporary, path)
