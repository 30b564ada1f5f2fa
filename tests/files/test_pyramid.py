"""A pyramid that grows with its regions is the one that is made at once."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noiser.files.writers.pyramid import (
    blocks,
    completed_region,
    finer_region,
    halve,
    level_shapes,
)

Grid = list[list[slice]]


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Grid, list[int]]:
    """Draw a shape, chunks, cuts of each axis at multiples of them, and two axes to halve."""
    count = draw(st.integers(2, 4))
    shape = tuple(draw(st.integers(1, 20)) for _ in range(count))
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    grid = []
    for length, chunk in zip(shape, chunks, strict=True):
        inner = draw(st.sets(st.sampled_from(range(0, length, chunk))))
        cuts = sorted({0, length} | inner)
        grid.append([slice(a, b) for a, b in pairwise(cuts)])
    return shape, chunks, grid, draw(st.permutations(range(count)))[:2]


@given(grids())
def test_every_chunk_is_made_once_and_of_what_is_there(
    drawn: tuple[tuple[int, ...], tuple[int, ...], Grid, list[int]],
) -> None:
    shape, chunks, grid, halved = drawn
    levels = [np.zeros(level, int) for level in level_shapes(shape, chunks, halved)]
    for region in product(*grid):
        levels[0][region] += 1
        part = region
        for fine, coarse in pairwise(levels):
            part = completed_region(part, fine.shape, chunks, halved)
            for block in blocks(part, chunks):
                assert fine[finer_region(block, fine.shape, halved)].all(), "a parent is missing"
                assert all(
                    each.start % step == 0 for each, step in zip(block, chunks, strict=True)
                )
                coarse[block] += 1
    assert all((level == 1).all() for level in levels)


@given(grids())
def test_the_last_level_is_one_chunk_wide(
    drawn: tuple[tuple[int, ...], tuple[int, ...], Grid, list[int]],
) -> None:
    shape, chunks, _, halved = drawn
    levels = level_shapes(shape, chunks, halved)
    assert levels[0] == shape
    assert all(levels[-1][axis] <= chunks[axis] for axis in halved)
    assert all(any(level[axis] > chunks[axis] for axis in halved) for level in levels[:-1])


def mean_of_pairs(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return the means of 2x2 squares, one by one; at an odd border, of what is there."""
    rows, columns = (-(-n // 2) for n in plane.shape)
    squares = [
        [plane[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float) for x in range(columns)]
        for y in range(rows)
    ]
    return np.array([[square.mean() for square in row] for row in squares])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (1, 9), (1, 1)])
def test_a_half_is_the_mean_of_2_by_2(shape: tuple[int, int], dtype: str) -> None:
    values = np.random.default_rng(0).uniform(0, 250, shape).astype(dtype)
    half = halve(values, [0, 1])
    expected = mean_of_pairs(values)
    assert half.dtype == values.dtype
    if values.dtype.kind == "f":
        np.testing.assert_allclose(half, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(half, np.rint(expected))


def test_the_ends_of_a_type_stay() -> None:
    assert halve(np.full((3, 3), 65535, np.uint16), [0, 1]).tolist() == [[65535] * 2] * 2
    assert halve(np.full((3, 3), 2**32 - 1, np.uint32), [0, 1]).tolist() == [[2**32 - 1] * 2] * 2


def test_nan_stays_in_its_square() -> None:
    values = np.ones((4, 4), np.float32)
    values[0, 0] = np.nan
    values[3, 2:] = np.inf, -np.inf
    np.testing.assert_array_equal(halve(values, [0, 1]), [[np.nan, 1], [1, np.nan]])
