"""The names of axes: every spelling of T, C, Z, Y, X, S in files, libraries and viewers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from napari_noiser._errors import InputError
from napari_noiser.arrays.layout import DEFAULT_AXES

UNNAMED = "?"
"""What stands for an axis without a name."""

_SPELLINGS: Mapping[str, str] = {
    "T": "t tp time times timepoint timepoints timestep timesteps frame frames timeframe",
    "C": "c ch chan channel channels wavelength wavelengths lambda band bands dye dyes "
    "fluorophore fluorophores",
    "Z": "z pln plane planes slice slices depth zslice zslices zplane zplanes section sections",
    "Y": "y row rows height",
    "X": "x col cols column columns width",
    "S": "s sample samples rgb rgba color colors colour colours component components",
}
_LETTERS = {name: letter for letter, names in _SPELLINGS.items() for name in names.split()}

_POSITIONS = {
    *("p", "pos", "position", "positions", "scene", "scenes", "series", "site", "sites", "stage"),
    *("r", "region", "regions", "roi", "tile", "tiles", "m", "mosaic", "v", "view", "views"),
    *("fov", "fovs", "field", "fields", "well", "wells", "multipoint"),
}
"""Names of axes along which images of their own lie."""

_PLACEHOLDER = re.compile(r"|\?|none|unknown|-?\d+|(phony)?(dim|axis)\d*")  # of what has no name


def axis_letter(name: object) -> str | None:
    """Return the letter that an axis' name stands for; `UNNAMED` if it is none, None if unknown.

    Case, blanks, hyphens and underscores do not matter.
    """
    word = _word(name)
    if _PLACEHOLDER.fullmatch(word):
        return UNNAMED
    return _LETTERS.get(word)


def read_axes(names: Sequence[object]) -> str | None:
    """Return the axes that names stand for, a letter each; None if there are no names.

    Where some have no name, they have their default, if it goes with the others' names; samples
    (S) do not count for that.

    Parameters
    ----------
    names : sequence of str or None
        One an axis.

    Raises
    ------
    InputError
        If a name is not known, two mean the same, or one is of positions.
    """
    letters = [axis_letter(name) for name in names]
    for axis, (name, letter) in enumerate(zip(names, letters, strict=True)):
        if letter is None and _word(name) in _POSITIONS:
            raise _unclear(
                names,
                f"{str(name)!r} (axis {axis}) holds positions, which are images of their own: "
                "take one after the other",
            )
        if letter is None:
            raise _unclear(names, f"{str(name)!r} (axis {axis}) is not known")
    if set(letters) <= {UNNAMED}:
        return None
    axes = _with_defaults([str(letter) for letter in letters])
    if UNNAMED in axes:
        raise _unclear(names, "some have no name")
    if len(set(axes)) < len(axes):
        raise _unclear(names, "two mean the same")
    return axes


def own_axes(array: Any) -> str | None:
    """Return the axes that an array itself names, as `read_axes`; None if it names none.

    They are xarray's dims, zarr's dimension names, and what xarray writes into zarr 2.
    """
    names = own_names(array)
    return None if names is None else read_axes(names)


def own_names(array: Any) -> tuple[str, ...] | None:
    """Return what an array calls its axes; None if it calls them nothing."""
    if is_labeled(array):
        return tuple(map(str, array.dims))
    names = getattr(getattr(array, "metadata", None), "dimension_names", None)
    if names is None and isinstance(attributes := getattr(array, "attrs", None), Mapping):
        names = attributes.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, (list, tuple)) or len(names) != len(array.shape):
        return None
    return tuple(UNNAMED if each is None else str(each) for each in names)


def is_labeled(array: Any) -> bool:
    """Return whether an array is another one with names around it, as xarray's are."""
    dims = getattr(array, "dims", None)
    return isinstance(dims, tuple) and hasattr(array, "data") and hasattr(array, "copy")


def plain_array(array: Any) -> Any:
    """Return the array within a labeled one (dask's stays lazy), another one as it is."""
    return array.data if is_labeled(array) else array


def label_like(labeled: Any, values: Any) -> Any:
    """Return values with the names and the coordinates of a labeled array, if it is one."""
    return labeled.copy(data=values) if is_labeled(labeled) else values


def _word(name: object) -> str:
    return "" if name is None else re.sub(r"[\s_]+|(?<=[a-z])-", "", str(name).lower())


def _with_defaults(letters: Sequence[str]) -> str:
    """Return axes, those without a name as they are by default, if the others are, too."""
    axes = "".join(letters)
    default = DEFAULT_AXES.get(len(axes.replace("S", "")), "")
    if UNNAMED not in axes or not default:
        return axes
    following = iter(default)
    assumed = "".join("S" if letter == "S" else next(following) for letter in axes)
    agrees = all(a in (UNNAMED, b) for a, b in zip(axes, assumed, strict=True))
    return assumed if agrees else axes


def _unclear(names: Sequence[object], reason: str) -> InputError:
    listed = ", ".join(UNNAMED if axis_letter(name) == UNNAMED else str(name) for name in names)
    return InputError(
        "axes", f"must be given, a letter of TCZYXS for each: its own are {listed}, and {reason}"
    )
