"""A camera's noise, found in what it took."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noiser.camera.noise_model import CameraNoise, constant_noise, estimate_noise
from napari_noiser.camera.stabilization import stabilize, unstabilize

TRUE = CameraNoise(gain=2.2, offset=100.0, read_noise=1.6)


def scene(photons: float, side: int = 256) -> NDArray[np.float64]:
    """Return smooth structure of all brightnesses, with a mean number of photons."""
    rough = np.exp(gaussian_filter(np.random.default_rng(1).normal(size=(side, side)), 9) * 20)
    return rough / rough.mean() * photons


def frames(
    light: NDArray[np.float64], count: int, camera: CameraNoise = TRUE
) -> NDArray[np.float64]:
    """Return what a camera takes of a scene that stands still."""
    random = np.random.default_rng(2)
    electrons = random.poisson(light, (count, *light.shape))
    read = camera.read_noise * random.normal(size=electrons.shape)
    return camera.gain * (electrons + read) + camera.offset


@pytest.mark.parametrize("photons", [3, 30])
@pytest.mark.parametrize(("count", "tolerance"), [(1, 0.15), (6, 0.06)])
def test_gain_and_variance_are_found(photons: float, count: int, tolerance: float) -> None:
    found = estimate_noise(frames(scene(photons), count), offset=TRUE.offset)
    assert found.gain == pytest.approx(TRUE.gain, rel=tolerance)
    bright = TRUE.offset + TRUE.gain * photons * np.array([1.0, 3.0])
    np.testing.assert_allclose(found.variance(bright), TRUE.variance(bright), rtol=tolerance)


def test_read_noise_is_found_where_the_offset_is_known() -> None:
    camera = CameraNoise(gain=0.5, offset=300.0, read_noise=6.0)
    found = estimate_noise(frames(scene(20), 8, camera), offset=300.0)
    assert found.read_noise == pytest.approx(6.0, rel=0.1)


def test_variance_is_the_same_whatever_the_offset_is_taken_for() -> None:
    taken = frames(scene(10), 4)
    levels = np.array([110.0, 130.0, 180.0])
    known, unknown = estimate_noise(taken, offset=99.0), estimate_noise(taken)
    np.testing.assert_allclose(unknown.variance(levels), known.variance(levels), rtol=1e-6)
    assert unknown.read_noise == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (64, 300), (2, 64, 64)])
def test_the_smallest_images_are_taken(shape: tuple[int, ...]) -> None:
    light = np.linspace(5, 100, shape[-1]) + np.zeros(shape)
    taken = np.random.default_rng(0).poisson(light)
    assert estimate_noise(taken).gain == pytest.approx(1, rel=0.5)


def test_structure_does_not_count_between_frames() -> None:
    stripes = np.where(np.arange(256) % 2, 5.0, 50.0) * np.linspace(0.2, 2, 256)[:, None]
    found = estimate_noise(frames(stripes, 8), offset=100.0)
    assert found.gain == pytest.approx(TRUE.gain, rel=0.1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((63, 64)), "64 pixels a side or more"),
        (np.zeros((2, 2, 64, 64)), "shape"),
        (np.full((64, 64), np.nan), "finite"),
        (np.full((64, 64), 5.0), "give the noise"),
    ],
)
def test_what_cannot_tell_is_refused(image: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_noise(image)


@pytest.mark.parametrize("values", [{"gain": 0}, {"gain": 1, "read_noise": -1}, {"gain": np.nan}])
def test_impossible_cameras_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"gain|read_noise"):
        CameraNoise(**values)


@given(st.floats(0.01, 100), st.floats(-1e3, 1e3), st.floats(1, 1e4))
def test_even_noise_is_the_same_at_any_light(deviation: float, low: float, span: float) -> None:
    found = constant_noise(deviation, low, low + span)
    light = np.linspace(low, low + span, 9)
    np.testing.assert_allclose(found.variance(light), deviation**2, rtol=0.0101)
    np.testing.assert_allclose(unstabilize(stabilize(light, found), found), light, atol=deviation)
