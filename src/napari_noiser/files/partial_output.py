"""A result that is not finished: a folder next to its path, with all that resuming takes."""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from os.path import lexists
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from napari_noiser._errors import InputError
from napari_noiser._replace_file import TEMPORARY, replace_file
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.passes import Moments

_MARK = "made by napari-noiser"
_CHECKSUM = "checksum"
_NAME_BYTES = 255  # of a file, on nearly every file system


class PartialOutput:
    """The folder ``NAME.partial`` in which the result ``NAME`` is written.

    The result has its own name only once it is complete. A run that is killed leaves a folder
    with the request, the moments measured so far, and a stamp of each finished block. All of them
    carry checksums. Nothing is removed but what this class makes, in a folder with its mark.
    """

    def __init__(self, path: Path) -> None:
        name = path.name + ".partial"
        if len(os.fsencode(name)) > _NAME_BYTES:
            raise InputError("path", f"has too long a name: with .partial it is {name}")
        self.path = path
        self.folder = path.with_name(name)
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

    @property
    def kept(self) -> str:
        """What an error says of the finished blocks."""
        return f"; what is finished is kept in {self.folder}, to be resumed"

    def claim(self) -> dict[str, Any] | None:
        """Lock the folder, created if need be, until `release` or the end of the process.

        Return the description that `begin` wrote, if an earlier run left something to resume.
        """
        self._make_folder()
        acquire_lock(self._lock, self.path)
        if not self.exists:  # it was killed before there was anything to resume
            with self._wrap_writing():
                self._remove_contents()
            return None
        try:
            description = self._read_description()
        except ValueError as error:
            self.release()
            raise InputError("", f"{self.folder} is broken, delete it: {error}") from error
        with self._wrap_writing():
            for orphan in self.result.rglob("*.partial"):  # of a chunk that zarr was writing
                orphan.unlink()
        return description

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write the description of the run: from now on it can be resumed."""
        checked = {**description, _CHECKSUM: _checksum_of(description)}
        with self._wrap_writing():
            replace_file(self._finished, b"")
            replace_file(self._description, json.dumps(checked, indent=1).encode())

    def restart(self, description: Mapping[str, Any]) -> None:
        """Begin again: what is finished was made of something else."""
        self.forget_moments()
        self.begin(description)

    def check(self) -> None:
        """Raise a `FileNotFoundError` if the folder has been removed."""
        if not self.exists:
            raise FileNotFoundError(
                f"{self.folder} has vanished, and with it what was finished of {self.path.name}"
            )

    @property
    def finished(self) -> int:
        """The number of finished blocks."""
        return len(self.stamps)

    @property
    def stamps(self) -> list[str]:
        """What was noted of each finished block."""
        self.check()
        if not self._finished.is_file():
            return []
        lines = self._finished.read_text("ascii", errors="replace").split("\n")
        return lines[:-1]  # a kill may have cut the last one

    def keep_finished(self, stamps: Sequence[str]) -> None:
        """Take only these blocks, the first ones, for finished."""
        with self._wrap_writing():
            replace_file(self._finished, "".join(f"{each}\n" for each in stamps).encode())

    def add_finished(self, stamp: str) -> None:
        """Record that one more block is finished, and what tells it from one that is damaged."""
        with self._finished.open("ab") as file:
            file.write(f"{stamp}\n".encode())

    def save_moments(self, moments: Moments, blocks: int) -> None:
        """Write the moments that were measured in a number of blocks."""
        self.check()
        values, content = list(moments.values()), io.BytesIO()
        bounded = [each.bounded or each for each in values]
        arrays: dict[str, Any] = {
            "blocks": np.array(blocks, np.int64),
            "groups": np.array(list(moments), np.int64).reshape(len(moments), -1),
            "beyond": np.array([each.beyond for each in values], np.int64),
            "has_bounded": np.array([each.bounded is not None for each in values], bool),
            **_moment_arrays("", values),
            **_moment_arrays("bounded_", bounded),
        }
        np.savez(content, **arrays, checksum=np.array(_checksum_of_arrays(arrays)))
        with self._wrap_writing():
            replace_file(self._moments, content.getvalue())

    def load_moments(self) -> tuple[Moments, int]:
        """Return the moments that were measured, and in how many blocks.

        Damaged ones are left out, with a warning: measured again they are the same.
        """
        if not self._moments.exists():
            return {}, 0
        try:
            with np.load(self._moments) as saved:
                arrays = dict(saved)
            if str(arrays.pop(_CHECKSUM)) != _checksum_of_arrays(arrays):
                raise ValueError("its checksum differs")
        except Exception as error:  # zipfile and numpy raise anything over a damaged file
            problem = f"{type(error).__name__} {error}"
            warnings.warn(f"{self._moments} is damaged, measured again: {problem}", stacklevel=2)
            return {}, 0
        plain, bounded = (_moments_from(kind, arrays) for kind in ("", "bounded_"))
        parts = zip(plain, bounded, arrays["has_bounded"], arrays["beyond"], strict=True)
        values = [
            replace(own, bounded=other if has else None, beyond=int(beyond))
            for own, other, has, beyond in parts
        ]
        keys = map(tuple, arrays["groups"].tolist())
        return dict(zip(keys, values, strict=True)), int(arrays["blocks"])

    def forget_moments(self) -> None:
        """Remove the moments: they are to be measured again."""
        with self._wrap_writing():
            self._moments.unlink(missing_ok=True)

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
        """Remove what was made of the result, and its folder unless someone put more into it."""
        with suppress(OSError):  # what cannot be removed keeps its mark
            if self._is_ours:
                self._remove_contents()
                remove_lock(self._lock)
                (self.folder / _MARK).unlink()
            self.folder.rmdir()  # unless there is more in it
        self.release()

    def release(self) -> None:
        """Unlock the folder, for another run to resume."""
        self._lock.release()

    def _make_folder(self) -> None:
        """Create the folder, marked as this result's: others must not be cleared."""
        with wrap_os_error(f"{self.folder} cannot be made"):
            if not self.folder.is_symlink():
                self.folder.mkdir(parents=True, exist_ok=True)
        with self._wrap_writing():
            if not self.folder.is_symlink() and not any(self.folder.iterdir()):
                (self.folder / _MARK).write_bytes(os.fsencode(self.path.name))
        if not self._is_ours:
            raise FileExistsError(
                f"{self.folder} exists, and napari-noiser has not made it for {self.path.name}: "
                "move it away, or take another name"
            )

    @property
    def _is_ours(self) -> bool:
        """Whether the folder has the mark of this result, or one of before that names none."""
        try:
            marked = (self.folder / _MARK).read_bytes()
        except OSError:
            return False
        return not self.folder.is_symlink() and marked in (b"", os.fsencode(self.path.name))

    def _read_description(self) -> dict[str, Any]:
        description = json.loads(self._description.read_text("utf-8"))
        if not isinstance(description, dict):
            raise ValueError("run.json holds no object")
        checksum = description.pop(_CHECKSUM, None)  # which earlier versions did not write
        if checksum not in (None, _checksum_of(description)):
            raise ValueError("the checksum of run.json differs")
        if self.result.is_symlink():
            raise ValueError(f"{self.result.name} is a link")
        return description

    def _wrap_writing(self) -> AbstractContextManager[None]:
        return wrap_os_error(f"{self.folder} cannot be written in")

    def _remove_contents(self) -> None:
        """Remove all that is made here but the lock and the mark."""
        self._description.unlink(missing_ok=True)  # first: what is left is not to be resumed
        if self.result.is_dir() and not self.result.is_symlink():
            shutil.rmtree(self.result)
        for each in (self.result, self._finished, self._moments, *self.folder.glob(TEMPORARY)):
            each.unlink(missing_ok=True)


def acquire_lock(lock: FileLock, path: Path) -> None:
    """Acquire the lock of a result, or raise a `BlockingIOError` if another run makes it."""
    with wrap_os_error(f"{path} cannot be locked"), suppress(Timeout):
        lock.acquire(blocking=False)
    if lock.is_locked and not Path(lock.lock_file).exists():
        lock.release()  # whoever had it has removed it in this moment
    if not lock.is_locked:
        raise BlockingIOError(
            f"{path} is being made by another run (if you are sure that none is, delete "
            f"{lock.lock_file})"
        )


def remove_lock(lock: FileLock) -> None:
    """Remove a lock's file and release it, in this order: nobody else may have acquired it."""
    file = Path(lock.lock_file)
    try:
        file.unlink()
    except OSError:  # on Windows it is open
        lock.release()
        with suppress(OSError):
            file.unlink()
    lock.release()


@contextmanager
def wrap_os_error(failure: str, remains: str = "") -> Iterator[None]:
    """Say before an error of the file system what failed, and behind it what remains."""
    try:
        yield
    except OSError as error:
        text = f"{failure} ({error.strerror or error}){remains}"
        raise OSError(error.errno, text) from error


def _checksum_of(description: Mapping[str, Any]) -> str:
    return sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def _moment_arrays(kind: str, values: Sequence[PatchMoments]) -> dict[str, Any]:
    return {
        f"{kind}counts": np.array([each.count for each in values], np.int64),
        f"{kind}means": np.array([each.mean for each in values]),
        f"{kind}covariances": np.array([each.covariance for each in values]),
    }


def _moments_from(kind: str, arrays: Mapping[str, Any]) -> list[PatchMoments]:
    names = ("counts", "means", "covariances")
    parts = zip(*(arrays[kind + name] for name in names), strict=True)
    return [PatchMoments(int(count), *rest) for count, *rest in parts]


def _checksum_of_arrays(arrays: Mapping[str, Any]) -> str:
    digest = sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:16]
