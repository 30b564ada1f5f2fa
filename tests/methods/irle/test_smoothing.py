"""Stage 1 of noisy images: light is looked for where noise does not reach."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_retinex_model import QUICK, fit, untrained
from test_retinex_statistics import scene

from napari_noiser.camera.noise_variance import noise_power
from napari_noiser.methods.irle.retinex.model import RetinexModel
from napari_noiser.methods.irle.retinex.pseudo_target import gaussian_blur
from napari_noiser.methods.irle.retinex.training import smoothing_sigma
from napari_noiser.methods.registry import load_model


def noisy(light, sd, seed=0):
    """Return light with noise of a standard deviation."""
    random = torch.Generator().manual_seed(seed)
    return light + sd * torch.randn(light.shape, generator=random)


@pytest.mark.parametrize("sd", [0.01, 0.3])
def test_noise_is_told_from_light(sd):
    light = 0.3 + 0.4 * scene(3, 256)
    power = noise_power(noisy(light, sd).double().numpy())
    assert np.sqrt(power.mean(axis=(0, 2, 3))) == pytest.approx([sd] * 3, rel=0.05)


@settings(max_examples=15)
@given(st.floats(0.04, 0.2))
def test_two_per_cent_of_noise_are_left(sd):
    calm = gaussian_blur(
        noisy(torch.zeros(1, 1, 512, 512), sd),
        smoothing_sigma(noisy(torch.zeros(1, 1, 256, 256), sd)),
    )
    assert float(calm.std()) == pytest.approx(0.02, rel=0.1)


def test_a_calm_image_is_left_alone_and_no_image_is_smeared():
    assert smoothing_sigma(scene(1, 256, noise=0.01)) == 0
    assert smoothing_sigma(noisy(torch.zeros(1, 1, 128, 128), 10.0)) == 3


def test_illumination_is_the_light_and_not_the_brightest_noise():
    light = torch.full((1, 1, 128, 128), 0.3)
    seen, plain = noisy(light, 0.1), untrained()
    neutral = {name: torch.zeros_like(each) for name, each in plain.weights.items()}
    models = [
        RetinexModel(QUICK, 1, 2, 0, neutral, black=0.0, white=1.0, smoothing=each)
        for each in (0.0, smoothing_sigma(seen))
    ]
    misled, calm = (float(model.decompose(seen)[0].mean()) for model in models)
    assert misled > 0.5
    assert calm == pytest.approx(0.3, abs=0.05)


def test_a_fit_calms_as_its_images_need_and_a_file_remembers(tmp_path):
    _, quiet = fit(scene(1, 128, 0.5))
    _, model = fit(noisy(scene(1, 128, 0.5), 0.1).clamp(0, 1))
    assert quiet.smoothing == 0
    assert model.smoothing == pytest.approx(1.4, rel=0.1)
    assert model.describe()["smoothing"] == model.smoothing
    again = load_model(model.save(tmp_path / "calm"))
    assert again.smoothing == model.smoothing
    image = noisy(scene(1, 70), 0.1)
    for found, expected in zip(again.decompose(image), model.decompose(image), strict=True):
        assert torch.equal(found, expected)


def test_files_of_before_calmed_nothing():
    header = untrained().header()
    del header["smoothing"]
    assert RetinexModel.from_header(header, untrained().weights).smoothing == 0


def test_smoothing_is_checked():
    with pytest.raises(ValueError, match="smoothing"):
        replace(untrained(), smoothing=-1.0)
    with pytest.raises(ValueError, match="smoothing"):
        replace(untrained(), smoothing=np.nan)
