"""The transfer curve and the histogram: what a plot of a result shows."""

from __future__ import annotations

from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser import closed_form
from napari_noiser.analysis.transfer import histogram, transfer_curve


def test_the_curve_of_a_function_is_the_function() -> None:
    raw = np.random.default_rng(0).random((300, 300))
    curve = transfer_curve(1000 + raw, np.sqrt(raw))
    assert curve.raw.shape == curve.median.shape == (64,)
    np.testing.assert_allclose(curve.median, np.sqrt(curve.raw - 1000), atol=1e-3)
    assert (np.diff(curve.raw) > 0).all()
    assert (curve.lower <= curve.median).all()
    assert (curve.median <= curve.upper).all()


def test_the_closed_form_of_a_smooth_image_is_monotone() -> None:
    y, x = np.mgrid[-1:1:200j, -1:1:220j]
    image = 100 + 50 * np.exp(-3 * (x**2 + y**2))
    curve = transfer_curve(image, closed_form(image))
    assert (np.diff(curve.median) > 0).all()
    assert (curve.upper - curve.lower).max() < 0.1
    compressed = np.diff(curve.median) / np.diff(curve.raw)
    assert compressed[-1] < compressed[20]  # tanh


def test_spread_is_where_nine_of_ten_lie() -> None:
    random = np.random.default_rng(0)
    raw = random.random((500, 500))
    curve = transfer_curve(raw, random.normal(raw, 1), bins=8)
    np.testing.assert_allclose(curve.upper - curve.lower, 2 * 1.645, rtol=0.05)


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=200),
    st.integers(1, 100),
)
def test_bins_hold_about_equally_many_and_part_no_equal_values(
    values: list[int], bins: int
) -> None:
    raw = np.array(values)[None]
    curve = transfer_curve(raw, raw * 2.0, bins=bins)
    assert 1 <= len(curve.raw) <= min(bins, len(set(values)))
    assert (np.diff(curve.raw) > 0).all()
    np.testing.assert_allclose(curve.median, 2 * curve.raw)


def test_no_pairs_give_an_empty_curve_and_constants_a_point() -> None:
    nothing = np.full((5, 5), np.nan)
    assert transfer_curve(nothing, nothing).raw.size == 0
    curve = transfer_curve(np.full((5, 5), 7), np.full((5, 5), 0.5))
    assert (curve.raw, curve.median, curve.lower, curve.upper) == (7, 0.5, 0.5, 0.5)


def test_raw_values_keep_their_units() -> None:
    raw = np.arange(100).reshape(10, 10) + 2**40
    assert transfer_curve(raw, raw * 1.0, bins=2).raw.tolist() == [2**40 + 24.5, 2**40 + 74.5]


@pytest.mark.parametrize("bins", [0, -1, 2**20])
def test_bins_out_of_range(bins: int) -> None:
    image = np.eye(9)
    for call in (
        lambda: transfer_curve(image, image, bins=bins),
        lambda: histogram(image, bins=bins),
    ):
        with pytest.raises(ValueError, match=f"bins must be a whole number .* got {bins}"):
            call()


@given(
    st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=300),
    st.integers(1, 300),
)
def test_every_integer_falls_into_one_bin_of_whole_width(values: list[int], bins: int) -> None:
    image = np.array(values, np.uint16)[None]
    counts, edges = histogram(image, bins=bins)
    assert counts.sum() == len(values)
    assert len(counts) <= bins
    assert len(edges) == len(counts) + 1
    assert {float(b - a) % 1 for a, b in pairwise(edges)} == {0}
    np.testing.assert_array_equal(counts, np.histogram(image, edges)[0])


def test_a_histogram_of_floats_is_numpys() -> None:
    image = np.random.default_rng(0).normal(size=(50, 60))
    counts, edges = histogram(np.where(image > 3, np.nan, image), bins=20)
    expected = np.histogram(image[image <= 3], 20)
    np.testing.assert_array_equal(counts, expected[0])
    np.testing.assert_allclose(edges, expected[1])


def test_histograms_of_nothing_and_of_constants() -> None:
    assert histogram(np.full((4, 4), np.nan))[0].size == 0
    counts, edges = histogram(np.full((4, 4), 5, np.uint8))
    assert (counts.tolist(), edges.tolist()) == ([16], [4.5, 5.5])
    counts, edges = histogram(np.full((4, 4), 5.0), bins=4)
    assert counts.sum() == 16
    assert edges[0] < edges[-1]


def test_a_lazy_histogram_reads_eight_planes() -> None:
    lazy = da.broadcast_to(da.arange(200, chunks=1)[:, None, None], (200, 300, 300))
    counts, edges = histogram(lazy)
    assert np.count_nonzero(counts) == 8
    assert edges[0] == 11.5


@pytest.mark.parametrize("at", [1.0, 1e16])
def test_floats_as_close_as_they_can_be_are_counted(at: float) -> None:
    image = at + np.spacing(at) * np.arange(16.0).reshape(4, 4)
    counts, edges = histogram(image)
    assert counts.sum() == 16
    assert (np.diff(edges) > 0).all()


def test_the_whole_range_of_64_bits_is_counted() -> None:
    image = np.array([[0, 2**64 - 1], [1, 1]], np.uint64)
    counts, edges = histogram(image)
    assert (counts.sum(), counts[0], counts[-1]) == (4, 3, 1)
    assert edges[-1] > 2**63
