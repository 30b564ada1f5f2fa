"""What stage 1 measures: its reference is bright, its statistics do not see the light."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from napari_noiser.methods.irle.retinex.perceptual_losses import (
    band_profile,
    patch_profiles,
    perceptual_loss,
    spectral_correlation_loss,
)
from napari_noiser.methods.irle.retinex.pseudo_target import (
    gaussian_blur,
    guided_filter,
    local_maximum,
    mean_filter,
    pseudo_target,
    white_balance,
)


def scene(samples=3, side=96, light=0.15, noise=0.0, seed=0):
    """Return a dark image, (1, C, Y, X): structure under light that falls off to one side."""
    random = np.random.default_rng(seed)
    rough = gaussian_filter(random.standard_normal((samples, side, side)), (0, 3, 3))
    structure = np.clip(0.5 + 0.2 * rough / rough.std(), 0, 1)
    image = structure * light * np.linspace(0.2, 1, side)
    image = np.clip(image + random.normal(0, noise, image.shape), 0, 1)
    return torch.from_numpy(image).float()[None]


@pytest.mark.parametrize("samples", [1, 3])
def test_the_reference_is_bright_and_in_range(samples):
    image = scene(samples)
    found = pseudo_target(image)
    assert found.shape == image.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.mean() > 4 * image.mean()


@given(seed=st.integers(0, 100), light=st.floats(0.01, 1))
def test_no_pixel_of_one_channel_is_darkened(seed, light):
    image = scene(1, 32, light, noise=0.01, seed=seed)
    assert (pseudo_target(image) >= image - 1e-6).all()


def test_light_that_falls_off_is_evened_out():
    image = scene(1, 128, 0.9)
    found = pseudo_target(image)
    before, after = (
        float(each[..., -32:].mean() / each[..., :32].mean()) for each in (image, found)
    )
    assert before > 2.5
    assert after < 1.8


def test_of_one_channel_the_background_is_not_taken_for_light():
    signal = scene(1) * torch.linspace(0, 1, 96)[:, None].clamp_min(0.3).sub(0.3)
    found, over = pseudo_target(signal + 0.3), pseudo_target(signal)
    assert torch.allclose(found - 0.3, over, atol=1e-3) or (found == 1).any()
    assert found.min() == pytest.approx(0.3, abs=0.01)


def test_a_color_cast_is_half_taken_out():
    image = scene(3).mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)
    cast = torch.tensor([1.3, 1.0, 0.8])[None, :, None, None]
    means = white_balance(image * cast).mean(dim=(0, 2, 3))
    assert torch.allclose(means / means[1], cast.flatten().sqrt(), atol=1e-3)


def test_one_channel_is_not_balanced():
    image = scene(1)
    assert torch.equal(white_balance(image), image)


def test_dark_shadows_lose_color():
    random = torch.Generator().manual_seed(0)
    for light, kept in ((0.02, False), (0.9, True)):
        image = light * torch.rand((1, 3, 64, 64), generator=random)
        found = pseudo_target(image)
        relative = (
            found.std(dim=1).mean() / found.mean() / (image.std(dim=1) / image.mean()).mean()
        )
        assert (relative > 0.9) == kept


def test_white_images_and_black_ones_stay():
    for level in (0.0, 1.0):
        image = torch.full((1, 3, 40, 40), level)
        assert torch.allclose(pseudo_target(image), image, atol=1e-5)


def test_a_local_maximum_spreads_four_pixels():
    image = torch.zeros(1, 3, 21, 21)
    image[0, 1, 10, 10] = 1
    expected = torch.zeros(1, 1, 21, 21)
    expected[..., 6:15, 6:15] = 1
    assert torch.equal(local_maximum(image), expected)


def test_means_at_the_border_are_of_the_pixels_that_there_are():
    image = torch.arange(30.0).reshape(1, 1, 5, 6)
    found = mean_filter(image, 2)
    assert found[0, 0, 0, 0] == pytest.approx(float(image[0, 0, :3, :3].mean()))
    assert found[0, 0, 2, 3] == pytest.approx(float(image[0, 0, :5, 1:6].mean()))


def test_a_guided_filter_keeps_the_edges_of_its_guide():
    guide = torch.zeros(1, 1, 40, 40)
    guide[..., 20:] = 1
    rough = guide + 0.1 * torch.randn(guide.shape, generator=torch.Generator().manual_seed(0))
    found = guided_filter(rough, guide, 5, 1e-3)
    assert (found - guide).abs().max() < 0.06
    assert torch.allclose(guided_filter(2 * guide + 1, guide, 5, 1e-9), 2 * guide + 1, atol=1e-4)


def test_a_blur_keeps_constants_and_reaches_three_sigma():
    assert torch.allclose(gaussian_blur(torch.full((1, 2, 9, 9), 3.0), 2), torch.tensor(3.0))
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    rows = gaussian_blur(point, 4)[0, 0].sum(dim=1).nonzero().flatten()
    assert (rows.min(), rows.max()) == (8, 32)


@given(
    gain=st.floats(1e-3, 1e3),
    shift=st.tuples(st.integers(0, 63), st.integers(0, 63)),
    seed=st.integers(0, 20),
)
def test_neither_a_gain_nor_a_circular_shift_changes_a_profile(gain, shift, seed):
    image = scene(1, 64, noise=0.01, seed=seed).double()
    profile = band_profile(image)
    assert profile.shape == (1, 8)
    assert torch.allclose(band_profile(gain * image), profile, atol=1e-6)
    assert torch.allclose(band_profile(image.roll(shift, (2, 3))), profile, atol=1e-6)


def test_a_gain_changes_a_profile_of_float32_by_a_millionth():
    image = scene(3, noise=0.01)
    for measure in (band_profile, patch_profiles):
        assert torch.allclose(measure(0.1 * image), measure(image), atol=5e-6)


def test_a_profile_is_a_z_score_that_noise_flattens():
    quiet, noisy = (band_profile(scene(1, noise=noise)) for noise in (0.0, 0.02))
    for each in (quiet, noisy):
        assert each.mean().abs() < 1e-6
        assert each.std(correction=0) == pytest.approx(1, abs=1e-3)
    assert (quiet - noisy).abs().max() > 0.05


def test_patches_see_neither_an_offset_nor_each_other():
    image = scene(1, 64)
    found = patch_profiles(image)
    assert found.shape == (1, 9, 8)
    assert torch.allclose(patch_profiles(image + 0.2), found, atol=1e-3)
    changed = image.clone()
    changed[..., 40:, 40:] = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    same = (patch_profiles(changed) - found).abs().amax(dim=2)[0] < 1e-6
    assert same.tolist() == [True] * 4 + [False] * 2 + [True] + [False] * 2


def test_spectral_loss_is_zero_for_one_structure_in_any_light():
    image = scene(3, 64)
    assert spectral_correlation_loss(image, 0.2 * image) < 1e-4
    assert spectral_correlation_loss(image, torch.rand(image.shape)) > 0.05


@given(gain=st.floats(0.01, 100), offset=st.floats(-1, 1))
def test_the_perceptual_loss_does_not_see_the_input_s_gain_or_offset(gain, offset):
    image, bright = scene(3, 48, 0.5).double(), scene(3, 48, 0.9).double().sqrt()
    expected = perceptual_loss(bright, image)
    assert torch.allclose(perceptual_loss(bright, gain * image + offset), expected, rtol=1e-4)


def test_the_perceptual_loss_sees_structure_that_is_gone():
    image = scene(1, 64, 0.5)
    kept, blurry = 0.2 + 0.7 * image, gaussian_blur(0.2 + 0.7 * image, 4)
    assert perceptual_loss(kept, image) < 0.1 * perceptual_loss(blurry, image)


@pytest.mark.parametrize("loss", [spectral_correlation_loss, perceptual_loss])
@pytest.mark.parametrize("kind", ["dark", "black", "constant"])
def test_losses_and_their_slopes_are_finite(loss, kind):
    image = {"dark": scene(3, 64), "black": torch.zeros(1, 3, 64, 64)}.get(
        kind, torch.full((1, 3, 64, 64), 0.25)
    )
    for start in (image, torch.zeros_like(image), functional.avg_pool2d(image, 3, 1, 1)):
        bright = start.clone().requires_grad_(True)
        found = loss(bright, image)
        found.backward()
        assert found.isfinite()
        assert bright.grad.isfinite().all()
