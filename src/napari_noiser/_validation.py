"""Checks of what comes in: each returns the value, or says which argument is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError, InputTypeError

__all__ = [
    "check_bool",
    "check_choice",
    "check_float",
    "check_int",
    "check_ndim",
    "check_not_masked",
    "check_range",
    "check_same_axes",
]


def check_choice(name: str, value: Any, among: Any) -> Any:
    """Return one of the strings of a `Literal`, or raise a `ValueError`."""
    if not isinstance(value, str) or value not in get_args(among):
        raise InputError(name, f"must be one of {get_args(among)}, got {value!r}")
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return a bool of any type, numpy's included, or raise a `TypeError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputTypeError(name, f"must be True or False, got {value!r}")
    return bool(value)


def check_not_masked(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return values as an array, or raise a `TypeError` if some may be masked."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputTypeError(name, f"must not be a masked array: pass its data, {name}.data")
    return np.asarray(values)


def check_ndim(ndim: Any) -> int:
    """Return 2 or 3, or raise a `ValueError`."""
    if isinstance(ndim, bool) or not isinstance(ndim, Integral) or ndim not in (2, 3):
        raise InputError("ndim", f"must be 2 (planes) or 3 (volumes), got {ndim!r}")
    return int(ndim)


def check_int(name: str, value: Any, least: int = 1, most: int = 2**63 - 1) -> int:
    """Return a whole number of any type, numpy's included, as an int.

    Raises
    ------
    TypeError
        If it is none; bool counts as none.
    ValueError
        If it is below `least` or above `most`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputTypeError(name, f"must be a whole number of at least {least}, got {value!r}")
    number = int(value)
    if not least <= number <= most:
        limit = f"at least {least}" if number < least else f"at most {most}"
        raise InputError(name, f"must be a whole number of {limit}, got {number}")
    return number


def check_float(
    name: str,
    value: Any,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return a finite number of any type, numpy's included, as a float.

    Raises
    ------
    TypeError
        If it is none; bool counts as none.
    ValueError
        If it is not finite, or outside its range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputTypeError(name, f"must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    limits = [f"at least {least}"] * (least is not None) + [f"above {above}"] * (above is not None)
    limits += [f"below {below}"] * (below is not None) + [f"at most {most}"] * (most is not None)
    fits = (
        isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (below is None or number < below)
        and (most is None or number <= most)
    )
    if not fits:
        wanted = f"a finite number {' and '.join(limits)}".rstrip()
        raise InputError(name, f"must be {wanted}, got {value!r}")
    return number


def check_same_axes(named: Iterable[tuple[str, str]]) -> str:
    """Return the axes that several images have in common, each given as its name and its axes.

    Raises
    ------
    ValueError
        If they differ: a model is fitted to images of one kind.
    """
    images = list(named)
    if len({axes for _, axes in images}) > 1:
        said = ", ".join(f"{axes!r} of {name}" for name, axes in images)
        raise InputError(
            "axes", f"must be the same for all images that a model is fitted to: {said}"
        )
    return images[0][1]


def check_range(name: str, values: Any) -> tuple[float, float]:
    """Return two numbers above 0, the smaller one first.

    Raises
    ------
    TypeError, ValueError
        If they are anything else.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise InputTypeError(name, f"must be two numbers, got {values!r}")
    low, high = (check_float(name, value, above=0.0) for value in values)
    if low > high:
        raise InputError(name, f"must be a smaller and a larger number, got {values!r}")
    return low, high
