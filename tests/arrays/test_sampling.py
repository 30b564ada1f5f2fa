"""Samples: few reads, the same places in both arrays, colors together, alpha left out."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import Layout
from napari_noiser.arrays.sampling import (
    content_digest,
    sample_pairs,
    sample_planes,
    sample_values,
)


class Counted:
    """A lazy array whose values tell their place, and which counts what is read of it."""

    dtype = np.dtype(np.uint32)

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...] | None = None) -> None:
        self.shape = shape
        self.read: list[tuple[int, ...]] = []
        if chunks:
            self.chunks = chunks

    def __getitem__(self, key: tuple[int | slice, ...]) -> np.ndarray:
        picked = [
            np.arange(n)[k : k + 1] if isinstance(k, int) else np.arange(n)[k]
            for n, k in zip(self.shape, key, strict=True)
        ]
        block = np.ravel_multi_index(np.ix_(*picked), self.shape).astype(self.dtype)
        self.read.append(block.shape)
        return block.squeeze(tuple(axis for axis, k in enumerate(key) if isinstance(k, int)))

    @property
    def values_read(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.read)


def test_of_a_lazy_stack_eight_planes_are_read() -> None:
    stack = Counted((200, 1024, 1024))
    (values,) = sample_values(stack)
    assert stack.read == [(1, 1024, 1024)] * 8
    assert 2**19 < values.size <= 2**20
    planes = np.unique(values // 1024**2)
    np.testing.assert_array_equal(planes, [12, 37, 62, 87, 112, 137, 162, 187])


def test_of_a_large_chunk_a_part_is_read() -> None:
    stack = Counted((20000, 30000), chunks=(20000, 30000))
    sample_values(stack)
    assert len(stack.read) <= 8
    assert stack.values_read <= 8 * 2**22


def test_a_file_in_memory_is_read_like_a_lazy_array(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(100, 300, 400))
    mapped[:] = np.arange(100, dtype=np.uint8)[:, None, None]
    (values,) = sample_values(mapped)
    assert len(np.unique(values)) == 8


@given(st.lists(st.integers(1, 60), min_size=2, max_size=4), st.sampled_from([50, 1000]))
def test_arrays_in_memory_give_evenly_spread_values(shape: list[int], most: int) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    (values,) = sample_values(array, most=most)
    assert 0 < values.size <= most
    if array.size <= most:
        np.testing.assert_array_equal(values, array.ravel())


def test_short_axes_are_kept_whole() -> None:
    stack = np.zeros((2, 3000, 3000), np.uint8)
    stack[1] = 1
    (values,) = sample_values(stack, most=2**18)
    assert values.mean() == 0.5
    assert values.size > 2**17


@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.integers(1, 17)] * 3),
    st.tuples(*[st.integers(1, 17)] * 3),
)
def test_pairs_come_from_the_same_places_whatever_the_chunks(
    shape: tuple[int, ...], chunks: tuple[int, ...], others: tuple[int, ...]
) -> None:
    raw, result = Counted(shape, chunks), Counted(shape, others)
    x, y, _ = sample_pairs(raw, result)
    np.testing.assert_array_equal(x, y)
    for array in raw, result:
        assert 0 < len(array.read) <= 8
        for read, chunk in zip(array.read, [array.chunks] * 8, strict=False):
            assert all(a <= b for a, b in zip(read, chunk, strict=True))


def test_dask_beside_zarr_and_numpy(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((12, 50, 60)).astype(np.float32)
    stored = zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(4, 32, 32))
    for pair in [(da.from_array(values, chunks=(1, 50, 60)), stored), (values, stored)]:
        x, y, _ = sample_pairs(*pair)
        assert len(x) > 1000
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("lazy", [False, True])
def test_colors_stay_together_and_alpha_is_left_out(lazy: bool) -> None:
    image = np.zeros((300, 400, 4), np.uint8) + np.array([10, 20, 30, 255], np.uint8)
    array = da.from_array(image, chunks=(100, 100, 1)) if lazy else image
    (values,) = sample_values(array, layout=Layout("YXS", image.shape), most=3000)
    found, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(found, [10, 20, 30])
    assert len(set(counts)) == 1


def test_pairs_that_are_not_finite_are_left_out() -> None:
    raw, result = np.arange(30.0).reshape(5, 6), np.arange(30.0).reshape(5, 6)
    raw[0, 0], result[1, 1], result[2, 2] = np.nan, np.inf, -np.inf
    x, y, _ = sample_pairs(raw, result)
    assert len(x) == 27
    np.testing.assert_array_equal(x, y)


def test_64_bits_are_not_rounded() -> None:
    raw = np.arange(12).reshape(3, 4) + 2**62
    x, _, zero = sample_pairs(raw, raw.astype(np.float64))
    np.testing.assert_array_equal(x, np.arange(12))
    assert zero == 2**62


def test_planes_of_a_lazy_stack() -> None:
    stack = Counted((2, 100, 1024, 1024))
    planes = list(sample_planes(ImageArray.from_array(stack, "CTYX")))
    assert [plane.image for plane in planes] == [(at // 4, 6 + 25 * at // 2) for at in range(8)]
    assert stack.values_read == 8 * 1024**2
    for plane in planes:
        assert plane.values.shape == (1, 1024, 1024)
        assert 0 < plane.values[0, :: plane.step, :: plane.step].size <= 2**20 / 8


def test_planes_across_chunks_in_depth_and_in_parts() -> None:
    stack = Counted((64, 4096, 4096), chunks=(16, 512, 512))
    planes = list(sample_planes(ImageArray.from_array(stack)))
    assert stack.read == [(1, 512, 512)] * 8
    assert len({plane.image for plane in planes}) == 8


def test_what_is_not_finite_is_nan_in_a_plane() -> None:
    image = np.array([[1.0, np.inf], [-np.inf, np.nan]])
    (plane,) = sample_planes(ImageArray.from_array(image))
    np.testing.assert_array_equal(plane.values, [[[1.0, np.nan], [np.nan, np.nan]]])


def test_errors_name_the_argument() -> None:
    image = np.zeros((4, 5))
    with pytest.raises(ValueError, match=r"result must have the shape of raw, \(4, 5\), got \(5"):
        sample_pairs(image, image.T)
    with pytest.raises(TypeError, match=r"^result must hold integers or floats, got bool"):
        sample_pairs(image, image > 0)
    with pytest.raises(ValueError, match=r"^raw must have 2 to 5 dimensions"):
        sample_pairs(image[0], image[0])
    with pytest.raises(ValueError, match=r"^raw is empty"):
        sample_pairs(image[:0], image[:0])


@given(top=st.integers(0, 500), left=st.integers(0, 750))
def test_other_values_in_an_eighth_of_each_plane_are_told(top: int, left: int) -> None:
    image = np.zeros((3, 1000, 1000), np.uint8)
    before = content_digest(ImageArray.from_array(image))
    image[:, top : top + 500, left : left + 250] = 1
    assert content_digest(ImageArray.from_array(image)) != before
