"""The moments of parts merge to those of the whole, and both are the plain definition's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from napari_noiser.engine.moments import PatchMoments, patch_moments

WHOLE = {2: ((0, 0),) * 2, 3: ((0, 0),) * 3}


def plain_patches(image: np.ndarray) -> np.ndarray:
    """Return the patches of (C, ...) as (*spatial, C * 3**ndim)."""
    spatial = image.ndim - 1
    padded = np.pad(image, [(0, 0)] + [(1, 1)] * spatial, mode="edge")
    windows = sliding_window_view(padded, (3,) * spatial, axis=tuple(range(1, spatial + 1)))
    return np.moveaxis(windows, 0, spatial).reshape(*image.shape[1:], -1)


def of_whole(image: np.ndarray) -> PatchMoments:
    return patch_moments(torch.from_numpy(image), WHOLE[image.ndim - 1])


def assert_close(found: PatchMoments, expected: PatchMoments, tolerance: float = 1e-12) -> None:
    """Compare relative to the size of the mean and of the covariance."""
    assert found.count == expected.count
    for one, other in (
        (found.mean, expected.mean),
        (found.covariance, expected.covariance),
    ):
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


def plain(image: np.ndarray, inside: np.ndarray | None = None) -> PatchMoments:
    patches = plain_patches(image)
    chosen = patches.reshape(-1, patches.shape[-1]) if inside is None else patches[inside]
    return PatchMoments(len(chosen), chosen.mean(axis=0), np.cov(chosen.T, bias=True))


@pytest.mark.parametrize("shape", [(1, 20, 31), (3, 20, 31), (1, 6, 7, 9), (3, 5, 6, 7)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_are_those_of_the_definition(shape: tuple[int, ...], offset: float) -> None:
    image = scene(shape) + offset
    assert_close(of_whole(image), plain(image), 1e-11)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 1, 9), (3, 9, 1), (1, 1, 5, 5), (1, 2, 1, 3)])
def test_thin_images(shape: tuple[int, ...]) -> None:
    image = scene(shape)
    assert_close(of_whole(image), plain(image))


@settings(max_examples=60)
@given(st.data())
def test_merged_moments_equal_those_of_the_whole(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3]))
    spatial = data.draw(st.tuples(*[st.integers(1, 24 if ndim == 2 else 9)] * ndim))
    image = scene((data.draw(st.sampled_from([1, 3])), *spatial), seed=data.draw(st.integers(0)))
    image *= data.draw(st.sampled_from([1e-6, 1.0, 1e5]))
    whole = of_whole(image)
    # Cut anywhere along one axis; every part sees one true neighbor beyond its ends.
    axis = data.draw(st.integers(0, ndim - 1))
    length = spatial[axis]
    inner = data.draw(st.sets(st.integers(1, length - 1))) if length > 1 else set()
    parts = []
    for start, stop in pairwise([0, *sorted(inner), length]):
        low, high = int(start > 0), int(stop < length)
        read = [slice(None)] * image.ndim
        read[axis + 1] = slice(start - low, stop + high)
        halo = tuple((low, high) if at == axis else (0, 0) for at in range(ndim))
        parts.append(patch_moments(torch.from_numpy(image[tuple(read)].copy()), halo))
    merged = PatchMoments.empty(len(whole.mean))
    for at in data.draw(st.permutations(range(len(parts)))):
        merged = merged + parts[at]
    assert_close(merged, whole)


@settings(max_examples=30)
@given(st.floats(-1e6, 1e6), st.floats(-3, 3))
def test_merging_far_apart_groups_is_exact(offset: float, power: float) -> None:
    one, two = scene((1, 9, 11), 1), scene((1, 7, 13), 2) * 10**power + offset
    both = np.concatenate([plain_patches(a).reshape(-1, 9) for a in (one, two)])
    expected = PatchMoments(len(both), both.mean(axis=0), np.cov(both.T, bias=True))
    assert_close(of_whole(one) + of_whole(two), expected, 1e-11)


def test_no_patches_change_nothing() -> None:
    found = of_whole(scene((1, 9, 11)))
    none = PatchMoments.empty(9)
    assert not none.has_signal
    for merged in (none + found, found + none):
        assert_close(merged, found, 0.0)


@given(st.floats(-1e300, 1e300), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_a_constant_image_has_covariance_exactly_zero(
    value: float, height: int, width: int, more: int
) -> None:
    found = of_whole(np.full((1, height, width), value)) + of_whole(np.full((1, more, 3), value))
    assert not found.covariance.any()
    assert not found.has_signal
    assert (found.mean == value).all()


def test_one_different_value_is_signal() -> None:
    image = np.full((1, 30, 30), 30000.0)
    image[0, 4, 5] += 1e-6
    assert of_whole(image).has_signal


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_bad_voxel_leaves_out_exactly_the_patches_it_touches(bad: float, ndim: int) -> None:
    shape = (9, 10, 11)[:ndim]
    image = scene((3, *shape))
    image[1][(4,) * ndim] = bad
    image[0][(0,) * ndim] = bad  # the border repeats it, but only around the corner
    touched = np.zeros(shape, bool)
    touched[(slice(3, 6),) * ndim] = True
    touched[(slice(0, 2),) * ndim] = True
    found = of_whole(image)
    assert found.count == (~touched).sum()
    assert_close(found, plain(image, ~touched))


def test_nothing_finite_is_no_patch() -> None:
    found = of_whole(np.full((1, 5, 6), np.nan))
    assert found.count == 0
    assert not found.has_signal
