"""Fill: what stands where there are no data, in borders of mosaics and in frames never written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

SIDE = 7
"""Pixels a side of the squares that fill consists of."""

FILL_REACH = SIDE - 1 + SIDE // 2
"""Pixels around a region that its fill depends on."""

_CHANCE = 1e-6  # of a square of real values that are all equal, at most
_STAND_INS = (-9999.0, -99999.0, 1e20, 9.969209968386869e36)  # for no data
_BLOCK = 4 * SIDE  # pixels a side: what fills one is no chance, what fills a part may be
_FEW = 1000  # values in a row, which tell labels
_RISING = 0.5  # of the way from the mean to a value, which saturated stars come near to


@dataclass(frozen=True)
class Fill:
    """The values that are fill.

    Attributes
    ----------
    values : tuple of float
        Fill where they fill squares.
    thin : tuple of float
        Fill in thinner borders of an image as well: values too rare to stand there by chance.
    """

    values: tuple[float, ...] = ()
    thin: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.values or self.thin)


def find_fill(planes: Iterable[NDArray[Any]], known: Sequence[float] | None = None) -> Fill:
    """Return the values that are fill, from some planes (samples, Y, X) of an image.

    Of those that are `known` it is only found whether they are fill in thin borders as well.

    Squares of equal values are fill if the rest of the image shows that they are not there by
    chance, as a dim camera's zeros are, and if values around them do not come near, as around a
    saturated star or on a background that was clipped. The usual stand-ins for no data count
    unseen, and 0 where it is not there by chance. Where no more than two other values are left,
    or few that lie in areas, there is no fill: the image is constant, or of labels.
    """
    parts = [part for part in map(np.asarray, planes) if part.size]
    if not parts:
        return Fill(tuple(known or ()))
    dtype = parts[0].dtype
    usual = {float(value) for value in (0.0, *_STAND_INS) if _cast(value, dtype) is not None}
    candidates = usual | _frequent(parts) if known is None else set(known)
    thick, thin = (
        tuple(
            sorted(value for value in candidates if _is_fill(parts, value, value in usual, border))
        )
        for border in (False, True)
    )
    if known is not None:
        return Fill(tuple(known), thin)
    found = Fill(thick, thin)
    rest = [part[:, ~fill_mask(part, found)] for part in parts]
    return found if _has_three_values(rest) and not _is_of_labels(parts, found) else Fill()


def _has_three_values(parts: Iterable[NDArray[Any]]) -> bool:
    """Return whether there are three values or more, however rare: photons counted are few."""
    known = [values for part in parts if (values := part[np.isfinite(part)]).size]
    if not known:
        return False
    least, most = min(each.min() for each in known), max(each.max() for each in known)
    return any(((each != least) & (each != most)).any() for each in known)


def _is_of_labels(parts: Sequence[NDArray[Any]], fill: Fill) -> bool:
    """Return whether few values beside fill lie in areas, as labels do, and photons do not."""
    known = [~fill_mask(part, fill) for part in parts]
    rest = [part[:, inside] for part, inside in zip(parts, known, strict=True)]
    if len({float(value) for each in rest for value in np.unique(each[..., :_FEW])}) > 2:
        return False
    usual = float(np.median(np.concatenate([each[0] for each in rest])))
    equal = pairs = 0
    for part, inside in zip(parts, known, strict=True):
        left, right = part[0, :, :-1], part[0, :, 1:]
        told = inside[:, :-1] & inside[:, 1:] & ((left != usual) | (right != usual))
        equal, pairs = equal + int((told & (left == right)).sum()), pairs + int(told.sum())
    return 2 * equal >= pairs


def fill_mask(values: NDArray[Any], fill: Fill) -> NDArray[np.bool_]:
    """Return where an array (samples, ..., Y, X) is fill, of shape (..., Y, X).

    That is in each square of `SIDE` pixels, of which the array's end may cut off less than a half
    (of thin borders all but a row), in which all samples have one of the values throughout, and
    where they have it next to one. Within `FILL_REACH` of where the array was cut out of a larger
    one there may be more.
    """
    found = np.zeros(values.shape[1:], bool)
    for value in {*fill.values, *fill.thin}:
        equal = _equal(values, value)
        if equal.any():
            squares = np.zeros_like(equal)
            if value in fill.values:
                squares |= _opened(equal)
            if value in fill.thin:
                squares |= _borders(equal)
            found |= equal & _grown(squares)
    return found


def _equal(values: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Return where all samples of an array (samples, ...) have a value, if their type can."""
    cast = _cast(value, values.dtype)
    if cast is None:
        return np.zeros(values.shape[1:], bool)
    # One sample after the other: NumPy's `all` along a short axis takes ten times as long.
    return np.asarray(reduce(np.logical_and, (sample == cast for sample in values)))


def _opened(equal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the union of all squares that are True throughout; outside counts as True."""
    squares = _over_squares(np.logical_and, equal, outside=True)  # by their centers
    return _grown(squares) if squares.any() else squares


def _borders(equal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what lies along an array's ends, `SIDE` long or longer and too thin for a square."""
    found = np.zeros_like(equal)
    for turns in range(4):
        strip = np.rot90(equal, turns, (-2, -1))[..., : SIDE // 2, :]
        if strip.shape[-1] < SIDE or not strip[..., 0, :].any():
            continue
        from_end = np.logical_and.accumulate(strip, axis=-2)
        windows = np.lib.stride_tricks.sliding_window_view(from_end, SIDE, axis=-1)
        runs = windows.all(axis=-1)  # by their first pixel
        covered = np.zeros_like(strip)
        for shift in range(SIDE):
            covered[..., shift : shift + runs.shape[-1]] |= runs
        np.rot90(found, turns, (-2, -1))[..., : SIDE // 2, :] |= covered
    return found


def _grown(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the squares around pixels that are True."""
    return _over_squares(np.logical_or, pixels, outside=False)


def _over_squares(
    combine: np.ufunc, array: NDArray[np.bool_], *, outside: bool
) -> NDArray[np.bool_]:
    """Return what all squares in an array (..., Y, X) hold, combined, by their centers."""
    width = [(0, 0)] * (array.ndim - 2) + [(SIDE // 2, SIDE // 2)] * 2
    combined = np.pad(array, width, constant_values=outside)
    for axis in (-2, -1):
        along = combined.swapaxes(0, axis)
        for step in (1, 2, 3):  # of 2, of 4, and of 7 pixels
            along = combine(along[:-step], along[step:])
        combined = along.swapaxes(0, axis)
    return np.asarray(combined)


def _cast(value: float, dtype: np.dtype[Any]) -> Any:
    """Return a value in a type, None if that does not hold it."""
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        return dtype.type(value) if -largest <= value <= largest else None
    limits = np.iinfo(dtype)
    whole = int(value)
    return dtype.type(whole) if whole == value and limits.min <= whole <= limits.max else None


def _frequent(parts: Sequence[NDArray[Any]]) -> set[float]:
    """Return values that fill a corner or line an end of some part, the most frequent, and the
    outermost ones."""
    found = set()
    for part in parts:
        for rows in (slice(SIDE), slice(-SIDE, None)):
            for columns in (slice(SIDE), slice(-SIDE, None)):
                corner = part[0, rows, columns]
                if (corner == corner.flat[0]).all():
                    found.add(float(corner.flat[0]))
        for end in (part[0, 0], part[0, -1], part[0, :, 0], part[0, :, -1]):
            middle = end[max(0, len(end) // 2 - SIDE // 2) :][:SIDE]
            if (middle == middle[0]).all():
                found.add(float(middle[0]))
        thin = part[0, ::SIDE, ::SIDE].ravel()
        values, counts = np.unique(thin[np.isfinite(thin)], return_counts=True)
        if len(values):
            found |= {float(values[counts.argmax()]), float(values[0]), float(values[-1])}
    return {value for value in found if np.isfinite(value)}


def _is_fill(
    parts: Sequence[NDArray[Any]], value: float, unseen: bool, border: bool = False
) -> bool:
    """Return whether a value is fill where it fills squares; it may be unseen in these parts.

    Or along a `border`, of which a row alone is seen.
    """
    equal = [_equal(part, value) for part in parts]
    if not any(each.any() for each in equal):
        return unseen
    away = slice(SIDE // 2, -(SIDE // 2)) if border else slice(None)
    pixels = SIDE if border else SIDE**2
    if _share([each[..., away, away] for each in equal]) ** pixels > _CHANCE:
        return False
    squares = [_borders(each) if border else _opened(each) for each in equal]
    if not any(each.any() for each in squares):
        return unseen
    filled = [each & _grown(found) for each, found in zip(equal, squares, strict=True)]
    near = [_grown(_grown(each)) & ~each for each in filled]
    around = [each[beside] for each, beside in zip(equal, near, strict=True)]
    if (values := np.concatenate(around)).size and values.mean() ** pixels > _CHANCE:
        return False
    ring, rest = [], []
    for part, inside in zip(parts, filled, strict=True):
        gray = part.astype(np.float64).mean(axis=0)
        ring.append(gray[binary_dilation(inside) & ~inside])
        rest.append(gray[~inside])
    return not _comes_near(value, np.concatenate(ring), np.concatenate(rest))


def _comes_near(value: float, ring: NDArray[np.float64], rest: NDArray[np.float64]) -> bool:
    """Return whether what surrounds a value is nearer to it than the rest of the image is."""
    ring, rest = ring[np.isfinite(ring)], rest[np.isfinite(rest)]
    if not (ring.size and rest.size):
        return False
    around, everywhere = ring.mean(), rest.mean()
    low, high = np.percentile(rest, (1, 99))
    beyond = around > high if value > everywhere else around < low
    distance = value - everywhere
    return bool(beyond or (distance and (around - everywhere) / distance > _RISING))


def _share(equal: Sequence[NDArray[np.bool_]]) -> float:
    """Return how many pixels are True in blocks that are not so throughout."""
    found = total = 0
    for each in equal:
        side = max(1, min(_BLOCK, *each.shape))
        rows, columns = (length // side for length in each.shape)
        blocks = each[: rows * side, : columns * side].reshape(rows, side, columns, side)
        counts = blocks.sum(axis=(1, 3))
        mixed = counts[counts < side**2]
        found, total = found + int(mixed.sum()), total + mixed.size * side**2
    return found / total if total else 0.0
