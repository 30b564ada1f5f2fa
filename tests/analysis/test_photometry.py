"""A report on light finds flux that is gone, a bent scale, structure in the residual."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noiser.analysis.photometry import report
from napari_noiser.camera.noise_model import CameraNoise

CAMERA = CameraNoise(gain=2.0, offset=100.0, read_noise=1.0)


def exposed(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a camera sees, and the light."""
    random = np.random.default_rng(0)
    rough = gaussian_filter(random.normal(size=shape), [0] * (len(shape) - 2) + [9, 9])
    light = 60 * np.exp(2 * rough / rough.std())
    electrons = random.poisson(light) + random.normal(0, CAMERA.read_noise, shape)
    return CAMERA.gain * electrons + CAMERA.offset, CAMERA.gain * light + CAMERA.offset


def test_perfect_light() -> None:
    raw, light = exposed(256, 256)
    found = report(raw, light, camera=CAMERA)
    assert found.flux == pytest.approx(1, abs=0.01)
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.correlation == pytest.approx(0, abs=0.05)
    assert found.taken == pytest.approx(1, abs=0.02)
    assert "white" in found.remark()
    assert dumps(asdict(found))


def test_light_that_is_gone() -> None:
    raw, light = exposed(256, 256)
    dark = np.quantile(raw, 0.02)
    assert report(raw, dark + 0.9 * (light - dark)).flux == pytest.approx(0.9, abs=0.01)


def test_a_scale_that_is_bent() -> None:
    raw, light = exposed(256, 256)
    bent = CAMERA.offset + 10 * (light - CAMERA.offset) ** 0.5
    assert report(raw, bent).slope == pytest.approx(0.5, abs=0.1)


def test_structure_that_went_with_the_noise() -> None:
    raw, light = exposed(256, 256)
    found = report(raw, gaussian_filter(light, 12), camera=CAMERA)
    assert found.correlation > 0.3
    assert found.taken > 1.2
    assert "not white" in found.remark()


def test_noise_that_was_left() -> None:
    raw, light = exposed(256, 256)
    found = report(raw, (raw + light) / 2, camera=CAMERA)
    assert found.taken == pytest.approx(0.5, abs=0.02)


def test_channels_have_cameras_of_their_own() -> None:
    raw, light = exposed(2, 128, 128)
    other = CameraNoise(gain=200.0, offset=10_000.0, read_noise=1.0)
    raw[1], light[1] = 100 * raw[1], 100 * light[1]
    found = report(raw, light, axes="CYX", camera=[CAMERA, other])
    assert found.taken == pytest.approx(1, abs=0.03)
    assert report(raw, light, axes="CYX", camera=[CAMERA, None]).taken is None


def test_lazy_arrays_give_the_same() -> None:
    raw, light = exposed(3, 128, 128)
    lazy = [da.from_array(each, chunks=(1, 128, 128)) for each in (raw, light)]
    one, other = report(raw, light, camera=CAMERA), report(*lazy, camera=CAMERA)
    assert asdict(one) == pytest.approx(asdict(other), rel=1e-2, abs=1e-2)


def test_what_is_not_finite_is_left_out() -> None:
    raw, light = exposed(128, 128)
    raw[5, 5], light[60, 60] = np.nan, np.inf
    found = report(raw, light, camera=CAMERA)
    assert found.taken == pytest.approx(1, abs=0.03)


def test_nothing_to_compare() -> None:
    flat = np.full((9, 9), 4.0)
    found = report(flat, flat)
    assert (found.flux, found.slope, found.correlation, found.taken) == (None,) * 4
    assert "nothing to be compared" in found.remark()


def test_shapes_have_to_fit() -> None:
    with pytest.raises(TypeError, match="result must hold integers or floats, got bool"):
        report(np.ones((9, 9)), np.ones((9, 9), bool))
    with pytest.raises(ValueError, match="result must have the shape of raw"):
        report(np.zeros((9, 9)), np.zeros((9, 8)))
