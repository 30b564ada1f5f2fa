"""Where the values of an array lie: in which memory, file or store, dask's graphs looked into."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_noiser.arrays.image_array import is_dask


def check_store(array: Any) -> None:
    """Raise a `FileNotFoundError` if a zarr array's folder is gone: zarr would read zeros."""
    place = _folder(array)
    if place is not None and not place.exists():
        raise FileNotFoundError(f"image has vanished while it was read: {place} is not there")


def shares_memory(one: Any, other: Any) -> bool:
    """Return whether to write to one array may change another: same memory, file or store."""
    return any(_same(a, b) for a in _sources(one) for b in _sources(other))


def arrays_in(tasks: Iterable[Any]) -> Iterator[Any]:
    """Iterate over the numpy and zarr arrays among the values of a dask graph."""
    for task in tasks:
        if isinstance(task, np.ndarray) or hasattr(task, "store_path"):
            yield task
        elif isinstance(task, (list, tuple, set, frozenset)):
            yield from arrays_in(task)
        elif isinstance(task, Mapping):
            yield from arrays_in(task.values())
        elif type(task).__module__.startswith("dask."):  # a task holds its arguments, data a value
            inner = (getattr(task, name, None) for name in ("value", "args", "kwargs", "dsk"))
            yield from arrays_in(each for each in inner if each is not None)


def _sources(array: Any) -> list[Any]:
    return list(arrays_in(array.dask.values())) if is_dask(array) else [array]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.may_share_memory(one, other) or _same_file(_file(one), _file(other))
    store = getattr(one, "store_path", None)
    if store is not None and store == getattr(other, "store_path", None):
        return True
    return _same_file(_folder(one), _folder(other))


def _same_file(one: Path | None, other: Path | None) -> bool:
    try:
        return one is not None and other is not None and os.path.samefile(one, other)
    except OSError:
        return False


def _folder(array: Any) -> Path | None:
    """Return where on the disk a zarr array lies, if it does."""
    root = getattr(getattr(getattr(array, "store_path", None), "store", None), "root", None)
    return root / array.path if isinstance(root, Path) else None


def _file(array: Any) -> Path | None:
    """Return the file that an array is a map of, be it a view of such a one."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    name = getattr(array, "filename", None)
    return None if name is None else Path(name)
