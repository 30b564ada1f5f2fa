"""Fill is found where it is, and real values are kept."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noiser import denoise, diagnose, enhance
from napari_noiser._progress import run_with_progress
from napari_noiser.arrays.fill import fill_mask, find_fill
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan


def counts(side: int = 200, mean: float = 8.0, offset: float = 100.0) -> NDArray[Any]:
    """Return a dim frame of cells in float32."""
    y, x = np.mgrid[:side, :side]
    light = mean * (1 + 8 * (np.hypot(y % 64 - 32, x % 64 - 32) < 9))
    return (np.random.default_rng(0).poisson(light) + offset).astype(np.float32)


def border(image: NDArray[Any]) -> NDArray[np.bool_]:
    found = np.zeros(image.shape, bool)
    found[:12] = found[:, :12] = True
    return found


def round_field(image: NDArray[Any]) -> NDArray[np.bool_]:
    y, x = np.indices(image.shape) - image.shape[0] / 2
    return np.asarray(np.hypot(y, x) > 0.45 * image.shape[0])


def gaps(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Gaps between the detectors of a mosaic."""
    found = np.zeros(image.shape, bool)
    found[90:100] = found[:, 60:70] = True
    return found


@pytest.mark.parametrize("where", [border, round_field, gaps])
@pytest.mark.parametrize("value", [0, -9999, 65535, 1e20])
def test_it_is_left_out_and_comes_out_as_it_went_in(value: float, where: Any) -> None:
    image = counts()
    bad = where(image)
    filled = np.where(bad, np.float32(value), image)
    np.testing.assert_array_equal(fill_mask(filled[None], find_fill([filled[None]])), bad)
    light = denoise(filled)
    missing = denoise(np.where(bad, np.nan, image))
    np.testing.assert_allclose(light[~bad], missing[~bad], rtol=1e-4)
    np.testing.assert_array_equal(light[bad], np.float32(value))
    shown = enhance(filled, "noiser")
    expected = enhance(np.where(bad, np.nan, image), "noiser")
    np.testing.assert_allclose(shown[~bad], expected[~bad], atol=1e-4)


@pytest.mark.parametrize("value", [-9999, 0, 65535])
@pytest.mark.parametrize(
    "options",
    [
        {"model": "noiser"},
        {"model": "noiser", "background": "dark"},
        {"model": "structured"},
        {"model": "structured", "background": "gray"},
        {"model": "structured", "brightness": 0.5, "dtype": "uint8"},
    ],
)
def test_it_is_black_in_a_display(value: float, options: dict[str, Any]) -> None:
    image = counts()
    bad = border(image) | gaps(image)
    filled = np.where(bad, np.float32(value), image)
    shown = enhance(filled, **options)
    assert (shown[bad] == 0).all()
    assert shown[~bad].mean() > 0
    lazy = np.asarray(enhance(da.from_array(filled, 70), **options))
    assert (lazy[bad] == 0).all()


@pytest.mark.parametrize("value", [-9999, 0, 65535])
@pytest.mark.parametrize("conserve", [1.0, 5.0, 20.0])
def test_conserved_light_is_not_given_to_it(value: float, conserve: float) -> None:
    image = counts()
    bad = border(image) | gaps(image)
    filled = np.where(bad, np.float32(value), image)
    light = denoise(filled, conserve=conserve)
    np.testing.assert_array_equal(light[bad], np.float32(value))
    tiled = denoise(da.from_array(filled, 70), conserve=conserve, tile=64)
    np.testing.assert_array_equal(np.asarray(tiled)[bad], np.float32(value))


def test_frames_that_were_never_written_are_left_out() -> None:
    stack = np.stack([counts() for _ in range(6)])
    expected = denoise(stack, axes="TYX")[0]
    stack[3] = 0
    np.testing.assert_allclose(denoise(stack, axes="TYX")[0], expected, rtol=1e-3)


@pytest.mark.parametrize("mean", [0.3, 0.1, 0.01, 0.001])
def test_real_zeros_of_a_dim_camera_are_kept(mean: float) -> None:
    image = np.random.default_rng(0).poisson(mean, (1, 256, 256)).astype(np.uint16)
    assert not fill_mask(image, find_fill([image])).any()


def test_a_saturated_star_is_no_fill() -> None:
    y, x = np.mgrid[:256, :256]
    light = 20 + 3e6 * np.exp(-((y - 128) ** 2 + (x - 128) ** 2) / 18)
    star = np.minimum(np.random.default_rng(0).poisson(light), 65535).astype(np.uint16)
    assert (star == 65535).sum() > 150
    assert not fill_mask(star[None], find_fill([star[None]])).any()


def test_a_clipped_background_is_no_fill() -> None:
    y, x = np.mgrid[:256, :256]
    cell = 50 * np.exp(-((y - 128) ** 2 + (x - 128) ** 2) / 1800)
    noise = np.random.default_rng(0).normal(0, 3, cell.shape)
    image = (cell + noise - 6).clip(0).round().astype(np.uint8)
    assert (image == 0).mean() > 0.7
    assert not fill_mask(image[None], find_fill([image[None]])).any()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_is_no_fill(value: int) -> None:
    assert not find_fill([np.full((1, 50, 60), value, np.uint8)])


def test_it_can_be_said_and_denied() -> None:
    image = counts()
    bad = border(image)
    filled = np.where(bad, np.float32(103), image)
    asked = enhance(filled, "noiser", fill=103)
    np.testing.assert_allclose(asked[~bad], enhance(filled, "noiser")[~bad], atol=1e-4)
    assert np.abs(enhance(filled, "noiser", fill=None)[~bad] - asked[~bad]).max() > 0.01


def test_tiles_do_not_matter() -> None:
    image = np.where(gaps(counts()), np.float32(0), counts())
    np.testing.assert_allclose(enhance(image, tile=48), enhance(image), atol=1e-5)


def test_it_is_said_and_is_not_called_well_exposed() -> None:
    image = counts().astype(np.uint16)
    image[:, 100:] = 65535
    found = diagnose(image)
    assert found.filled == pytest.approx(0.5, abs=0.01)
    assert not found.well_exposed
    assert found.saturated == 0
    assert any("no data" in remark for remark in found.remarks())


@pytest.mark.parametrize("thick", [1, 2, 3])
@pytest.mark.parametrize("value", [0, -9999, 65535])
@pytest.mark.parametrize("ends", ["top", "left", "bottom and right", "all"])
def test_thin_borders_of_registration_are_found(thick: int, value: float, ends: str) -> None:
    image = counts()
    bad = np.zeros(image.shape, bool)
    if ends in ("top", "all"):
        bad[:thick] = True
    if ends in ("left", "all"):
        bad[:, :thick] = True
    if ends in ("bottom and right", "all"):
        bad[-thick:] = bad[:, -thick:] = True
    filled = np.where(bad, np.float32(value), image)
    np.testing.assert_array_equal(fill_mask(filled[None], find_fill([filled[None]])), bad)
    expected = enhance(np.where(bad, np.nan, image), "noiser")
    shown = enhance(filled, "noiser")
    np.testing.assert_allclose(shown[~bad], expected[~bad], atol=1e-4)
    np.testing.assert_allclose(enhance(filled, "noiser", tile=33), shown, atol=1e-5)
    lazy = enhance(da.from_array(filled, 70), "noiser")
    np.testing.assert_allclose(np.asarray(lazy), shown, atol=1e-5)


@pytest.mark.parametrize(
    ("fill", "thick"), [(0, 3), (65535, 2), (65535, 30), (4000, 30), (0, 300)]
)
def test_fill_outside_the_middle_is_found(fill: int, thick: int) -> None:
    """Of a large image only the middle and the corners are looked at."""
    image = np.random.default_rng(0).poisson(30, (1700, 1500)).astype("uint16") + 100
    bad = np.zeros(image.shape, bool)
    bad[:thick] = bad[:, -thick:] = True
    filled = np.where(bad, np.uint16(fill), image)
    plan = calibrate(make_plan(filled, "noiser", device="cpu"))
    (moments,) = run_with_progress(measure_steps(plan), False, "").values()
    assert moments.count == (1700 - thick - 1) * (1500 - thick - 1)


@pytest.mark.parametrize(
    ("missing", "value"),
    [((0,), 0), ((3,), 0), ((1, 2, 5), 0), ((0, 1, 2, 3, 4), 0), ((2,), 65535), ((1, 2, 4), 7)],
)
def test_dropped_frames_are_left_out(missing: tuple[int, ...], value: int) -> None:
    stack = np.stack([counts() for _ in range(7)]).astype("uint16")
    expected = enhance(stack[6:], "noiser", axes="TYX")[0]
    stack[list(missing)] = value
    np.testing.assert_allclose(enhance(stack, "noiser", axes="TYX")[6], expected, atol=1e-3)


def test_a_mosaic_padded_with_zeros_is_seen_as_its_tiles() -> None:
    image, bad = counts(240), np.ones((240, 240), bool)
    for y, x in ((0, 0), (5, 130), (130, 12), (140, 140)):
        bad[y : y + 95, x : x + 95] = False
    filled = np.where(bad, np.float32(0), image)
    np.testing.assert_array_equal(fill_mask(filled[None], find_fill([filled[None]])), bad)


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("value", [99, 255, 65535])
@pytest.mark.parametrize("brightest", [np.s_[:, 300:], np.s_[:100]])
def test_it_is_found_beside_few_photons(value: int, mean: float, brightest: Any) -> None:
    """Hardly a pixel counts more than one photon."""
    light = np.full((400, 400), mean)
    light[brightest] *= 4
    image = np.random.default_rng(0).poisson(light).astype("uint16")
    image[:, :80] = value
    expected = image == value
    expected[:, 80:] = False
    found = fill_mask(image[None], find_fill([image[None]]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("values", [(1,), (0, 1), (3, 200)])
@pytest.mark.parametrize("fill", [0, 255])
def test_an_image_of_few_values_is_without(values: tuple[int, ...], fill: int) -> None:
    image = np.random.default_rng(0).choice(values, (1, 200, 200)).astype("uint8")
    image[:, :40] = fill
    assert not find_fill([image])


@pytest.mark.parametrize("radius", [8, 30])
@pytest.mark.parametrize("background", [0, 100])
def test_labels_are_no_fill(radius: int, background: int) -> None:
    labels = np.full((300, 300), background, np.uint16)
    y, x = np.indices(labels.shape)
    places = [(50, 50), (70, 150), (95, 250), (200, 80), (220, 200)]
    for label, at in enumerate(places, start=1):
        labels[np.hypot(y - at[0], x - at[1]) < radius] = label
    assert not find_fill([labels[None]])


@pytest.mark.parametrize("mean", [0.02, 0.2, 0.7, 2.0])
@pytest.mark.parametrize("light", ["flat", "cells", "two halves", "bright middle"])
def test_zeros_of_counted_photons_are_kept(mean: float, light: str) -> None:
    """No pixel is left out, so that the mean count stays what it was."""
    y, x = np.mgrid[:400, :400]
    expected = {
        "flat": np.full(x.shape, mean),
        "cells": mean * (1 + 20 * (np.hypot(y % 80 - 40, x % 80 - 40) < 12)),
        "two halves": np.where(x < 250, 40.0, mean),
        "bright middle": mean * (1 + 30 * np.exp(-((np.hypot(y - 200, x - 200) / 60) ** 2))),
    }[light]
    image = np.random.default_rng(0).poisson(expected).astype("uint16")
    assert not fill_mask(image[None], find_fill([image[None]])).any()
    plan = calibrate(make_plan(image, "noiser", device="cpu"))
    (moments,) = run_with_progress(measure_steps(plan), False, "").values()
    assert moments.count == image.size
    assert moments.mean[4] == pytest.approx(image.mean())


def test_dark_counts_around_a_bright_middle_are_kept_in_a_large_image() -> None:
    """In the middle no pixel counted 0, and at the ends nearly all did."""
    y, x = np.mgrid[:1800, :1800]
    light = 40 * (np.hypot(y - 900, x - 900) < 760) + 0.01
    image = np.random.default_rng(0).poisson(light).astype("uint16")
    plan = calibrate(make_plan(image, "noiser", device="cpu"))
    (moments,) = run_with_progress(measure_steps(plan), False, "").values()
    assert moments.count == image.size
