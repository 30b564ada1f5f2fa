"""Checks of arguments: each returns the value, or raises an error that names the argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from math import isfinite
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError, InputTypeError


def check_choice(name: str, value: Any, among: Any) -> Any:
    """Return one of the strings of a `Literal`, or raise an `InputError`."""
    if not isinstance(value, str) or value not in get_args(among):
        raise InputError(name, f"must be one of {get_args(among)}, got {value!r}")
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return a bool of any type, numpy's included, or raise an `InputTypeError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputTypeError(name, f"must be True or False, got {value!r}")
    return bool(value)


def check_not_masked(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return values as an array, or raise an `InputTypeError` if some are masked."""
    check_unmasked(name, values)
    return np.asarray(values)


def check_unmasked(name: str, values: Any) -> None:
    """Raise an `InputTypeError` if values bring a mask that leaves some of them out.

    numpy would drop it without a word: of masked arrays, of what has a mask beside its data
    (astropy's), of lists of either, and of dask's chunks.
    """
    if _brings_mask(values):
        raise InputTypeError(
            name,
            f"must not bring a mask of its own: pass its data, and mask=~{name}.mask where a mask "
            "is taken, or NaN for what is masked",
        )


def _brings_mask(values: Any) -> bool:
    if isinstance(values, (list, tuple)):
        return any(_brings_mask(each) for each in values)
    if isinstance(values, np.ma.MaskedArray):
        return bool(np.any(np.ma.getmaskarray(values)))
    within = getattr(values, "_meta", None)  # dask's, of which nothing is known but its type
    if isinstance(within, np.ma.MaskedArray) or hasattr(within, "mask"):
        return True
    mask = getattr(values, "mask", None)
    return mask is not None and not callable(mask) and bool(np.any(mask))


def check_ndim(ndim: Any) -> int:
    """Return 2 or 3, or raise an `InputError`."""
    if isinstance(ndim, bool) or not isinstance(ndim, Integral) or ndim not in (2, 3):
        raise InputError("ndim", f"must be 2 (planes) or 3 (volumes), got {ndim!r}")
    return int(ndim)


def check_axes(axes: Any) -> set[str]:
    """Return the letters of an array's axes: of T, C, Z, Y, X, S, each once, with Y and X."""
    if not isinstance(axes, str):
        raise InputTypeError("axes", f"must be a string such as 'TZYX', got {axes!r}")
    letters = set(axes)
    if not letters <= set("TCZYXS") or len(letters) != len(axes):
        raise InputError("axes", f"takes each of T, C, Z, Y, X, S once, got {axes!r}")
    if not {"Y", "X"} <= letters:
        raise InputError("axes", f"must name Y and X, got {axes!r}")
    return letters


def check_int(name: str, value: Any, least: int = 1, most: int = 2**63 - 1) -> int:
    """Return a whole number of any type, numpy's included, as an int."""
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
    """Return a finite number of any type, numpy's included, as a float."""
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
        accepted = f"a finite number {' and '.join(limits)}".rstrip()
        raise InputError(name, f"must be {accepted}, got {value!r}")
    return number


def check_same_axes(named: Iterable[tuple[str, str]]) -> str:
    """Return the axes that several images have in common, each given as its name and its axes."""
    images = list(named)
    if len({axes for _, axes in images}) > 1:
        each = ", ".join(f"{axes!r} of {name}" for name, axes in images)
        raise InputError(
            "axes", f"must be the same for all images that a model is fitted to: {each}"
        )
    return images[0][1]


def check_range(name: str, values: Any) -> tuple[float, float]:
    """Return two numbers above 0, the smaller one first."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise InputTypeError(name, f"must be two numbers, got {values!r}")
    low, high = (check_float(name, value, above=0.0) for value in values)
    if low > high:
        raise InputError(name, f"must be a smaller and a larger number, got {values!r}")
    return low, high


def check_fields(instance: Any, check: Callable[..., Any], *names: str, **limits: Any) -> None:
    """Replace fields of a frozen dataclass by what a check returns of each.

    Each is what ``check(name, value, **limits)`` returns; to be called in ``__post_init__``.
    """
    set_fields(
        instance, **{name: check(name, getattr(instance, name), **limits) for name in names}
    )


def set_fields(instance: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass, in its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def check_field_names(kind: type, values: Mapping[str, Any], label: str | None = None) -> None:
    """Raise a `ValueError` if values are for other fields than those of a dataclass."""
    known = {item.name for item in fields(kind)}
    if not set(values) <= known:
        name = label or kind.__name__
        raise InputError("", f"{name} takes {sorted(known)}, got {sorted(values)}")


def check_text(name: str, value: Any) -> str:
    """Return a string that is not empty, or raise a `TypeError`."""
    if not isinstance(value, str) or not value:
        raise InputTypeError(name, f"must be a string that is not empty, got {value!r}")
    return value


def check_type(name: str, value: Any, kind: type) -> Any:
    """Return an instance of a class, or raise a `TypeError`."""
    if not isinstance(value, kind):
        raise InputTypeError(name, f"must be a {kind.__name__}, got {type(value).__name__}")
    return value


def check_ints(name: str, values: Any) -> tuple[int, ...]:
    """Return a tuple or list of whole numbers above 0 as a tuple of int."""
    if not isinstance(values, (tuple, list)):
        raise InputTypeError(name, f"must be whole numbers, got {values!r}")
    return tuple(check_int(name, value) for value in values)
