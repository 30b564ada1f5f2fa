"""Blocks of whole chunks that cover an array, and are read with their edges."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser.arrays.chunks import Grid, chunk_grid, merge_chunks, split_chunks
from napari_noiser.arrays.reader import make_block_reader

AUTO = {"chunks": ("auto", None, 7)}


class Chunked:
    """A thing with chunks, of zeros."""

    def __init__(self, shape: tuple[int, ...], **attributes: object) -> None:
        self.shape = shape
        self.__dict__.update(attributes)

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        return np.zeros([part.stop - part.start for part in box])


def cuts(*along: tuple[int, ...]) -> Grid:
    return Grid(along)


@st.composite
def grids(draw: st.DrawFn, ndim: int = 2) -> Grid:
    lengths = [draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)) for _ in range(ndim)]
    return Grid(tuple(tuple(np.cumsum([0, *each]).tolist()) for each in lengths))


def test_chunks_are_found_as_zarr_h5py_and_dask_say_them() -> None:
    expected = cuts((0, 2, 4, 5), (0, 3, 6, 7))
    assert chunk_grid(Chunked((5, 7), chunks=(2, 3))) == expected
    assert chunk_grid(Chunked((5, 7), chunks=((2, 0, 2, 1), (3, 3, 1)))) == expected
    assert chunk_grid(Chunked((5, 7), chunks=(1, 1), shards=(2, 3))) == expected
    assert chunk_grid(Chunked((5, 7), chunks=(2, 3), shards=None)) == expected


@pytest.mark.parametrize(
    "chunks", [{}, {"chunks": None}, {"chunks": "auto"}, {"chunks": (1,)}, AUTO]
)
def test_without_chunks_each_plane_is_one(chunks: dict[str, object]) -> None:
    array = Chunked((2, 5, 7), **chunks)
    assert chunk_grid(array) == cuts((0, 1, 2), (0, 5), (0, 7))
    assert chunk_grid(array, [0, 2]) == cuts((0, 2), tuple(range(6)), (0, 7))


@given(grids(), st.tuples(st.integers(1, 30), st.integers(1, 30)), st.integers(1, 900))
def test_blocks_are_whole_chunks_within_what_is_wanted(
    chunks: Grid, wanted: tuple[int, int], most: int
) -> None:
    blocks = merge_chunks(chunks, wanted, most)
    for along, chunk, length in zip(blocks.cuts, chunks.cuts, wanted, strict=True):
        assert set(along) <= set(chunk)
        assert (along[0], along[-1]) == (0, chunk[-1])
        assert list(along) == sorted(set(along))
        longest = max(b - a for a, b in pairwise(chunk))
        for a, b in pairwise(along):
            assert b - a <= max(length, longest)
    assert prod(blocks.largest_chunk) <= max(most, prod(chunks.largest_chunk))


@given(grids(), st.integers(1, 900))
def test_blocks_larger_than_memory_are_split(grid: Grid, most: int) -> None:
    parts = split_chunks(grid, most)
    assert prod(parts.largest_chunk) <= most or max(parts.largest_chunk) <= 8
    for along, before in zip(parts.cuts, grid.cuts, strict=True):
        assert set(before) <= set(along)
        assert list(along) == sorted(set(along))


@given(
    grids(3),
    st.data(),
    st.tuples(*[st.integers(0, 2)] * 3),
    st.sampled_from([0, 400, 1000, 10**9]),
)
def test_blocks_are_read_with_their_edges_and_cells_once(
    cells: Grid, data: st.DataObject, reach: tuple[int, ...], most: int
) -> None:
    shape = tuple(along[-1] for along in cells.cuts)
    blocks = Grid(
        tuple(
            (0, *sorted(data.draw(st.sets(st.integers(1, max(1, n - 1))))), n) if n > 1 else (0, 1)
            for n in shape
        )
    )
    array = np.arange(prod(shape)).reshape(shape)
    counts = np.zeros(shape, int)

    class Counted:
        dtype = array.dtype

        def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
            assert len(list(cells.intersecting(box))) == 1
            counts[box] += 1
            return array[box]

    read = make_block_reader(Counted(), cells, blocks, reach, most)
    for index in blocks:
        box = blocks.box(index, reach)
        np.testing.assert_array_equal(read(index), array[box])
        assert sum(cell.nbytes for cell in read._cached.values()) <= most
    if most == 10**9:
        assert (counts == 1).all()
    assert (counts >= 1).all()


def test_what_is_of_no_more_use_is_let_go_of() -> None:
    chunks = cuts(tuple(range(0, 101, 10)), tuple(range(0, 101, 10)))
    array = Chunked((100, 100), dtype=np.dtype("f8"))
    held = []
    read = make_block_reader(array, chunks, chunks, (2, 2), 10**9)
    for index in chunks:
        read(index)
        held.append(len(read._cached))
    assert max(held) <= 2 * 10 + 4
    assert held[-1] <= 4
