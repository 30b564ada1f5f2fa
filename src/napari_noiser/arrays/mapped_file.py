"""Read the files that arrays are maps of: a map of a file that shrinks ends the process."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.lazy_view import LazyView

_GAP = 2**14  # bytes that are faster read than left out
_LOOK = 2**12  # bytes that tell whether a map is of the file of today
_AT_ONCE = 2**26  # bytes

Version = tuple[int, int, int]
"""What tells a file from one that was changed or put in its place."""


class FileView(LazyView):
    """A view of a file of plain values, which has no chunks."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """None: any part is read as well as another."""
        return ()


def unmapped(array: Any) -> Any:
    """Return an array that reads the file that a numpy array is a map of, or the array itself.

    What was mapped copy-on-write, is repeated or runs backwards, or whose file was replaced
    since, stays as it is.

    Raises
    ------
    OSError
        If the file was cut since: whatever touches the map then ends the process.
    """
    root = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    if not isinstance(root, np.memmap) or not _is_shared(root):
        return array
    strides = [step for step, n in zip(array.strides, array.shape, strict=True) if n > 1]
    if not array.ndim or not array.size or min(strides, default=1) <= 0:
        return array
    path, mapped = Path(str(root.filename)).absolute(), cast(mmap.mmap, root.base)
    if _skipped(root) + len(mapped) > mapped.size():
        raise _changed(path)
    try:
        version = _version(path.stat())
        if not _is_same_file(root, path):
            return array
    except OSError:  # it is gone; the map is not
        return array
    start = root.offset + array.ctypes.data - root.ctypes.data
    region = FileRegion(path, array.dtype, array.shape, array.strides, start, version)
    picked = tuple(map(range, array.shape))
    return FileView(region.read, array.dtype, array.shape, picked, region)


@dataclass(frozen=True)
class FileRegion:
    """An array of plain values in a file, in which the last axis need not be the fastest.

    Attributes
    ----------
    path : Path
        Of the file.
    dtype, shape, strides
        As of a numpy array; strides are above 0.
    start : int
        Where in the file its first value is, in bytes.
    version : Version
        Of the file, when it was opened.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    version: Version

    def read(self, box: Slices) -> NDArray[Any]:
        """Return the values in a box, or raise an `OSError` if the file was changed meanwhile."""
        order = sorted(range(len(box)), key=lambda axis: -self.strides[axis])
        strides = [self.strides[axis] for axis in order]
        values = np.empty([box[axis].stop - box[axis].start for axis in order], self.dtype)
        first = self.start + sum(
            each.start * stride for each, stride in zip(box, self.strides, strict=True)
        )
        try:
            with FileIO(self.path) as file:
                self._check(file)
                outer = _outer_axes(values.shape, strides, self.dtype.itemsize)
                for index in np.ndindex(values.shape[:outer]):
                    at = first + sum(n * stride for n, stride in zip(index, strides, strict=False))
                    _read_part(file, at, values[index], strides[outer:])
                self._check(file)
        except EOFError:
            raise _changed(self.path) from None
        return values.transpose(np.argsort(order).tolist())

    def _check(self, file: FileIO) -> None:
        if _version(os.fstat(file.fileno())) != self.version:
            raise _changed(self.path)


def _changed(path: Path) -> OSError:
    return OSError(f"image has changed while it was read: {path} is not what it was")


def _skipped(root: np.memmap[Any, Any]) -> int:
    """Return how much of a file lies before what is mapped of it."""
    return root.offset - root.offset % mmap.ALLOCATIONGRANULARITY


def _is_shared(root: np.memmap[Any, Any]) -> bool:
    """Return whether reading the file of a map gives what the map shows.

    On Windows a map that is written to may be ahead of its file.
    """
    modes = ("r", "r+", "w+") if os.name == "posix" else ("r",)
    return root.mode in modes and root.filename is not None and not root.dtype.hasobject


def _version(status: os.stat_result) -> Version:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_same_file(root: np.memmap[Any, Any], path: Path) -> bool:
    """Return whether a map still shows the file of its name: another may have its place."""
    mapped: Any = root.base
    skipped = _skipped(root)
    if mapped.size() != path.stat().st_size:
        return False
    with FileIO(path) as file:
        for at in {0, len(mapped) // 2, max(0, len(mapped) - _LOOK)}:
            file.seek(skipped + at)
            if file.read(min(_LOOK, len(mapped) - at)) != mapped[at : at + _LOOK]:
                return False
    return True


def _outer_axes(lengths: tuple[int, ...], strides: list[int], itemsize: int) -> int:
    """Return how many axes to go through one by one; all others are read in one piece."""
    outer, span = len(lengths), itemsize
    while outer:
        wider = span + (lengths[outer - 1] - 1) * strides[outer - 1]
        useful = prod(lengths[outer - 1 :]) * itemsize
        if wider != useful and (wider > max(2 * useful, _GAP) or wider > _AT_ONCE):
            break
        outer, span = outer - 1, wider
    return outer


def _read_part(file: FileIO, at: int, values: NDArray[Any], strides: list[int]) -> None:
    """Fill an array, whose values lie so many bytes apart in the file."""
    span = values.itemsize + sum(
        (n - 1) * stride for n, stride in zip(values.shape, strides, strict=True)
    )
    file.seek(at)
    if span == values.nbytes:
        _fill(file, values.reshape(-1).view(np.uint8))
        return
    content = np.empty(span, np.uint8)
    _fill(file, content)
    values[...] = np.ndarray(values.shape, values.dtype, content.data, 0, tuple(strides))


def _fill(file: FileIO, content: NDArray[np.uint8]) -> None:
    while len(content):
        count = file.readinto(content[:_AT_ONCE].data)
        if not count:
            raise EOFError
        content = content[count:]
