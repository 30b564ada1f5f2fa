"""A dark background: found beneath cells, shown nearly black, and noise is not lifted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import sigmaclip

from napari_noiser import enhance
from napari_noiser.analysis.baseline import BoxMean
from napari_noiser.engine.background import background_level, sigma_clipped
from napari_noiser.engine.tone import DARK

BACKGROUND = 100.0


def cells(*shape: int, noise: float = 3.0, bright: float = 400.0, seed: int = 0) -> np.ndarray:
    """Return some cells on an even background."""
    random = np.random.default_rng(seed)
    image = np.full(shape, BACKGROUND)
    for y, x in random.uniform(12, np.array(shape[-2:]) - 12, (12, 2)):
        image[..., int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8] += (
            random.uniform(0.2, 1) * bright
        )
    return image + random.normal(0, noise, shape)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_the_background_is_found_beneath_cells(share: float) -> None:
    random = np.random.default_rng(1)
    plane = BACKGROUND + random.normal(0, 5, (256, 256))
    covered = gaussian_filter(random.normal(size=plane.shape), 8)
    plane[covered > np.quantile(covered, 1 - share)] += random.uniform(50, 500)
    plane[3, 4], plane[200, 7] = np.nan, np.inf
    assert background_level([plane]) == pytest.approx(BACKGROUND, abs=2.5)


@settings(max_examples=20)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_it_moves_with_gain_and_offset(gain: float, offset: float) -> None:
    plane = cells(130, 70)
    expected = gain * background_level([plane]) + offset
    assert background_level([gain * plane + offset]) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(seed=st.integers(0, 999), size=st.integers(1, 200), tail=st.floats(1, 5))
def test_values_are_clipped_as_by_scipy(seed: int, size: int, tail: float) -> None:
    values = np.random.default_rng(seed).standard_t(tail, size)
    assert np.array_equal(sigma_clipped(values), sigmaclip(values, 3.0, 3.0).clipped)


def test_nothing_finite_has_no_background() -> None:
    assert np.isnan(background_level([np.full((9, 9), np.nan)]))
    assert np.isnan(background_level([]))


@pytest.mark.parametrize("model", ["noiser", "structured", BoxMean(1)])
def test_the_background_comes_out_dark_and_cells_bright(model: Any) -> None:
    image = cells(160, 150)
    empty, bright = image < BACKGROUND + 15, image > BACKGROUND + 250
    gray = enhance(image, model, camera=None, background="gray")
    dark = enhance(image, model, camera=None, background="dark")
    assert np.median(gray[empty]) > 0.3
    assert np.median(dark[empty]) < DARK + 0.02
    assert np.median(dark[bright]) > 0.2
    assert np.corrcoef(dark[bright], gray[bright])[0, 1] > 0.9


def test_a_camera_makes_no_difference_to_where_it_lies() -> None:
    image = np.random.default_rng(0).poisson(cells(160, 150, noise=0))
    dark = enhance(image, "structured", background="dark")
    assert np.median(dark[image < BACKGROUND + 15]) < DARK


def test_noise_alone_stays_dark() -> None:
    noise = np.random.default_rng(0).normal(50, 5, (128, 128))
    assert enhance(noise, "noiser").std() > 0.08
    dark = enhance(noise, "noiser", background="dark")
    assert dark.max() < 0.2
    assert dark.std() < 0.03


def test_each_channel_has_its_own_background() -> None:
    image = np.stack([cells(120, 90), 30 + 7 * cells(120, 90)])
    dark = enhance(image, "noiser", axes="CYX", background="dark")
    np.testing.assert_allclose(dark[0], dark[1], atol=1e-5)


def test_colors_start_from_their_own_background() -> None:
    image = np.stack([cells(120, 90), 40 + cells(120, 90), 3 * cells(120, 90)], axis=-1)
    for colors in ("balanced", "kept"):
        dark = enhance(image, "noiser", axes="YXS", colors=colors, background="dark")
        empty = image[..., 0] < BACKGROUND + 10
        np.testing.assert_allclose(np.median(dark[empty], axis=0), DARK, atol=0.02)


def test_brightness_and_contrast_come_on_top() -> None:
    image = cells(90, 90)
    dark = enhance(image, "noiser", background="dark", dtype="float64")
    other = enhance(
        image, "noiser", background="dark", brightness=0.3, contrast=2.0, dtype="float64"
    )
    black = np.arctanh(2 * DARK - 1)
    expected = 2 * (np.arctanh(2 * dark - 1) - black) + black + 0.3
    np.testing.assert_allclose(np.arctanh(2 * other - 1), expected, atol=1e-3)


def test_without_a_signal_it_is_all_background() -> None:
    with pytest.warns(UserWarning, match="no signal"):
        flat = enhance(np.full((70, 70), 7.0), "noiser", background="dark")
    np.testing.assert_array_equal(flat, np.float32(DARK))


def test_there_are_two() -> None:
    with refused("background", "black"):
        enhance(cells(40, 40), "noiser", background="black")
