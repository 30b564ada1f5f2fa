"""What a denoiser makes of arrays: light in their units, and volumes by their neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.compare import assert_alike, largest_difference
from helpers.errors import refused
from helpers.models import structured

from napari_noiser import denoise, enhance
from napari_noiser.engine.plan import make_plan
from napari_noiser.recipes import NoiserModel


@pytest.fixture(scope="module")
def model() -> NoiserModel:
    return structured()


@pytest.fixture(scope="module")
def model_3d() -> NoiserModel:
    return structured(3)


def counts(*shape: int) -> np.ndarray:
    coarse = [length if length < 4 else -(-length // 6) for length in shape]
    light = np.random.default_rng(1).gamma(2.0, 4.0, coarse)
    for axis, length in enumerate(shape):
        light = light.repeat(1 if length < 4 else 6, axis).take(range(length), axis)
    return np.random.default_rng(2).poisson(light).astype("uint16") + 100


def test_empty_parts_of_a_store_equal_the_whole(model: NoiserModel) -> None:
    image = np.zeros((96, 96), "uint16")
    image[:30, :30] = counts(30, 30)
    whole = enhance(image, model, tile=1000)
    assert largest_difference(enhance(image, model, tile=16), whole) < 2e-5


def test_display_is_the_light_through_a_curve(model: NoiserModel) -> None:
    """Standardized by the image's own moments, times 50 / 127.5, through tanh."""
    image, options = counts(64, 64), {"camera": None, "dtype": "float64"}
    light = denoise(image, model, **options).ravel()
    tone = {"background": "gray", "contrast": 0.5, "brightness": 0.1}
    shown = enhance(image, model, **tone, **options).ravel()
    response = (np.arctanh(2 * shown - 1) - 0.1) / 0.5
    slope, middle = np.polyfit(response, light, 1)
    np.testing.assert_allclose(slope * response + middle, light, rtol=1e-3)
    assert middle == pytest.approx(image.mean(), rel=1e-2)


def test_large_integers_keep_their_offset(model: NoiserModel) -> None:
    image = counts(40, 40).astype("int64")
    light = denoise(image, model, dtype="float64")
    moved = denoise(image + 2**60, model, dtype="float64")
    np.testing.assert_allclose(moved - 2.0**60, light, atol=300)  # what float64 holds there


def test_colors_and_alpha(model: NoiserModel) -> None:
    image = np.stack([counts(40, 40)] * 3 + [np.full((40, 40), 65535, "uint16")], axis=-1)
    light = denoise(image, model, axes="YXS")
    np.testing.assert_array_equal(light[..., 3], 65535)
    assert_alike(light[..., 1], denoise(image[..., 0], model))
    assert enhance(image, structured(samples=3), axes="YXS").shape == image.shape


def test_a_model_of_displays_makes_no_light() -> None:
    with refused("model"):
        denoise(counts(20, 20), "noiser")


def test_colors_of_a_photograph_are_kept_by_the_bundled_model() -> None:
    photo = np.stack([counts(40, 40) * factor for factor in (3, 2, 1)], axis=-1)
    shown = enhance(photo, "structured", axes="YXS")
    np.testing.assert_array_equal(shown, enhance(photo, "structured", axes="YXS", colors="kept"))
    red, green, blue = np.median(shown, axis=(0, 1))
    assert red > green > blue
    assert make_plan(photo, "structured", axes="YXS").describe()["colors"] == "kept"


def test_time_stands_in_for_depth(model_3d: NoiserModel) -> None:
    image = counts(5, 30, 32)
    in_time = denoise(image, model_3d, axes="TYX", ndim=3)
    np.testing.assert_array_equal(in_time, denoise(image, model_3d, axes="ZYX", ndim=3))


def test_depth_goes_before_time_where_there_are_both(model_3d: NoiserModel) -> None:
    image = np.stack([counts(4, 30, 32), 2 * counts(4, 30, 32)])
    options: dict[str, Any] = {"ndim": 3, "statistics": "volume", "camera": None}
    found = enhance(image, model_3d, axes="TZYX", **options)
    for each, volume in zip(found, image, strict=True):
        alone = enhance(volume, model_3d, axes="ZYX", **options)
        assert largest_difference(each, alone) < 2e-5


def test_a_plane_comes_out_otherwise_between_other_neighbors(model_3d: NoiserModel) -> None:
    image = counts(5, 30, 32)
    other = image.copy()
    other[2] = other[2].T[:30, :30].repeat(2, 1)[:, :32]
    found, changed = (
        denoise(each, model_3d, ndim=3, camera=None, repair=False) for each in (image, other)
    )
    moved = np.abs(found - changed).max(axis=(1, 2))
    assert moved[[1, 2, 3]].min() > 2 * moved[[0, 4]].max()  # which the statistics alone move


def test_one_plane_is_a_volume(model_3d: NoiserModel) -> None:
    plane = counts(1, 40, 44)
    options: dict[str, Any] = {"ndim": 3, "camera": None}
    pile = denoise(plane.repeat(4, axis=0), model_3d, **options)
    assert_alike(pile, denoise(plane, model_3d, **options).repeat(4, axis=0))


def test_colors_of_volumes_are_kept(model_3d: NoiserModel) -> None:
    image = np.stack([counts(3, 30, 32) * n for n in (3, 2, 1)], axis=-1)
    light = denoise(image, model_3d, axes="ZYXS", ndim=3)
    assert light.shape == image.shape
    red, green, blue = np.median(light, axis=(0, 1, 2))
    assert red > green > blue
