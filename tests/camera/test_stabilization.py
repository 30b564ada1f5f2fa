"""Noise of the same variance at every brightness, and the way back without a bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize, stabilized_mean, unstabilize

CAMERA = CameraNoise(gain=2.2, offset=100.0, read_noise=1.6)


def counts(electrons: float) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    light = random.poisson(electrons, 400_000) + CAMERA.read_noise * random.normal(size=400_000)
    return CAMERA.gain * light + CAMERA.offset


@pytest.mark.parametrize("electrons", [5.0, 20.0, 90.0, 3000.0])
def test_variance_becomes_one(electrons: float) -> None:
    assert stabilize(counts(electrons), CAMERA).std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("electrons", [1.0, 2.0, 5.0, 20.0, 90.0, 3000.0])
def test_mean_comes_back_where_the_algebraic_inverse_is_too_dark(electrons: float) -> None:
    mean = stabilize(counts(electrons), CAMERA).mean()
    back = (unstabilize(mean, CAMERA) - CAMERA.offset) / CAMERA.gain
    assert back == pytest.approx(electrons, rel=0.01, abs=0.05)
    assert mean**2 / 4 - 3 / 8 - CAMERA.read_noise**2 < back - 0.15


@pytest.mark.parametrize("electrons", [1.0, 5.0, 90.0, 3000.0])
def test_the_mean_of_stabilized_counts_is_foreseen(electrons: float) -> None:
    light = CAMERA.gain * electrons + CAMERA.offset
    foreseen = float(stabilized_mean(light, CAMERA))
    assert foreseen == pytest.approx(stabilize(counts(electrons), CAMERA).mean(), abs=0.02)
    assert unstabilize(foreseen, CAMERA) == pytest.approx(light, rel=1e-4)


def test_dark_counts_are_not_the_root_of_a_negative() -> None:
    assert stabilize(-1e6, CAMERA) == 0
    assert np.isfinite(unstabilize(0.0, CAMERA))


@pytest.mark.parametrize("function", [stabilize, unstabilize])
@pytest.mark.parametrize("noise", [None, "auto", 2.0, (2.2, 100, 1.6)])
def test_what_is_no_camera_noise_is_refused(function: Any, noise: Any) -> None:
    with pytest.raises(TypeError, match="noise must be a CameraNoise, got"):
        function(np.ones((4, 4)), noise)
