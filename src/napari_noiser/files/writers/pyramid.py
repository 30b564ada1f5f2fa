"""The levels of a multiscale image, its pyramid: shapes, and each computed from the finer one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.layout import Slices

Shape = tuple[int, ...]

_STRIP = 2**20  # values that are halved at a time


def level_shapes(shape: Shape, chunks: Shape, halved: Sequence[int]) -> list[Shape]:
    """Return the shapes of all levels, down to the one whose planes lie in one chunk.

    From level to level the axes `halved` (Y and X) are halved; all have the chunks of level 0.
    """
    shapes = [shape]
    while any(shapes[-1][axis] > chunks[axis] for axis in halved):
        shapes.append(tuple(-(-n // 2) if i in halved else n for i, n in enumerate(shapes[-1])))
    return shapes


def completed_region(region: Slices, fine: Shape, chunks: Shape, halved: Sequence[int]) -> Slices:
    """Return the part of the next level that is complete once a region is written.

    These are the chunks of the next level whose last parent, in raster order, lies in the region.
    All regions of a level of shape `fine` together form a grid and are written in its raster
    order, so the other parents are there; the regions start and end at multiples of `chunks` or at
    the level's end. The part may be empty. The parts of all regions form such a grid again, and
    cover the next level once.
    """
    part = list(region)
    for axis in halved:
        start, stop, step = region[axis].start, region[axis].stop, chunks[axis]
        end = -(-fine[axis] // 2) if stop == fine[axis] else stop // (2 * step) * step
        part[axis] = slice(start // (2 * step) * step, end)
    return tuple(part)


def blocks(region: Slices, chunks: Shape) -> Iterator[Slices]:
    """Iterate over the chunks of a region, which bounds what is in memory."""
    spans = [
        [slice(at, min(at + step, each.stop)) for at in range(each.start, each.stop, step)]
        for each, step in zip(region, chunks, strict=True)
    ]
    yield from product(*spans)


def finer_region(block: Slices, fine: Shape, halved: Sequence[int]) -> Slices:
    """Return the region of the finer level that a block is the mean of."""
    return tuple(
        slice(2 * each.start, min(2 * each.stop, fine[axis])) if axis in halved else each
        for axis, each in enumerate(block)
    )


def halve(values: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Return the means of pairs along some axes; a last one without a pair stays.

    NaN makes NaN of its pair.
    """
    order = [axis for axis in range(values.ndim) if axis not in halved]
    planes = values.transpose(*order, *halved)
    lengths = [-(-values.shape[axis] // 2) for axis in halved]
    halves = np.empty([*planes.shape[: len(order)], *lengths], values.dtype)
    for some in _strips(planes.shape, len(order)):
        halves[some] = _halve_last(planes[some], len(halved))
    return halves.transpose(np.argsort([*order, *halved]))


def _strips(shape: Shape, outer: int) -> Iterator[Slices]:
    """Iterate over strips of a bounded size along the outer axes: float64 takes memory."""
    lengths = []
    remaining = max(1, _STRIP // int(np.prod(shape[outer:])))
    for length in reversed(shape[:outer]):
        lengths.append(min(length, remaining))
        remaining = max(1, remaining // length)
    region = tuple(slice(0, length) for length in shape[:outer])
    return blocks(region, tuple(reversed(lengths)))


def _halve_last(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the means of pairs along each of the last `count` axes."""
    means = values.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # inf and -inf are NaN
        for axis in range(-count, 0):
            values_first = np.moveaxis(means, axis, 0)
            means = values_first[::2].copy()
            pairs = len(values_first) // 2
            means[:pairs] += values_first[1::2]
            means[:pairs] /= 2
            means = np.moveaxis(means, 0, axis)
    return (means if values.dtype.kind == "f" else np.rint(means)).astype(values.dtype)
