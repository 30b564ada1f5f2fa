"""Values with a meaning of their own: NaN and inf, alpha, and the type of the result."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.compare import largest_difference
from helpers.errors import refused
from helpers.plain_srm import plain_srm
from helpers.scenes import scene
from numpy.lib.stride_tricks import sliding_window_view

from napari_noiser import enhance, load_model

GRAY = load_model("noiser")


def around(bad: np.ndarray, reach: int) -> np.ndarray:
    """Return where a bad pixel is within `reach` along both axes."""
    windows = sliding_window_view(np.pad(bad, reach), (2 * reach + 1,) * 2)
    return windows.any(axis=(2, 3))


@pytest.fixture
def image_with_holes() -> np.ndarray:
    image = scene((50, 52))
    image[20, 20] = np.nan
    image[21, 21] = np.inf
    image[0, 40] = -np.inf
    image[49] = np.nan
    return image


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_bad_values_come_out_as_they_went_in(image_with_holes: np.ndarray, dtype: str) -> None:
    image = image_with_holes.astype(dtype)
    found = enhance(image, "noiser")
    bad = ~np.isfinite(image)
    np.testing.assert_array_equal(found[bad], image[bad].astype("f4"))
    assert np.isfinite(found[~bad]).all()


def test_bad_values_do_not_disturb_the_rest(image_with_holes: np.ndarray) -> None:
    bad = ~np.isfinite(image_with_holes)
    inside = ~around(bad, 1)
    found = enhance(image_with_holes, "noiser")
    filled = np.where(bad, 0, image_with_holes)[None, None]
    far = ~around(bad, 2)
    expected = plain_srm(filled, GRAY, inside=~bad[None])[0, 0]
    assert largest_difference(found[far], expected[far]) < 1e-5
    # Nearer than that, a bad value reads as the mean of what was measured.
    windows = sliding_window_view(np.pad(image_with_holes, 1, mode="edge"), (3, 3))
    filled = np.where(bad, windows[inside].mean(), image_with_holes)[None, None]
    expected = plain_srm(filled, GRAY, inside=~bad[None])[0, 0]
    assert largest_difference(found[~bad], expected[~bad]) < 1e-5


def test_a_bad_sample_is_bad_in_that_sample_only() -> None:
    color = scene((20, 21, 3))
    color[5, 6, 1] = np.nan
    assert np.argwhere(np.isnan(enhance(color, "noiser", axes="YXS"))).tolist() == [[5, 6, 1]]


def test_a_plane_without_any_value_leaves_the_others_alone() -> None:
    planes = scene((3, 20, 21))
    planes[1] = np.nan
    found = enhance(planes, "noiser")
    assert np.isnan(found[1]).all()
    assert largest_difference(found[[0, 2]], enhance(planes[[0, 2]], "noiser")) < 1e-6
    with pytest.warns(UserWarning, match="no signal in 1 of 3"):
        found = enhance(planes, "noiser", statistics="plane")
    assert np.isnan(found[1]).all()
    assert largest_difference(found[2], enhance(planes[2], "noiser")) < 1e-6


@pytest.mark.parametrize(
    ("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("f4", 1), ("f8", 1), (">u2", 65535)]
)
@pytest.mark.parametrize("axes", ["YXS", "SYX"])
def test_alpha_passes_through_scaled(dtype: str, full: int, axes: str) -> None:
    image = scene((30, 31, 4)).astype(dtype)
    image[..., 3] = (np.linspace(0, 1, 31) * full).astype(dtype)
    given = image if axes == "YXS" else np.ascontiguousarray(image.transpose(2, 0, 1))
    found = enhance(given, "noiser", axes=axes, tile=13)
    found = found if axes == "YXS" else found.transpose(1, 2, 0)
    assert largest_difference(found[..., 3], image[..., 3] / full) < 1e-6
    without = enhance(image[..., :3], "noiser", axes="YXS")
    assert largest_difference(found[..., :3], without) < 1e-5


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bad_values_in_whole_numbers(image_with_holes: np.ndarray, dtype: str) -> None:
    found = enhance(image_with_holes, "noiser", dtype=dtype)
    assert found[20, 20] == 0
    assert found[21, 21] == np.iinfo(dtype).max
    assert found[0, 40] == 0


@pytest.mark.parametrize(
    ("out", "blamed", "came"),
    [
        (np.empty((31, 30), "f4"), "out", "(31, 30)"),
        ([[1.0]], "out", "list"),
        (np.empty((30, 31), "i4"), "dtype", "int32"),
        (np.empty((30, 31), "f2"), "dtype", "float16"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(out: object, blamed: str, came: str) -> None:
    with refused(blamed, came):
        enhance(scene((30, 31)), "noiser", out=out)


def test_an_out_of_another_type_than_asked_for_is_refused() -> None:
    with refused("dtype", "uint8", "float32"):
        enhance(scene((30, 31)), "noiser", out=np.empty((30, 31), "f4"), dtype="uint8")


@pytest.mark.parametrize("dtype", ["int8", "float16", "bool", "complex64", "nonsense", object])
def test_a_type_that_is_not_offered_is_refused(dtype: object) -> None:
    with refused("dtype", "float32", "uint16"):
        enhance(scene((30, 31)), "noiser", dtype=dtype)


def test_an_out_that_shares_the_images_memory_is_refused() -> None:
    image = scene((30, 31), dtype="float32")
    for out in (image, image[:], image[::-1]):
        with refused("out"):
            enhance(image, "noiser", out=out)


def test_a_zarr_out_that_is_the_image_is_refused() -> None:
    zarr = pytest.importorskip("zarr")
    image = zarr.zeros((30, 31), chunks=(16, 16), dtype="float32")
    image[...] = scene((30, 31))
    with refused("out"):
        enhance(image, "noiser", out=image, tile=8)


def test_a_faint_signal_on_a_large_offset_tiles_as_well() -> None:
    image = scene((90, 95)) * 1e-3 + 30000
    assert (
        largest_difference(enhance(image, "noiser", tile=17), enhance(image, "noiser", tile=1000))
        < 1e-5
    )


@pytest.mark.parametrize(("axes", "ndim"), [("ZYXS", 2), ("CZYX", 3)])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_tiles_without_contrast_are_no_exception(axes: str, ndim: int, dtype: str) -> None:
    image = np.full((6, 40, 50, 3), (7, 9, 4), dtype)
    image[2:4, 3:20, 25:45] = scene((2, 17, 20, 3), dtype="uint16")
    if dtype == "float32":
        image[:, 30:, :10] = np.nan
        image[:, 30:, 40:] = np.inf
    if axes == "CZYX":
        image = np.moveaxis(image, -1, 0)
    whole = enhance(image, "noiser", axes=axes, ndim=ndim, tile=1000)
    tiled = enhance(image, "noiser", axes=axes, ndim=ndim, tile=5)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    assert len(np.unique(whole)) > 1000
