"""Chunks that are held: the same values, each chunk read once, and no more held than allowed."""

import numpy as np
import pytest
from helpers.arrays import CountingArray
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser.arrays.reader import ChunkCache, with_chunk_cache
from napari_noiser.engine.plan import make_plan
from napari_noiser.engine.training_crops import Crops, scale_levels


def counted(shape, chunks):
    """Return an array in chunks that counts what is read of it."""
    return CountingArray(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), chunks)


@st.composite
def keys(draw, shape):
    """Return a number or a slice along each axis."""
    key = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        stop = draw(st.integers(start, length))
        key.append(draw(st.sampled_from([start, slice(start, stop)])))
    return tuple(key)


@given(st.data(), st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 400))
def test_it_slices_as_the_array_does(data, chunks, most):
    array = counted((5, 9, 11), chunks)
    held = ChunkCache(array, most)
    for key in data.draw(st.lists(keys(array.shape), max_size=6)):
        assert np.array_equal(held[key], array.values[key])
        assert held.nbytes <= most


def test_each_chunk_is_read_once_and_as_a_whole():
    array = counted((4, 8, 8), (1, 4, 8))
    held = ChunkCache(array, array.values.nbytes)
    for row in range(8):
        for plane in range(4):
            assert np.array_equal(
                held[plane, slice(row, row + 1), slice(2, 5)][0], array.values[plane, row, 2:5]
            )
    assert len(array.keys) == 8
    assert held.nbytes == array.values.nbytes


def test_what_was_not_used_for_longest_goes():
    array = counted((3, 4, 4), (1, 4, 4))
    held = ChunkCache(array, 2 * 32)
    whole = (slice(0, 4), slice(0, 4))
    for plane in (0, 1, 0, 2, 0, 1):
        held[plane, *whole]
    assert [key[0].start for key in array.keys] == [0, 1, 2, 1]


def test_what_is_in_memory_or_too_large_is_left_as_it_is():
    in_memory, large = np.zeros((4, 4)), counted((4, 8, 8), (4, 8, 8))
    assert with_chunk_cache(in_memory, 10**9) is in_memory
    assert with_chunk_cache(large, 7 * large.values.nbytes) is large
    assert isinstance(with_chunk_cache(large, 8 * large.values.nbytes), ChunkCache)


def test_values_cannot_be_changed_through_what_was_returned():
    held = ChunkCache(counted((1, 4, 4), (1, 4, 4)), 10**6)
    whole = (slice(0, 1), slice(0, 4), slice(0, 4))
    held[whole][...] = 7
    assert held[whole].max() == 15


@pytest.mark.parametrize("key", [(slice(0, 0), 0, 0), (slice(2, 2), slice(0, 3), 1)])
def test_nothing_is_nothing(key):
    array = counted((5, 9, 11), (2, 3, 4))
    assert np.array_equal(ChunkCache(array, 10**6)[key], array.values[key])


def test_crops_of_many_steps_read_each_chunk_once():
    array = counted((4, 96, 128), (1, 96, 128))
    in_memory, chunked = (
        Crops.of([make_plan(each, "noiser", axes="ZYX")], 64, 16, 3, 0, scale_levels(0.0, 1.0))
        for each in (array.values, array)
    )
    array.forget()
    for step in range(20):
        assert np.array_equal(chunked(step), in_memory(step))
    assert len(array.keys) == 4
