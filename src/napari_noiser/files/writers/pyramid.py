"""The levels of a pyramid: their shapes, how one is made of the one before, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.layout import Slices

__all__ = ["blocks", "completed", "halve", "level_shapes", "parents"]

Shape = tuple[int, ...]

_STRIP = 2**20  # values that are halved at a time


def level_shapes(shape: Shape, chunks: Shape, halved: Sequence[int]) -> list[Shape]:
    """Return the shapes of all levels, down to the one whose planes lie in one chunk.

    Parameters
    ----------
    shape, chunks : tuple of int
        Of level 0.
    halved : sequence of int
        The axes that are halved from level to level: Y and X.

    Returns
    -------
    list of tuple
        Halves are rounded up, so that no border is lost.
    """
    shapes = [shape]
    while any(shapes[-1][axis] > chunks[axis] for axis in halved):
        shapes.append(tuple(-(-n // 2) if i in halved else n for i, n in enumerate(shapes[-1])))
    return shapes


def completed(region: Slices, fine: Shape, chunks: Shape, halved: Sequence[int]) -> Slices:
    """Return the part of the next level that can be made as soon as a region is written.

    Parameters
    ----------
    region : tuple of slice
        Of a level. All regions together form a grid and are written in its raster order; they
        start and end at multiples of `chunks` or at the level's end.
    fine : tuple of int
        The shape of that level.
    chunks : tuple of int
        The same for all levels.
    halved : sequence of int
        The axes that are halved.

    Returns
    -------
    tuple of slice
        The chunks of the next level whose last parent, in raster order, lies in the region; that
        all the others are there follows from the order. It may be empty. The parts of all regions
        form such a grid again, and cover the next level once.
    """
    part = list(region)
    for axis in halved:
        start, stop, step = region[axis].start, region[axis].stop, chunks[axis]
        end = -(-fine[axis] // 2) if stop == fine[axis] else stop // (2 * step) * step
        part[axis] = slice(start // (2 * step) * step, end)
    return tuple(part)


def blocks(region: Slices, chunks: Shape) -> Iterator[Slices]:
    """Iterate over a region's chunks: it bounds what is in memory at once."""
    spans = [
        [slice(at, min(at + step, each.stop)) for at in range(each.start, each.stop, step)]
        for each, step in zip(region, chunks, strict=True)
    ]
    yield from product(*spans)


def parents(block: Slices, fine: Shape, halved: Sequence[int]) -> Slices:
    """Return the region of the level before that a block is the mean of."""
    return tuple(
        slice(2 * each.start, min(2 * each.stop, fine[axis])) if axis in halved else each
        for axis, each in enumerate(block)
    )


def halve(values: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Return the means of pairs along each axis to be halved; a last one without pair stays.

    Parameters
    ----------
    values : numpy array
        Integers or floats; NaN makes NaN of its pair.
    halved : sequence of int
        The axes.

    Returns
    -------
    numpy array
        Of the same type; integers are rounded, halves to the even one.
    """
    order = [axis for axis in range(values.ndim) if axis not in halved]
    planes = values.transpose(*order, *halved)
    lengths = [-(-values.shape[axis] // 2) for axis in halved]
    halves = np.empty([*planes.shape[: len(order)], *lengths], values.dtype)
    for some in _strips(planes.shape, len(order)):
        halves[some] = _halve_last(planes[some], len(halved))
    return halves.transpose(np.argsort([*order, *halved]))


def _strips(shape: Shape, outer: int) -> Iterator[Slices]:
    """Cut off strips of a bounded size along the outer axes: float64 takes memory."""
    lengths = []
    left = max(1, _STRIP // int(np.prod(shape[outer:])))
    for length in reversed(shape[:outer]):
        lengths.append(min(length, left))
        left = max(1, left // length)
    whole = tuple(slice(0, length) for length in shape[:outer])
    return blocks(whole, tuple(reversed(lengths)))


def _halve_last(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the means of pairs along each of so many last axes."""
    means = values.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # inf and -inf are NaN
        for axis in range(-count, 0):
            turned = np.moveaxis(means, axis, 0)
            means = turned[::2].copy()
            pairs = len(turned) // 2
            means[:pairs] += turned[1::2]
            means[:pairs] /= 2
            means = np.moveaxis(means, 0, axis)
    return (means if values.dtype.kind == "f" else np.rint(means)).astype(values.dtype)
