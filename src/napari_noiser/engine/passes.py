"""The two passes over an array: measure block by block, render block by block, in its chunks."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from math import prod
from typing import Any

import numpy as np

from napari_noiser._errors import InputError
from napari_noiser.arrays.chunks import Grid, chunk_grid, merge_chunks, split_chunks
from napari_noiser.arrays.companion import GainMap, Mask
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.arrays.layout import ImageIndex, Slices
from napari_noiser.arrays.reader import make_block_reader
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.plan import Plan
from napari_noiser.engine.render import Block, cached_fold, extract_block

_TOGETHER = 2**24  # voxels of a dask array that are computed at a time: seconds at most

Moments = dict[ImageIndex, PatchMoments]
"""The moments of the patches of each statistics group."""


@dataclass(frozen=True)
class TileDone:
    """One finished tile.

    Attributes
    ----------
    done, total : int
        How many tiles are finished, of how many; measuring and rendering count alike.
    stage : str
        "measure" or "render".
    block : Slices, optional
        The block that this tile has completed, if it was its last one.
    """

    done: int
    total: int
    stage: str
    block: Slices | None = None


def measure_steps(
    plan: Plan, out: Any = None, moments: Moments | None = None, skip: int = 0
) -> Generator[TileDone, None, Moments]:
    """Measure all tiles: the first pass.

    Parameters
    ----------
    plan : Plan
        What is measured, and how.
    out : array, optional
        Only to tell how much there will be to render: nothing, if left out.
    moments : dict, optional
        Those of each group in the blocks to be skipped; they are added to, block by block.
    skip : int
        How many blocks were measured before.

    Returns
    -------
    dict
        The moments of each statistics group.
    """
    moments = {} if moments is None else moments
    read_grid = _make_read_grid(plan)
    done, total = _tile_count(plan, read_grid, skip), _tile_count(plan, read_grid)
    if out is not None:
        total += _tile_count(plan, _make_write_grid(plan, out, read_grid))
    halo = (1,) * plan.image.layout.ndim
    for box, block in _blocks(plan, read_grid, read_grid, halo, skip, plan.mask):
        first, last = done, done + block.tile_count
        for done, (group, measured) in enumerate(block.measure(), start=first + 1):
            moments[group] = moments.get(group, plan.empty_moments) + measured
            yield TileDone(done, total, "measure", box if done == last else None)
    check_signal(moments.values())
    return moments


def render_steps(
    plan: Plan, out: Any, moments: Moments, skip: int = 0
) -> Generator[TileDone, None, None]:
    """Render all tiles: the second pass.

    Parameters
    ----------
    plan : Plan
        What is rendered, and how.
    out : array
        Filled in blocks of whole chunks.
    moments : dict
        Of each statistics group, from `measure_steps`.
    skip : int
        How many blocks were rendered before.
    """
    folded = cached_fold(plan, moments)
    read_grid = _make_read_grid(plan)
    grid = _make_write_grid(plan, out, read_grid)
    measured = _tile_count(plan, read_grid)
    done, total = (
        measured + _tile_count(plan, grid, skip),
        measured + _tile_count(plan, grid),
    )
    beside = (plan.rendering_mask, plan.gain_map)
    for box, block in _blocks(plan, read_grid, grid, plan.halo, skip, *beside):
        in_memory = isinstance(out, np.ndarray)
        shape = [part.stop - part.start for part in box]
        result = out[box] if in_memory else np.empty(shape, plan.dtype)
        first, last = done, done + block.tile_count
        for done, _ in enumerate(block.render(folded, result), start=first + 1):
            if done == last and not in_memory:
                out[box] = result
            yield TileDone(done, total, "render", box if done == last else None)


def write_grid(plan: Plan, out: Any) -> Grid:
    """Return the blocks that `render_steps` fills an array in, in their order."""
    return _make_write_grid(plan, out, _make_read_grid(plan))


def _blocks(
    plan: Plan,
    read_grid: Grid,
    grid: Grid,
    halo: tuple[int, ...],
    skip: int,
    mask: Mask | None,
    gain_map: GainMap | None = None,
) -> Iterator[tuple[Slices, Block]]:
    """Read the blocks of a grid with their neighbors' edges, each where it stands."""
    reach = plan.reach(halo)
    read = make_block_reader(plan.image.array, read_grid, grid, reach, plan.memory_limit // 2)
    for index in islice(grid, skip, None):
        box = grid.box(index)
        yield box, extract_block(plan, read(index), grid.box(index, reach), box, mask, gain_map)


def _make_read_grid(plan: Plan) -> Grid:
    """Return the blocks to read an array in: whole chunks, but for ones larger than memory."""
    array, layout = plan.image.array, plan.image.layout
    companions = (plan.mask, plan.gain_map)
    if isinstance(array, np.ndarray) and all(
        each is None or each.in_memory for each in companions
    ):
        return Grid.whole(array.shape)
    lengths, max_voxels = _target_lengths(plan), _max_voxels(plan)
    if is_dask(array):
        # What its chunks are computed from may span several of them: images are read together.
        lengths = tuple(
            whole if letter in layout.outer else length
            for letter, whole, length in zip(layout.axes, layout.shape, lengths, strict=True)
        )
        max_voxels = min(max_voxels, _TOGETHER)
    return split_chunks(merge_chunks(_chunks(plan, array), lengths, max_voxels), max_voxels)


def _make_write_grid(plan: Plan, out: Any, read_grid: Grid) -> Grid:
    """Return the blocks to fill an array in: whole chunks, if possible the ones that are read.

    A function of the arrays' chunks, the tiles and the memory alone, so that a run can be
    resumed.
    """
    array, layout = plan.image.array, plan.image.layout
    if isinstance(out, np.ndarray):
        return read_grid
    chunks, lengths = _chunks(plan, out), _target_lengths(plan)
    if isinstance(array, np.ndarray):
        return merge_chunks(chunks, lengths, _max_voxels(plan))
    if all(n == 1 for a, n in zip(layout.axes, chunks.largest_chunk, strict=True) if a != "S"):
        return read_grid  # it can be cut anywhere
    # As many images at a time as a chunk of the array holds: else it is read again for each.
    together = tuple(
        read if letter in layout.outer else 1
        for letter, read in zip(layout.axes, read_grid.largest_chunk, strict=True)
    )
    lengths = tuple(map(max, lengths, together))
    return merge_chunks(chunks, lengths, _max_voxels(plan), read_grid.largest_chunk)


def _chunks(plan: Plan, array: Any) -> Grid:
    """Return an array's chunks, color samples together."""
    axes = plan.image.layout.axes
    cuts = chunk_grid(array, [axes.index(letter) for letter in "YXS" if letter in axes]).cuts
    return Grid(
        tuple(
            (0, along[-1]) if letter == "S" else along
            for letter, along in zip(axes, cuts, strict=True)
        )
    )


def _target_lengths(plan: Plan) -> tuple[int, ...]:
    """Return how long a block should be along each axis: some tiles, of one image."""
    layout = plan.image.layout
    return tuple(
        4 * plan.tile_side if letter in layout.spatial else 1 if letter in layout.outer else length
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    )


def _max_voxels(plan: Plan) -> int:
    """Return how many voxels a block may hold, in a quarter of the memory."""
    companions = [
        each for each in (plan.mask, plan.gain_map) if each is not None and not each.in_memory
    ]
    types = [plan.image.array.dtype, plan.dtype, *(each.array.dtype for each in companions)]
    return int(plan.memory_limit // 4 // sum(np.dtype(each).itemsize for each in types))


def _tile_count(plan: Plan, grid: Grid, blocks: int | None = None) -> int:
    """Return how many tiles there are in the first blocks, or in all."""
    axes = plan.image.layout.axes

    def along(letter: str, parts: Iterable[tuple[int, int]]) -> int:
        if letter == "S":
            return 1
        side = plan.tile_side if letter in plan.image.layout.spatial else 1
        return sum(-(-(stop - start) // side) for start, stop in parts)

    if blocks is None:
        return prod(along(a, pairwise(cuts)) for a, cuts in zip(axes, grid.cuts, strict=True))
    return sum(
        prod(along(a, [(p.start, p.stop)]) for a, p in zip(axes, grid.box(index), strict=True))
        for index in islice(grid, blocks)
    )


def check_signal(moments: Collection[PatchMoments], *, everything: bool = True) -> None:
    """Warn of groups without a signal; raise an error where nothing can be made of them.

    Parameters
    ----------
    moments : collection of PatchMoments
        One a statistics group.
    everything : bool
        Whether these are all groups of the image. If so, one of them must have patches.
    """
    if everything and not any(each.count for each in moments):
        raise InputError(
            "image",
            "has no patch to measure: no 3x3 neighborhood is finite throughout and "
            "centered in the mask",
        )
    if not all(np.isfinite(each.covariance).all() for each in moments):
        raise InputError("image", "holds values too large to square; scale them down")
    flat = sum(not each.has_signal for each in moments)
    if flat:
        warnings.warn(
            f"no signal in {flat} of {len(moments)} groups of planes (all measured values are "
            f"equal, or "
            "none is finite, or all lie below the offset of the camera that was given); they come "
            "out flat",
            stacklevel=2,
        )
