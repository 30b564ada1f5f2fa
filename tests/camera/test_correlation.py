"""White noise is told from noise that interpolation or smoothing spread; structure is neither."""

from __future__ import annotations

import os
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, laplace, shift, uniform_filter
from skimage.io import imread

from napari_noiser.camera.correlation import Whiteness, noise_correlation, residual_whiteness

Floats = NDArray[np.float64]


def light(photons: float, side: int = 512) -> Floats:
    """Return cells and strands on a background."""
    random = np.random.default_rng(0)
    rows, columns = np.ogrid[:side, :side]
    scene = np.zeros((side, side))
    for _ in range(40):
        y, x = random.uniform(0, side, 2)
        scene[np.hypot(rows - y, columns - x) < random.uniform(8, 24)] += random.uniform(0.2, 3)
    along = np.linspace(0, 1, 2000)[:, None]
    for _ in range(15):
        start, way, wave = random.uniform(0, side, 2), *random.normal(0, [[150], [30]], (2, 2))
        strand = np.rint(start + way * along + wave * np.sin(4 * along)).astype(int)
        scene[tuple(strand[((strand >= 0) & (strand < side)).all(axis=1)].T)] += 6
    scene = gaussian_filter(scene, 1.2) + 0.1
    return scene * photons / scene.mean()


def taken(scene: Floats, seed: int = 1) -> Floats:
    random = np.random.default_rng(seed)
    return 2.0 * random.poisson(scene) + 2.0 * random.normal(size=scene.shape) + 100.0


def correlations(found: Whiteness) -> tuple[float, ...]:
    return astuple(found)[:5]


SPREAD = {
    "smoothed": (lambda image: gaussian_filter(image, 0.7), (0.57, 0.57, 0.33, 0.11, 0.11)),
    "moved by half a pixel": (lambda image: shift(image, (0, 0.5), order=1), (0.5, 0, 0, 0, 0)),
    "averaged": (lambda image: uniform_filter(image, 3), (2 / 3, 2 / 3, 4 / 9, 1 / 3, 1 / 3)),
}


@pytest.mark.parametrize("photons", [1.0, 20.0, 100.0])
def test_white_noise_is_white_whatever_the_structure(photons: float) -> None:
    found = noise_correlation(taken(light(photons)))
    np.testing.assert_allclose(correlations(found), 0, atol=0.06)
    assert not found.correlated
    assert found.remark() == found.residual_remark() == ""


@pytest.mark.parametrize("name", SPREAD)
def test_spread_noise_is_measured(name: str) -> None:
    spread, truth = SPREAD[name]
    found = noise_correlation(spread(taken(light(20.0))))
    np.testing.assert_allclose(correlations(found), truth, atol=0.06)
    assert found.correlated
    assert "estimated noise is too small" in found.remark()


@pytest.mark.parametrize("name", SPREAD)
def test_a_residual_is_measured(name: str) -> None:
    spread, truth = SPREAD[name]
    found = residual_whiteness(spread(np.random.default_rng(0).normal(size=(256, 256))))
    np.testing.assert_allclose(correlations(found), truth, atol=0.05)
    assert "structure went with the noise" in found.residual_remark()


def test_frames_tell_more_than_one() -> None:
    frames = np.stack([taken(light(300.0, 256), seed) for seed in range(4)])
    np.testing.assert_allclose(correlations(noise_correlation(frames)), 0, atol=0.04)
    smooth = gaussian_filter(frames, (0, 0.7, 0.7))
    np.testing.assert_allclose(
        correlations(noise_correlation(smooth)), SPREAD["smoothed"][1], atol=0.08
    )


def test_frames_of_unsigned_integers_do_not_wrap() -> None:
    frames = np.stack([taken(light(20.0, 256), seed) for seed in range(3)])
    counts = frames.astype(np.uint16)
    expected = noise_correlation(counts.astype(float))
    assert noise_correlation(counts) == expected


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64), (64, 300), (300, 64)])
def test_small_images_raise_no_alarm(shape: tuple[int, ...]) -> None:
    for seed in range(20):
        assert not noise_correlation(np.random.default_rng(seed).normal(size=shape)).correlated


def test_error_is_what_white_noise_scatters_by() -> None:
    found = [
        noise_correlation(np.random.default_rng(seed).normal(size=(128, 128)))
        for seed in range(50)
    ]
    scatter = np.std([each.horizontal for each in found])
    assert found[0].error / 2 < scatter < found[0].error * 1.3


def test_direction_is_told() -> None:
    noise = np.random.default_rng(0).normal(size=(512, 512))
    across = noise_correlation(noise + np.roll(noise, 1, axis=1))
    down = noise_correlation(noise + np.roll(noise, 1, axis=0))
    skipping = noise_correlation(noise + np.roll(noise, 2, axis=0))
    assert across.strongest == across.horizontal > 0.4 > 0.1 > abs(across.vertical)
    assert down.strongest == down.vertical > 0.4 > 0.1 > abs(down.horizontal)
    assert skipping.strongest == skipping.two_down > 0.4 > 0.1 > abs(skipping.vertical)


def test_gain_and_offset_do_not_matter() -> None:
    image = taken(light(20.0))
    moved = noise_correlation(image * 8 - 3e4)
    np.testing.assert_allclose(astuple(moved), astuple(noise_correlation(image)), atol=1e-6)


def test_sharpening_shows() -> None:
    noise = np.random.default_rng(0).normal(size=(512, 512))
    found = noise_correlation(noise - laplace(noise))
    assert found.correlated
    assert found.strongest < 0
    assert "sharpened" in found.remark()


def test_structure_in_a_residual_shows() -> None:
    image, scene = taken(light(100.0)), 2.0 * light(100.0) + 100
    assert not residual_whiteness(image - scene).correlated
    assert residual_whiteness(image - gaussian_filter(scene, 3)).horizontal > 0.1


def test_noise_left_in_shows() -> None:
    noise = np.random.default_rng(0).normal(size=(256, 256))
    found = residual_whiteness(noise - uniform_filter(noise, 3))
    assert found.strongest < -0.1
    assert "left in the result" in found.residual_remark()


def test_what_is_not_finite_is_left_out() -> None:
    noise = np.random.default_rng(0).normal(size=(512, 512))
    noise[100:120, 200] = np.nan
    noise[300, 300] = np.inf
    assert not noise_correlation(noise).correlated
    assert not residual_whiteness(noise).correlated


def test_a_constant_residual_is_white() -> None:
    assert correlations(residual_whiteness(np.full((32, 32), 0.1))) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((63, 64)), "64 pixels a side or more"),
        (np.zeros((2, 2, 64, 64)), "shape"),
        (np.zeros((0, 64, 64)), "shape"),
        (np.full((64, 64), np.nan), "no block"),
        (np.full((64, 64), 0.1), "no block"),
    ],
)
def test_images_that_cannot_tell_are_refused(image: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noise_correlation(image)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (np.zeros((15, 64)), "16 pixels a side or more"),
        (np.zeros((2, 64, 64)), "shape"),
        (np.full((64, 64), np.nan), "no block"),
    ],
)
def test_residuals_that_cannot_tell_are_refused(residual: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        residual_whiteness(residual)


@pytest.mark.skipif("NAPARI_NOISER_DATA" not in os.environ, reason="NAPARI_NOISER_DATA is not set")
def test_raw_microscopy_is_white() -> None:
    for path in sorted(Path(os.environ["NAPARI_NOISER_DATA"], "w2s/avg1").glob("*.tif")):
        frame = imread(path)
        assert not noise_correlation(frame).correlated
        assert noise_correlation(gaussian_filter(frame.astype(float), 0.7)).correlated
