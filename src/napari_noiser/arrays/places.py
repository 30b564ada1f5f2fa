"""Where the values of an array lie: its store, folder or files, and errors that name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_noiser._errors import InputError
from napari_noiser.arrays.lazy_view import DerivedArray
from napari_noiser.arrays.mapped_file import FileRegion

SOURCE_FILES = "napari_noiser_files"
"""The attribute of a zarr store that is no folder: the files that it reads."""


@contextmanager
def name_place(array: Any) -> Iterator[None]:
    """Turn whatever a library raises over values that it cannot read into an `OSError`.

    It says where they lie.
    """
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        place = next((str(each) for each in files_of(array)), "image")
        words = " ".join(f"{type(error).__name__} {error}".split())
        raise OSError(f"{place} cannot be read: {words}") from error


def source_of(array: Any) -> Any:
    """Return the array that another one is read from in the end: itself, if from no other."""
    while isinstance(array, DerivedArray) and array.source is not None:
        array = array.source
    return array


def store_root(array: Any) -> Path | None:
    """Return the folder of the store that a zarr array lies in, if it lies on the disk."""
    root = getattr(getattr(getattr(array, "store_path", None), "store", None), "root", None)
    return root if isinstance(root, Path) else None


def array_folder(array: Any) -> Path | None:
    """Return where on the disk a zarr array lies, if it does."""
    root = store_root(array)
    return None if root is None else root / array.path


def mapped_file(array: Any) -> Path | None:
    """Return the file that an array is a map of or reads, be it a view of such a one."""
    if isinstance(array, FileRegion):
        return array.path
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    name = getattr(array, "filename", None)
    return None if name is None else Path(name)


def files_of(array: Any) -> list[Path]:
    """Return the files or the folder that an array is read from, as far as is known."""
    array = source_of(array)
    store = getattr(getattr(array, "store_path", None), "store", None)
    places = [array_folder(array), mapped_file(array), *getattr(store, SOURCE_FILES, ())]
    return [each for each in places if each is not None]
