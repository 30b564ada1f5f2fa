"""A result that is not finished: a folder next to its path, with all that resuming takes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from os.path import lexists
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from napari_noiser._errors import InputError
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.passes import Moments

_MARK = "made by napari-noiser"


class PartialOutput:
    """The folder ``NAME.partial`` in which the result ``NAME`` is written.

    The result has its own name only once it is complete. A run that is killed leaves a folder
    with the request, the moments measured so far, and the number of finished blocks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(path.name + ".partial")
        self.result = self.folder / path.name
        # Of no thread: a run that began on one may end on another.
        self._lock = FileLock(self.folder / "lock", thread_local=False)
        self._description = self.folder / "run.json"
        self._finished = self.folder / "finished"
        self._moments = self.folder / "moments.npz"

    @property
    def exists(self) -> bool:
        """Whether an earlier run left something to resume."""
        with wrap_os_error(f"{self.folder.parent} cannot be read"):
            return self._description.exists()

    def claim(self) -> dict[str, Any] | None:
        """Lock the folder, created if need be, until `release` or the end of the process.

        Return the description that `begin` wrote, if an earlier run left something to resume.
        """
        self._make_folder()
        with self._wrap_writing(), suppress(Timeout):
            self._lock.acquire(blocking=False)
        if not self._lock.is_locked:
            raise BlockingIOError(
                f"{self.path} is being made by another run (if you are sure that none is, delete "
                f"{self._lock.lock_file})"
            )
        if not self.exists:  # it was killed before there was anything to resume
            with self._wrap_writing():
                self._clear()
            return None
        try:
            description: dict[str, Any] = json.loads(self._description.read_text("utf-8"))
        except ValueError as error:
            self.release()
            raise InputError("", f"{self.folder} is broken, delete it: {error}") from error
        with self._wrap_writing():
            for orphan in self.result.rglob("*.partial"):  # of a chunk that zarr was writing
                orphan.unlink()
        return description

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write the description of the run: from now on it can be resumed."""
        with self._wrap_writing():
            self._finished.write_bytes(b"")
            _replace(self._description, json.dumps(description, indent=1).encode())

    def check(self) -> None:
        """Raise a `FileNotFoundError` if the folder has been removed."""
        if not self.exists:
            raise FileNotFoundError(
                f"{self.folder} has vanished, and with it what was finished of {self.path.name}"
            )

    @property
    def finished(self) -> int:
        """The number of finished blocks."""
        self.check()
        return self._finished.stat().st_size

    def add_finished(self) -> None:
        """Record that one more block is finished."""
        with self._finished.open("ab") as file:
            file.write(b".")

    def save_moments(self, moments: Moments, blocks: int) -> None:
        """Write the moments that were measured in a number of blocks."""
        self.check()
        values = list(moments.values())
        bounded = [each.bounded or each for each in values]
        temporary = self._moments.with_suffix(".new")
        with self._wrap_writing():
            with temporary.open("wb") as file:
                np.savez(
                    file,
                    blocks=blocks,
                    groups=np.array(list(moments), np.int64).reshape(len(moments), -1),
                    counts=np.array([each.count for each in values], np.int64),
                    means=np.array([each.mean for each in values]),
                    covariances=np.array([each.covariance for each in values]),
                    beyond=np.array([each.beyond for each in values], np.int64),
                    has_bounded=np.array([each.bounded is not None for each in values], bool),
                    bounded_counts=np.array([each.count for each in bounded], np.int64),
                    bounded_means=np.array([each.mean for each in bounded]),
                    bounded_covariances=np.array([each.covariance for each in bounded]),
                )
            temporary.replace(self._moments)

    def load_moments(self) -> tuple[Moments, int]:
        """Return the moments that were measured, and in how many blocks."""
        if not self._moments.exists():
            return {}, 0
        try:
            with np.load(self._moments) as saved:
                plain, bounded = (
                    [
                        PatchMoments(int(count), *rest)
                        for count, *rest in zip(
                            *(saved[kind + name] for name in ("counts", "means", "covariances")),
                            strict=True,
                        )
                    ]
                    for kind in ("", "bounded_")
                )
                each = zip(plain, bounded, saved["has_bounded"], saved["beyond"], strict=True)
                values = [
                    replace(own, bounded=other if has else None, beyond=int(beyond))
                    for own, other, has, beyond in each
                ]
                keys = map(tuple, saved["groups"].tolist())
                return dict(zip(keys, values, strict=True)), int(saved["blocks"])
        except (EOFError, KeyError, OSError, ValueError, BadZipFile) as error:
            raise InputError("", f"{self._moments} is broken, delete it: {error}") from error

    def complete(self) -> None:
        """Give the result its own name, and remove the folder."""
        if lexists(self.path):
            raise FileExistsError(f"{self.path} has come up meanwhile; {self.result} is complete")
        with wrap_os_error(f"{self.path} cannot be given its name; {self.result} is complete"):
            self.result.rename(self.path)
        self.discard()

    def clear_up(self) -> None:
        """Remove the folder of a run that was killed after its result had its own name."""
        if self.folder.exists() and not self.result.exists():
            self.discard()

    def discard(self) -> None:
        """Remove the folder with all that is in it."""
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Unlock the folder, for another run to resume."""
        self._lock.release()

    def _make_folder(self) -> None:
        """Create the folder, marked as ours: others must not be cleared."""
        mark = self.folder / _MARK
        with wrap_os_error(f"{self.folder} cannot be made"):
            self.folder.mkdir(parents=True, exist_ok=True)
        with self._wrap_writing():
            foreign = not mark.exists() and any(self.folder.iterdir())
            if not foreign:
                mark.touch()
        if foreign:
            raise FileExistsError(
                f"{self.folder} exists, and napari-noiser has not made it: move it away, or take "
                "another name"
            )

    def _wrap_writing(self) -> AbstractContextManager[None]:
        return wrap_os_error(f"{self.folder} cannot be written in")

    def _clear(self) -> None:
        for each in self.folder.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name not in ("lock", _MARK):
                each.unlink()


@contextmanager
def wrap_os_error(failure: str) -> Iterator[None]:
    """Prefix an error of the file system with what failed."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{failure} ({error.strerror or error})") from error


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    os.replace(temporary, path)
