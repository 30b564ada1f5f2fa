"""A few values of arrays that are too large to read, taken at the same places of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import Grid, chunk_grid, split_chunks
from napari_noiser.arrays.image_array import ImageArray, check_pair
from napari_noiser.arrays.layout import ImageIndex, Layout, Slices, Statistics
from napari_noiser.arrays.reader import read_region

_VALUES = 2**20  # histograms and limits need no more, and lazy arrays stay lazy
_BOXES = 8
_BOX = 2**22  # values: of larger chunks a part is read
_SQUARES, _SIDE = 32, 32  # that tell an image from others
_STRIDES = {"T": 13, "C": 11, "Z": 5, "Y": 7, "X": 1, "S": 1}  # odd, and so permutations of 32

_WHOLE, _WINDOW = 512, 160  # pixels: sides that are taken whole, and of windows in longer ones
_WINDOWS = 3  # along each of Y and X
_IMAGES = 4  # of a statistics group

PAIRS = 2**18
"""How many values of two arrays are compared: they are sorted, at ten times the cost."""


@dataclass(frozen=True)
class SampledPlane:
    """A plane, or a part of a large one.

    `image` is its index along the layout's outer axes. `values`, (samples, Y, X), are without
    alpha and less the image's integer offset, NaN where they are not finite. Every `step` pixels
    along Y and X to look makes 2**20 values of all planes together.
    """

    image: ImageIndex
    values: NDArray[np.float64]
    step: int


def sample_values(
    *arrays: Any, layout: Layout | None = None, most: int = _VALUES
) -> list[NDArray[Any]]:
    """Return values at the same places of arrays of one shape, flat and in their own types.

    Arrays in memory give evenly spread values. If one of them is lazy (or a memmap), the values
    come from at most 8 boxes, each inside one chunk of every array; without chunks, a plane
    stands for one.

    With a layout, color samples are taken together and alpha is left out. `most` is rough.
    """
    color = layout.axes.find("S") if layout else -1
    if all(map(_is_in_memory, arrays)):
        steps = _steps(arrays[0].shape, color, most)
        key = tuple(slice(None, None, step) for step in steps)
        return [_samples(array[key], color).ravel() for array in arrays]
    boxes = _spread(_common_chunks(arrays, layout))
    share = most // len(boxes)
    sampled = []
    for array in arrays:
        parts = [_thin(read_region(array, box), color, share) for box in boxes]
        sampled.append(np.concatenate(parts))
    return sampled


def group_windows(layout: Layout, statistics: Statistics) -> list[dict[str, slice]]:
    """Return the windows that tell how a statistics group is best shown.

    Each is a slice for Y, X, and all axes along which the group's images lie; a few of these,
    and in each a whole small plane or nine windows of a large one. They depend on the layout
    alone, so that tiles, chunks and memory do not change what is found in them.
    """
    lengths = dict(zip(layout.axes, layout.shape, strict=True))
    stacked = layout.shared(statistics) + layout.spatial[:-2]
    each = _IMAGES if len(stacked) < 2 else 2
    along = {
        letter: [slice(at, at + 1) for at in _middles(lengths[letter], each)] for letter in stacked
    }
    along |= {letter: _windows(lengths[letter]) for letter in "YX"}
    return [dict(zip(along, chosen, strict=True)) for chosen in product(*along.values())]


def _windows(length: int) -> list[slice]:
    if length <= _WHOLE:
        return [slice(0, length)]
    starts = (at - _WINDOW // 2 for at in _middles(length, _WINDOWS))
    return [slice(start, start + _WINDOW) for start in starts]


def _middles(length: int, parts: int) -> list[int]:
    """Return the middles of equal parts of a length, at most as many as it has elements."""
    count = min(parts, length)
    return [(2 * part + 1) * length // (2 * count) for part in range(count)]


def sample_pairs(
    raw: Any, result: Any, axes: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return values of an image and of what became of it, where both are finite.

    About 2**18 values, or fewer: alpha is left out, all channels and samples are one. The third
    result is the integer offset taken off `raw`: not 0 for 64-bit integers, which float64 would
    round.
    """
    before, after = check_pair(raw, result, axes)
    pair = sample_values(before.array, after.array, layout=before.layout, most=PAIRS)
    x, y = (
        stack.to_float64(values[None])[0]
        for stack, values in zip((before, after), pair, strict=True)
    )
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite], before.integer_offset


def sample_planes(stack: ImageArray) -> Iterator[SampledPlane]:
    """Iterate over a few planes spread through a stack, or parts of them.

    Of a plane in several chunks, a chunk is read; no more than 2**22 values at a time.
    """
    layout = stack.layout
    cuts = _common_chunks([stack.array], layout).cuts
    planes = Grid(
        tuple(
            tuple(range(along[-1] + 1)) if letter in layout.outer else along
            for letter, along in zip(layout.axes, cuts, strict=True)
        )
    )
    boxes = _spread(planes)
    total = sum(prod(part.stop - part.start for part in box) for box in boxes)
    step = ceil((total / _VALUES) ** 0.5)
    for box in boxes:
        at = dict(zip(layout.axes, box, strict=True))
        image = tuple(at[letter].start for letter in layout.outer)
        region = tuple(at[letter] for letter in layout.spatial)
        values = stack.to_float64(stack.read(image, region))
        values[~np.isfinite(values)] = np.nan
        yield SampledPlane(image, values, step)


def content_digest(stack: ImageArray) -> str:
    """Return twelve hexadecimal digits that tell some values, all over a stack.

    Small squares of single planes, of which no two lie at the same height along any axis: the
    points of a rank-1 lattice.
    """
    layout, digest = stack.layout, sha256()
    for square in range(_SQUARES):
        box = []
        for letter, length in zip(layout.axes, layout.shape, strict=True):
            side = min(length, _SIDE if letter in "YXS" else 1)
            height = square * _STRIDES[letter] % _SQUARES
            start = (length - side) * height // (_SQUARES - 1)
            box.append(slice(start, start + side))
        values = read_region(stack.array, tuple(box))
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _steps(shape: tuple[int, ...], color: int, most: int) -> list[int]:
    """Return how far apart to look along each axis; short axes (channels) are cut last."""
    steps = [1] * len(shape)
    left = float(most)
    ascending = sorted(range(len(shape)), key=lambda axis: (axis != color, shape[axis]))
    for following, axis in zip(range(len(shape), 0, -1), ascending, strict=True):
        if axis != color:
            steps[axis] = ceil(shape[axis] / max(1, int(left ** (1 / following) + 1e-9)))
        left /= ceil(shape[axis] / steps[axis])
    return steps


def _is_in_memory(array: Any) -> bool:
    """Return whether values cost nothing wherever they lie: of a file, each page is read."""
    return isinstance(array, np.ndarray) and not isinstance(array, np.memmap)


def _common_chunks(arrays: Sequence[Any], layout: Layout | None) -> Grid:
    """Return cells that each lie inside one chunk of every lazy array, color samples together."""
    axes = layout.axes if layout else ""
    plane = [axes.index(letter) for letter in "YXS" if letter in axes] or None
    lazy = [array for array in arrays if not _is_in_memory(array)] or arrays[:1]
    grids = [chunk_grid(array, plane).cuts for array in lazy]
    cuts = [tuple(sorted(set().union(*along))) for along in zip(*grids, strict=True)]
    if "S" in axes:
        cuts[axes.index("S")] = (0, arrays[0].shape[axes.index("S")])
    return Grid(tuple(cuts))


def _spread(grid: Grid) -> list[Slices]:
    """Return up to 8 cells along a grid's diagonal, each from the middle of its eighth."""
    grid = split_chunks(grid, _BOX)
    cells = [len(along) - 1 for along in grid.cuts]
    chosen = {tuple((2 * at + 1) * n // (2 * _BOXES) for n in cells) for at in range(_BOXES)}
    return [grid.box(index) for index in sorted(chosen)]


def _samples(block: NDArray[Any], color: int) -> NDArray[Any]:
    """Return a block without alpha, its color samples last."""
    return block[..., None] if color < 0 else np.moveaxis(block, color, -1)[..., :3]


def _thin(block: NDArray[Any], color: int, most: int) -> NDArray[Any]:
    samples = _samples(block, color)
    voxels = samples.reshape(-1, samples.shape[-1])
    return voxels[:: voxels.size // most | 1].ravel()  # an odd step apart: not of a few columns
