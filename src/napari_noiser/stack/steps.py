"""The two passes over an array: measure block by block, render block by block, in its chunks."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from math import prod
from typing import Any

import numpy as np

from napari_noiser.stack.axes import ImageIndex
from napari_noiser.stack.blocks import Box, Grid, block_reader, chunk_grid, fitted, split
from napari_noiser.stack.moments import PatchMoments
from napari_noiser.stack.render import Block, cut_out, fold_exposures
from napari_noiser.stack.work import Work

__all__ = ["Moments", "TileDone", "check_signal", "fill_steps", "measure_steps"]

Moments = dict[ImageIndex, PatchMoments]
"""The moments of the patches of each exposure."""


@dataclass(frozen=True)
class TileDone:
    """One finished tile.

    Attributes
    ----------
    done, total : int
        How many tiles are finished, of how many; measuring and rendering count alike.
    stage : str
        "measure" or "render".
    block : Box, optional
        The block that this tile has completed, if it was its last one.
    """

    done: int
    total: int
    stage: str
    block: Box | None = None


def measure_steps(
    work: Work, out: Any = None, moments: Moments | None = None, skip: int = 0
) -> Generator[TileDone, None, Moments]:
    """Measure all tiles: the first half of `render_steps`.

    Parameters
    ----------
    work : Work
        What is measured, and how.
    out : array, optional
        Only to tell how much there will be to render: nothing, if left out.
    moments : dict, optional
        Those of each exposure in the blocks to be skipped; they are added to, block by block.
    skip : int
        How many blocks were measured before.

    Yields
    ------
    TileDone
        Once a tile.

    Returns
    -------
    dict
        The moments of each exposure.
    """
    moments = {} if moments is None else moments
    grid = _reading_grid(work)
    done, total = _tile_count(work, grid, skip), _tile_count(work, grid)
    if out is not None:
        total += _tile_count(work, _writing_grid(work, out))
    for place, block in _blocks(work, grid, 1, skip):
        first, last = done, done + block.tile_count
        for done, (exposure, found) in enumerate(block.measure(), start=first + 1):
            moments[exposure] = moments.get(exposure, work.no_moments) + found
            yield TileDone(done, total, "measure", place if done == last else None)
    check_signal(moments.values())
    return moments


def fill_steps(
    work: Work, out: Any, moments: Moments, skip: int = 0
) -> Generator[TileDone, None, None]:
    """Render all tiles: the second half of `render_steps`.

    Parameters
    ----------
    work : Work
        What is rendered, and how.
    out : array
        Filled in blocks of whole chunks.
    moments : dict
        Of each exposure, from `measure_steps`.
    skip : int
        How many blocks were rendered before.

    Yields
    ------
    TileDone
        Once a tile.
    """
    folded = fold_exposures(work, moments)
    grid = _writing_grid(work, out)
    measured = _tile_count(work, _reading_grid(work))
    done, total = measured + _tile_count(work, grid, skip), measured + _tile_count(work, grid)
    for place, block in _blocks(work, grid, work.method.halo, skip):
        here = isinstance(out, np.ndarray)
        shape = [part.stop - part.start for part in place]
        result = out[place] if here else np.empty(shape, work.dtype)
        first, last = done, done + block.tile_count
        for done, _ in enumerate(block.render(folded, result), start=first + 1):
            if done == last and not here:
                out[place] = result
            yield TileDone(done, total, "render", place if done == last else None)


def _blocks(work: Work, grid: Grid, halo: int, skip: int) -> Iterator[tuple[Box, Block]]:
    """Read the blocks of a grid with their neighbours' edges, each where it stands."""
    reach = tuple(halo if a in work.stack.layout.spatial else 0 for a in work.stack.layout.axes)
    cells = _reading_grid(work)
    read = block_reader(work.stack.array, cells, grid, reach, work.memory // 2)
    for index in islice(grid, skip, None):
        place = grid.box(index)
        yield place, cut_out(work, read(index), grid.box(index, reach), place)


def _reading_grid(work: Work) -> Grid:
    """Return the blocks to read an array in: whole chunks, but for ones larger than memory."""
    array = work.stack.array
    if isinstance(array, np.ndarray):
        return Grid.whole(array.shape)
    return split(fitted(_chunks(work, array), *_wanted(work)), _wanted(work)[1])


def _writing_grid(work: Work, out: Any) -> Grid:
    """Return the blocks to fill an array in: whole chunks."""
    if isinstance(out, np.ndarray):
        return _reading_grid(work)
    return fitted(_chunks(work, out), *_wanted(work))


def _chunks(work: Work, array: Any) -> Grid:
    """Return an array's chunks, colour samples together."""
    axes = work.stack.layout.axes
    cuts = chunk_grid(array, [axes.index(letter) for letter in "YXS" if letter in axes]).cuts
    return Grid(
        tuple(
            (0, along[-1]) if letter == "S" else along
            for letter, along in zip(axes, cuts, strict=True)
        )
    )


def _wanted(work: Work) -> tuple[tuple[int, ...], int]:
    """Return how long a block should be along each axis, and how much it may hold."""
    layout = work.stack.layout
    lengths = tuple(
        4 * work.side if letter in layout.spatial else 1 if letter in layout.outer else length
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    )
    voxel = np.dtype(work.stack.array.dtype).itemsize + work.dtype.itemsize
    return lengths, work.memory // 4 // voxel


def _tile_count(work: Work, grid: Grid, blocks: int | None = None) -> int:
    """Return how many tiles there are in the first blocks, or in all."""
    axes = work.stack.layout.axes

    def along(letter: str, parts: Iterable[tuple[int, int]]) -> int:
        if letter == "S":
            return 1
        side = work.side if letter in work.stack.layout.spatial else 1
        return sum(-(-(stop - start) // side) for start, stop in parts)

    if blocks is None:
        return prod(along(a, pairwise(cuts)) for a, cuts in zip(axes, grid.cuts, strict=True))
    return sum(
        prod(along(a, [(p.start, p.stop)]) for a, p in zip(axes, grid.box(index), strict=True))
        for index in islice(grid, blocks)
    )


def check_signal(moments: Collection[PatchMoments], *, everything: bool = True) -> None:
    """Warn of exposures without a signal; raise an error where nothing can be made of them.

    Parameters
    ----------
    moments : collection of PatchMoments
        One an exposure.
    everything : bool
        Whether these are all exposures of the image. If so, one of them must have patches.

    Raises
    ------
    ValueError
        If there is nothing to measure, or values are too large.
    """
    if everything and not any(found.count for found in moments):
        raise ValueError(
            "image has no patch to measure: no 3x3 neighbourhood is finite throughout and "
            "centred in the mask"
        )
    if not all(np.isfinite(found.covariance).all() for found in moments):
        raise ValueError("image holds values too large to square; scale them down")
    flat = sum(not found.has_signal for found in moments)
    if flat:
        warnings.warn(
            f"no signal in {flat} of {len(moments)} exposures (all measured values are equal, or "
            "none is finite); they come out flat at 0.5",
            stacklevel=2,
        )
