"""The display of denoised light: black, white and gamma, found robustly, the same everywhere."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noiser import denoise, enhance
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.display import view_range
from napari_noiser.engine.plan import make_plan

Floats = NDArray[np.float64]
SKY, STAR = 20.0, 80.0


def stars(count: int = 60, side: int = 256, peak: float = STAR) -> tuple[Floats, NDArray[np.int_]]:
    """Return the light of faint stars on a sky, and where they are."""
    random = np.random.default_rng(1)
    places = random.integers(12, side - 12, (count, 2))
    y, x = np.mgrid[:side, :side]
    light = np.full((side, side), SKY)
    for at in places:
        light += peak * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.5**2))
    return light, places


def nuclei(side: int = 256, contrast: float = 600.0, seed: int = 0) -> NDArray[np.uint16]:
    """Return a frame of some textured nuclei on a background of 2000, in 16 bits."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    inside = ((y - side / 2) / 80) ** 2 + ((x - side / 2) / 60) ** 2 < 1
    texture = 1 + 0.25 * gaussian_filter(random.normal(size=(side, side)), 4) / 0.07
    light = 2000 + gaussian_filter(contrast * inside * texture, 2)
    return (light + random.normal(0, 0.3 * contrast, light.shape)).clip(0).astype(np.uint16)


def test_faint_stars_are_seen_beside_a_saturated_one() -> None:
    light, places = stars()
    y, x = np.mgrid[:256, :256]
    bright = 3e5 * np.exp(-((y - 200) ** 2 + (x - 60) ** 2) / (2 * 2.5**2))
    far = np.hypot(places[:, 0] - 200, places[:, 1] - 60) > 40
    image = np.random.default_rng(0).poisson(light + bright).clip(0, 65535).astype(np.uint16)
    shown = enhance(image)
    empty = (light < SKY + 0.5) & (bright < 0.5)
    assert np.median(shown[empty]) <= 0.15
    peaks = shown[tuple(places[far].T)]
    assert np.median(peaks) >= 0.35


@pytest.mark.parametrize("width", [20.0, 70.0])
def test_a_nebula_is_seen_beside_a_saturated_star(width: float) -> None:
    y, x = np.mgrid[:300, :300]
    light = SKY + 60 * np.exp(-((y - 170) ** 2 + (x - 170) ** 2) / (2 * width**2))
    light += 2e5 * np.exp(-((y - 50) ** 2 + (x - 50) ** 2) / 18)
    image = np.random.default_rng(0).poisson(light).clip(0, 65535).astype(np.uint16)
    shown = enhance(image)
    assert np.median(shown[165:176, 165:176]) >= 0.35
    assert np.median(shown[280:, :20]) <= 0.2


def test_a_nucleus_uses_the_grays_of_8_bits() -> None:
    shown = enhance(nuclei(), dtype="uint8")
    low, high = np.percentile(shown, (1, 99.5))
    assert high - low >= 100
    assert len(np.unique(shown[(shown >= low) & (shown <= high)])) >= 100


def test_a_hot_pixel_moves_nothing() -> None:
    image = nuclei()
    hot = image.copy()
    hot[40, 50] = 65535
    before, after = enhance(image), enhance(hot)
    away = np.ones(image.shape, bool)
    away[20:60, 30:70] = False
    np.testing.assert_allclose(after[away], before[away], atol=0.02)


def test_noise_alone_stays_dark() -> None:
    noise = np.random.default_rng(0).poisson(3, (256, 256))
    shown = enhance(noise)
    assert np.median(shown) < 0.15
    assert np.percentile(shown, 99) < 0.6


def test_images_without_background_span_the_range() -> None:
    random = np.random.default_rng(0)
    tissue = 200 + 100 * gaussian_filter(random.normal(size=(256, 256)), 6) / 0.047
    shown = enhance(random.poisson(tissue.clip(1)))
    assert np.percentile(shown, 5) < 0.35 < 0.65 < np.percentile(shown, 95)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(0.3, 3.0))
def test_brightness_and_contrast_work_over_their_whole_range(
    brightness: float, contrast: float
) -> None:
    image = 1000 * np.linspace(0, 1, 101)[None] * np.ones((40, 1))
    neutral = enhance(image, camera=None)
    found = enhance(image, camera=None, brightness=brightness, contrast=contrast)
    assert (np.diff(found.mean(axis=0)) >= -1e-3).all()
    assert found.min() < 0.05
    assert found.max() > 0.95
    brighter = enhance(image, camera=None, brightness=brightness) - neutral
    assert (brighter * np.sign(brightness) >= -1e-6).all()


def test_gain_and_offset_do_not_matter() -> None:
    image = nuclei().astype(np.float64)
    expected = enhance(image)
    np.testing.assert_allclose(enhance(3 * image + 500), expected, atol=2e-3)


@pytest.mark.parametrize("statistics", ["stack", "plane"])
def test_lazy_and_tiled_are_shown_alike(statistics: Any) -> None:
    stack = np.stack([nuclei(130, seed=seed) for seed in range(3)])
    expected = enhance(stack, axes="TYX", statistics=statistics)
    tiled = enhance(stack, axes="TYX", statistics=statistics, tile=64)
    np.testing.assert_allclose(tiled, expected, atol=1e-5)
    lazy = enhance(da.from_array(stack, (1, 70, 130)), axes="TYX", statistics=statistics)
    np.testing.assert_allclose(lazy.compute(), expected, atol=1e-5)


def test_what_a_mask_leaves_out_does_not_count() -> None:
    image = nuclei()
    mask = np.ones(image.shape, bool)
    mask[:, 200:] = False
    expected = enhance(image, mask=mask, camera=None)
    image[:, 200:] = 65535
    found = enhance(image, mask=mask, camera=None)
    np.testing.assert_allclose(found[:, :170], expected[:, :170], atol=1e-6)


def out_of_windows(shape: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return a mask that the windows of a large plane do not lie in."""
    mask = np.zeros(shape, bool)
    parts = {"rows": np.s_[182:218], "columns": np.s_[:, 385:415], "box": np.s_[184:216, 300:500]}
    mask[parts[where]] = True
    return mask


@pytest.mark.parametrize("where", ["rows", "columns", "box"])
@pytest.mark.parametrize("camera", [None, "auto"])
def test_a_mask_beside_all_windows_leaves_the_background_dark(where: str, camera: Any) -> None:
    image = np.random.default_rng(0).poisson(5, (600, 600)).astype("uint16")
    mask = out_of_windows(image.shape, where)
    y, x = np.indices(image.shape)
    spots = mask & ((y % 40 - 5) ** 2 + (x % 40 - 5) ** 2 < 16)
    image[spots] = np.random.default_rng(1).poisson(60, spots.sum())
    options: dict[str, Any] = {"background": "dark", "camera": camera, "device": "cpu"}
    shown = enhance(image, mask=mask, **options)
    assert np.median(shown[mask & ~spots]) < 0.25
    assert np.median(shown[spots]) > 0.5
    for tile, beside in ((128, mask), (None, da.from_array(mask, 250))):
        lazy = enhance(da.from_array(image, 300), mask=beside, tile=tile, **options)
        np.testing.assert_allclose(np.asarray(lazy)[mask], shown[mask], atol=1e-4)


@pytest.mark.parametrize("statistics", ["stack", "plane"])
def test_noise_in_a_mask_beside_all_windows_stays_dark(statistics: Any) -> None:
    image = np.random.default_rng(0).poisson(5, (2, 600, 600)).astype("uint16")
    mask = np.stack([out_of_windows(image.shape[1:], where) for where in ("rows", "box")])
    options: dict[str, Any] = {"background": "dark", "camera": None, "statistics": statistics}
    shown = enhance(image, mask=mask, axes="TYX", **options)
    assert np.median(shown[mask]) < 0.2
    assert np.percentile(shown[mask], 99) < 0.6


def test_fill_in_all_windows_leaves_the_background_dark() -> None:
    random = np.random.default_rng(0)
    image = random.poisson(20, (600, 600)).astype("uint16")
    known = out_of_windows(image.shape, "columns")
    image[~known] = 0
    shown = enhance(image, background="dark", device="cpu")
    assert (shown[~known] == 0).all()
    assert np.median(shown[known]) < 0.2


def test_light_is_shown_as_its_display() -> None:
    image = nuclei()
    light = denoise(image)
    shown = view_range(calibrate(make_plan(image, verb="denoise")), light, image)
    seen = ((light - shown.black) / (shown.white - shown.black)).clip(0, 1) ** shown.gamma
    np.testing.assert_allclose(seen, enhance(image), atol=0.03)


@pytest.mark.parametrize("side", [256, 600])
@pytest.mark.parametrize("axes", ["TYX", "CYX", "YXS"])
@pytest.mark.parametrize("left_out", ["mask", "fill", "both"])
def test_limits_of_light_are_those_of_what_counts(left_out: str, axes: str, side: int) -> None:
    image = np.stack([nuclei(side, seed=seed) for seed in range(3)]).astype("float32")
    light = gaussian_filter(image, (0, 1, 1))
    mask, fill = np.ones((side, side), bool), np.zeros((side, side), bool)
    if left_out != "fill":
        mask[:50] = mask[:, 380:] = False
    if left_out != "mask":
        fill[:, :60] = True
    turned = (1, 2, 0) if axes == "YXS" else (0, 1, 2)

    def limits(value: float, **options: Any) -> Any:
        result, raw = (
            np.where(mask & ~fill, each, value).transpose(turned) for each in (light, image)
        )
        plan = make_plan(raw, verb="denoise", axes=axes, camera=None, **options)
        return view_range(calibrate(plan), result, raw)

    expected = limits(np.nan)
    assert limits(65535, mask=mask, fill=(65535,)) == expected
    assert limits(-9999, mask=mask, fill=(-9999,)) == expected
    assert expected.white < 6000


def test_a_gamma_can_be_given() -> None:
    image = nuclei()
    linear = enhance(image, gamma=1.0)
    np.testing.assert_allclose(enhance(image, gamma=0.5), linear**0.5, atol=1e-4)
