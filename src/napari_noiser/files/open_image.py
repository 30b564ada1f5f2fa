"""Open image files of any size: the array, lazily, and its spatial metadata."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.arrays.axis_names import UNNAMED
from napari_noiser.files.readers.parsed import ParsedFile
from napari_noiser.files.readers.tiff import read_tiff
from napari_noiser.files.readers.zarr import read_zarr
from napari_noiser.files.spatial_metadata import SpatialMetadata


def _read_npy(path: Path) -> ParsedFile:
    array = np.lib.format.open_memmap(path, mode="r")
    return ParsedFile(array, (UNNAMED,) * array.ndim)


_READERS = {**dict.fromkeys((".tif", ".tiff", ".btf", ".tf8"), read_tiff), ".npy": _read_npy}
_ACCEPTED = "TIFF (.tif, .tiff, .btf, .tf8), OME-Zarr or zarr (a folder), and .npy"


@dataclass(frozen=True)
class ImageFile:
    """An open image file, of which nothing is loaded.

    Attributes
    ----------
    path : Path
        Of the file, or of the folder of a zarr store.
    array : array
        Anything with a shape, a dtype and slicing, to be read from.
    space : SpatialMetadata
        Its axes, steps and units.
    """

    path: Path
    array: Any
    space: SpatialMetadata


def open_image(path: str | PathLike[str], axes: str | None = None) -> ImageFile:
    """Open an image; nothing is loaded.

    Parameters
    ----------
    path : str or path
        A TIFF file (OME-TIFF and ImageJ's included; its first image), the folder of a zarr
        array or of an OME-Zarr image 0.1 to 0.5 (level 0; of a bioformats2raw layout, image 0),
        or a .npy file.
    axes : str, optional
        One letter an axis: T, C, Z, Y, X, and S for color samples. They win over the file's own;
        where both name the same axis its step and unit stay. Left out, a file that does
        not name its axes is taken for YX, ZYX, TZYX or TCZYX.

    Returns
    -------
    ImageFile
        A TIFF file has samples (S) only if it says that they are colors, and no axis of length 1
        but Y and X; `axes` may name those that it says it has. OME-Zarr knows no S: colors come
        as channels (C), unless `axes` says otherwise.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    TypeError
        If the axes are no string.
    ValueError
        If it is no image of these kinds, or cannot be read, or the axes do not fit.
    """
    path = Path(path)
    if not isinstance(axes, str | None):
        raise InputTypeError("axes", f"must be a string such as 'TZYX', got {axes!r}")
    if not path.exists():
        loop = ": it is a link to nowhere, or to itself" if path.is_symlink() else ""
        raise FileNotFoundError(f"no image at {path}{loop}")
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise InputError("", f"{path} cannot be opened: it is no regular file")
    reader = read_zarr if path.is_dir() else _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError("", f"{path} is no image that can be opened: accepted are {_ACCEPTED}")
    try:
        parsed = reader(path)
        if 0 in parsed.array.shape:
            raise InputError("", f"it is empty: shape {tuple(parsed.array.shape)}")
        return ImageFile(path, parsed.array, parsed.spatial_metadata(axes))
    except InputError as error:
        raise _about_file(path, error) from error
    except ValueError as error:
        raise InputError("", f"{path} cannot be opened: {error}") from error
    except (OSError, ImportError):
        raise
    except Exception as error:  # the libraries raise anything over a broken file
        kind = type(error).__name__
        raise InputError("", f"{path} cannot be opened, it is broken: {kind} {error}") from error


def _about_file(path: Path, error: InputError) -> InputError:
    """Return an error that leads with a file and still mentions its argument."""
    lead, name = f"{path} cannot be opened:", error.argument
    if not name:
        return InputError("", f"{lead} {error.problem}", **error.mentioned)
    return InputError("", f"{lead} {{{name}}} {error.problem}", **{name: None, **error.mentioned})


def list_images(folder: str | PathLike[str]) -> list[Path]:
    """Return the images in a folder that `open_image` takes, by their names.

    They are sorted, hidden and partial ones (*.partial) left out; folders within are not looked
    into, but those whose names end in .zarr are images.
    """
    return sorted(
        path
        for path in Path(folder).iterdir()
        if not path.name.startswith(".")
        and (path.suffix.lower() == ".zarr" if path.is_dir() else path.suffix.lower() in _READERS)
    )
