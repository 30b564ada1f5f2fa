"""Where the values of an array lie: in which memory, file or store, dask's graphs looked into."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from napari_noiser.arrays.image_array import is_dask
from napari_noiser.arrays.places import array_folder, files_of, mapped_file, source_of


def check_store(array: Any) -> None:
    """Raise an `OSError` if a zarr array's folder is gone, whose zeros would be read, or a mapped
    file is cut, whose map would end the process."""
    array = source_of(array)
    place = array_folder(array)
    if place is not None and not place.exists():
        raise FileNotFoundError(f"image has vanished while it was read: {place} is not there")
    if isinstance(array, np.memmap) and (place := mapped_file(array)) is not None:
        mapped = array.base if isinstance(array.base, np.memmap) else array
        if place.exists() and place.stat().st_size < mapped.offset + mapped.nbytes:
            raise OSError(f"image has changed while it was read: {place} is cut off")


def version_of(*arrays: Any) -> str:
    """Return hexadecimal digits that change with the files of arrays: their sizes and times.

    Of what lies in no file they say nothing. A file may be moved.
    """
    digest = sha256()
    for array in arrays:
        for source in sources_of(array):
            folder = array_folder(source)
            for each in files_of(source) if folder is None else sorted(folder.rglob("*")):
                status = each.stat()
                name = each.relative_to(folder) if folder else ""
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()[:16]


def shares_memory(one: Any, other: Any) -> bool:
    """Return whether to write to one array may change another: same memory, file or store."""
    return any(_same(a, b) for a in sources_of(one) for b in sources_of(other))


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


def sources_of(array: Any) -> list[Any]:
    """Return what an array is read from: itself, or what a view or dask's graph is made of."""
    array = source_of(array)
    return list(arrays_in(array.dask.values())) if is_dask(array) else [array]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    numpys = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    if numpys and np.may_share_memory(one, other):
        return True
    if _same_file(mapped_file(one), mapped_file(other)):
        return True
    store = getattr(one, "store_path", None)
    if store is not None and store == getattr(other, "store_path", None):
        return True
    return _same_file(array_folder(one), array_folder(other))


def _same_file(one: Path | None, other: Path | None) -> bool:
    try:
        return one is not None and other is not None and os.path.samefile(one, other)
    except OSError:
        return False
