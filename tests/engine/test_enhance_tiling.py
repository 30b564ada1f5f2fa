"""Tiled equals whole: neither tiles nor a memory limit change the result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_reference import largest_difference, scene

from napari_noiser import enhance

WHOLE = 10**6


@pytest.mark.parametrize("tile", [17, 64, 1000])
@pytest.mark.parametrize(
    ("shape", "axes", "ndim"),
    [
        ((150, 203), "YX", 2),
        ((131, 70, 3), "YXS", 2),
        ((3, 66, 90), "ZYX", 2),
        ((20, 37, 70), "ZYX", 3),
        ((2, 9, 20, 22), "TZYX", 3),
    ],
)
def test_tiled_equals_whole(shape: tuple[int, ...], axes: str, ndim: int, tile: int) -> None:
    image = scene(shape)
    whole = enhance(image, axes=axes, ndim=ndim, tile=WHOLE)
    tiled = enhance(image, axes=axes, ndim=ndim, tile=tile)
    assert largest_difference(tiled, whole) < 1e-5


@settings(max_examples=60)
@given(st.data())
def test_any_tile_and_any_shape(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3]))
    longest = 40 if ndim == 2 else 11
    shape = data.draw(st.tuples(*[st.integers(1, longest)] * ndim).filter(lambda s: max(s) > 1))
    tile = data.draw(st.integers(1, longest + 5))
    image = scene(shape, seed=data.draw(st.integers(0, 99)))
    image.flat[0] = 200  # signal even where there are but two pixels
    whole = enhance(image, ndim=ndim, tile=WHOLE)
    assert largest_difference(enhance(image, ndim=ndim, tile=tile), whole) < 1e-5


@pytest.mark.parametrize("limit", [1, 50_000, 400_000, 10**9])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_memory_limit_does_not_change_the_result(limit: int, ndim: int) -> None:
    image = scene((6, 50, 60))
    whole = enhance(image, ndim=ndim, tile=WHOLE)
    assert largest_difference(enhance(image, ndim=ndim, memory_limit=limit), whole) < 1e-5


def test_a_faint_signal_on_a_large_offset_tiles_as_well() -> None:
    image = scene((90, 95)) * 1e-3 + 30000
    assert largest_difference(enhance(image, tile=17), enhance(image, tile=WHOLE)) < 1e-5


def test_the_mask_and_bad_values_tile_as_well() -> None:
    image = scene((60, 66))
    image[16, 16:20] = np.nan  # on the border of two tiles
    image[50, 3] = np.inf
    mask = np.random.default_rng(0).random(image.shape) < 0.4
    one = enhance(image, mask=mask, tile=17)
    other = enhance(image, mask=mask, tile=WHOLE)
    finite = np.isfinite(image)
    np.testing.assert_array_equal(one[~finite], other[~finite])
    assert largest_difference(one[finite], other[finite]) < 1e-5


def test_other_settings_tile_as_well() -> None:
    image = scene((4, 40, 50))
    settings = {"statistics": "plane", "brightness": 0.3, "contrast": 3.0, "model": "noiser-es"}
    one, other = (enhance(image, tile=tile, **settings) for tile in (13, WHOLE))
    assert largest_difference(one, other) < 1e-5


@pytest.mark.parametrize(("axes", "ndim"), [("ZYXS", 2), ("CZYX", 3)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_tiles_without_contrast_are_no_exception(axes: str, ndim: int, dtype: str) -> None:
    image = np.full((12, 60, 70, 3), (7, 9, 4), dtype)
    image[5:8, 3:20, 30:50] = scene((3, 17, 20, 3), dtype="uint16")
    if dtype == "float32":
        image[:, 50:, :10] = np.nan
        image[:, 50:, 60:] = np.inf
    if axes == "CZYX":
        image = np.moveaxis(image, -1, 0)
    whole = enhance(image, axes=axes, ndim=ndim, tile=1000)
    tiled = enhance(image, axes=axes, ndim=ndim, tile=5)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    assert len(np.unique(whole)) > 1000
