"""Exposed signals have the noise of their photons; unexposed ones are left alone."""

import pytest
import torch

from napari_noiser.methods.noiser.exposure import NoExposure, PhotonNoise
from napari_noiser.methods.noiser.recipe import part_from_dict

PLAIN = {"floor_share": 0, "stabilized_share": 0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def steps(images=1, side=256):
    """Return signals of two levels: a quarter of full light on the left, full on the right."""
    signal = torch.full((images, 1, side, side), -0.5)
    signal[..., side // 2 :] = 1.0
    return signal


def test_unexposed_signals_are_the_same():
    signal = steps()
    seen, wanted = NoExposure().expose(signal, generator())
    assert seen is signal
    assert wanted is signal


def test_counts_have_the_light_as_their_mean_in_the_dark_and_in_the_bright():
    clean = PhotonNoise(photons=(20, 20), read_share=0, **PLAIN)
    seen, light = clean.expose(steps(), generator())
    assert float(seen.mean()) == pytest.approx(0, abs=1e-5)
    assert float(seen.square().mean()) == pytest.approx(1, abs=1e-3)
    dark, bright = (seen - light).split(128, dim=3)
    assert float(dark.mean()) == pytest.approx(0, abs=0.02)
    assert float(bright.mean()) == pytest.approx(0, abs=0.02)
    assert float(bright.var()) > 1.5 * float(dark.var())


@pytest.mark.parametrize("photons", [1.0, 25.0, 400.0])
def test_photon_noise_is_the_root_of_the_light(photons):
    flat = torch.zeros((1, 1, 300, 300))
    flat[..., 0, 0] = -1.0  # black, so that no pedestal is taken off
    exposure = PhotonNoise(photons=(photons, photons), read_share=0, **PLAIN)
    seen, light = exposure.expose(flat, generator())
    # Nearly all of the variance is noise: 1 in these units is sqrt(photons) electrons.
    step = float(light[..., 1, 1] - light[..., 0, 0])
    assert step == pytest.approx(photons**0.5, rel=0.02)
    assert float(seen.std()) == pytest.approx(1, abs=1e-3)


def test_read_noise_comes_on_top():
    flat = torch.zeros((1, 1, 300, 300))
    flat[..., 0, 0] = -1.0
    exposure = PhotonNoise(photons=(25, 25), read_noise=(2, 2), read_share=1, **PLAIN)
    _, light = exposure.expose(flat, generator())
    step = float(light[..., 1, 1] - light[..., 0, 0])
    assert step == pytest.approx((25 / (1 + 4)) ** 0.5, rel=0.03)


def test_stabilized_counts_have_the_same_noise_in_the_dark_and_in_the_bright():
    exposure = PhotonNoise(photons=(20, 20), read_share=0, floor_share=0, stabilized_share=1)
    seen, light = exposure.expose(steps(), generator())
    dark, bright = (seen - light).split(128, dim=3)
    assert float(dark.mean()) == pytest.approx(0, abs=0.02)
    assert float(bright.mean()) == pytest.approx(0, abs=0.02)
    assert float(bright.var()) == pytest.approx(float(dark.var()), rel=0.05)


def test_resampled_counts_have_noise_in_common_with_their_neighbors():
    flat = torch.zeros((4, 1, 200, 200))
    plain = {"photons": (50, 50), "stabilized_share": 0, "floor_share": 0}
    for share, alike in ((0, False), (1, True)):
        seen, light = PhotonNoise(resampled_share=share, **plain).expose(flat, generator())
        noise = (seen - light)[0, 0]
        common = float((noise[:, 1:] * noise[:, :-1]).mean() / noise.square().mean())
        assert (common > 0.05) == alike


def test_a_floor_clips_dark_counts():
    exposure = PhotonNoise(photons=(2, 2), read_share=0, floor_share=1)
    seen, _ = exposure.expose(steps(images=20, side=32), generator())
    lowest = [float((image == image.min()).float().mean()) for image in seen]
    assert max(lowest) > 0.3


def test_each_image_has_a_level_of_its_own_and_comes_from_the_generator():
    signal = steps(images=8, side=32)
    seen, light = PhotonNoise().expose(signal, generator())
    noise = (seen - light).flatten(1).std(1)
    assert float(noise.max() / noise.min()) > 2
    again, _ = PhotonNoise().expose(signal, generator())
    assert torch.equal(seen, again)


def test_black_signals_stay_finite():
    seen, light = PhotonNoise().expose(torch.full((4, 3, 16, 16), -1.0), generator())
    assert bool(seen.isfinite().all())
    assert bool(light.isfinite().all())


@pytest.mark.parametrize("exposure", [NoExposure(), PhotonNoise(), PhotonNoise(photons=(1, 2))])
def test_exposure_survives_json(exposure):
    assert part_from_dict("exposure", exposure.to_dict()) == exposure


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "flash"}, "kind must be one of"),
        ({"kind": "photons", "color": 1}, "takes"),
        ({"kind": "photons", "photons": [5, 1]}, "photons"),
        ({"kind": "photons", "read_share": -1}, "read_share"),
    ],
)
def test_impossible_exposures_are_refused(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        part_from_dict("exposure", values)


def test_a_volume_is_one_exposure():
    signal = torch.full((3, 1, 3, 64, 64), -0.5)
    signal[:, :, 1] = 1.0  # a bright plane between dark ones stays one
    exposure = PhotonNoise(photons=(50, 50), read_share=0, resampled_share=0.5, **PLAIN)
    seen, light = exposure.expose(signal, generator())
    assert torch.allclose(seen.mean((1, 2, 3, 4)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(seen.square().mean((1, 2, 3, 4)), torch.ones(3), atol=1e-3)
    for image in light:
        dark, bright, dark_again = image[0].mean((1, 2))
        assert float(dark) == pytest.approx(float(dark_again), abs=1e-4)
        assert float(bright - dark) > 1.5
