"""Fitting to noisy images alone: it learns, ends as its seed says, resumes, and refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import NOISE, QUICK, counts, drained, light

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.irle.fitting import fit_blind_spot_steps
from napari_noiser.irle.model import load_blind_spot
from napari_noiser.irle.render import denoise_steps, open_rendering
from napari_noiser.irle.state import load_fitting_state


def fit(images, recipe=QUICK, **given):
    """Return the events and the model of a fit on the CPU, with one thread."""
    return drained(fit_blind_spot_steps(images, recipe=recipe, device="cpu", **given))


@pytest.fixture(scope="module")
def image():
    return counts(light())


@pytest.fixture(scope="module")
def fitted(image):
    recipe = replace(QUICK, iterations=150, spacing=2, width=12)
    return fit([image], recipe)[1]


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_noise_is_taken_off(image, fitted):
    truth = NOISE.gain * light() + NOISE.offset
    _, found = drained(denoise_steps(fitted, image, device="cpu"))
    assert found.dtype == np.float32
    assert rms(found - truth) < 0.35 * rms(image - truth)


def test_where_the_surroundings_say_little_the_pixel_itself_helps():
    truth = np.random.default_rng(0).uniform(0, 8, (256, 256))
    image = counts(truth)
    recipe = replace(QUICK, iterations=60, spacing=2)
    model = fit([image], recipe, noise=NOISE)[1]
    rendering = open_rendering(model, image, noise=NOISE, device="cpu")
    window = (0, slice(0, 256), slice(0, 256))
    blind = rms(rendering.blind(*window).light[0, 0].numpy() - truth)
    own = rms((image - NOISE.offset) / NOISE.gain - truth)
    both = rms((rendering.light(*window) - NOISE.offset) / NOISE.gain - truth)
    assert both < 0.9 * min(blind, own)


def test_light_has_no_bias_at_few_photons():
    image = counts(light() / 10, noise=CameraNoise(3.0, 50.0))
    recipe = replace(QUICK, iterations=100, spacing=2)
    model = fit([image], recipe, noise=CameraNoise(3.0, 50.0))[1]
    _, found = drained(denoise_steps(model, image, noise=CameraNoise(3.0, 50.0), device="cpu"))
    assert found.mean() - 50 == pytest.approx(image.mean() - 50, rel=0.05)


def test_another_image_of_the_same_camera_is_denoised_too(fitted):
    truth = NOISE.gain * light(seed=9) + NOISE.offset
    image = counts(light(seed=9), seed=10)
    _, found = drained(denoise_steps(fitted, image, noise=NOISE, device="cpu"))
    assert rms(found - truth) < 0.4 * rms(image - truth)


def test_events_count_up(image):
    events, model = fit([image])
    assert [(e.done, e.total, e.stage) for e in events] == [(n, 3, "fit") for n in (1, 2, 3)]
    assert model.losses == pytest.approx([e.loss for e in events], rel=1e-4)


def test_same_seed_same_model(image):
    first, again, other = (fit([image], seed=seed)[1] for seed in (7, 7, 8))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("stop", [1, 2])
def test_a_fit_resumed_ends_as_one_never_stopped(tmp_path, image, stop):
    whole = fit([image])[1]
    steps = fit_blind_spot_steps([image], recipe=QUICK, device="cpu")
    for _ in range(stop):
        event = next(steps)
    path = event.state().save(tmp_path / "state")
    steps.close()
    events, model = fit([image], resume=load_fitting_state(path))
    assert [each.done for each in events] == list(range(stop + 1, 4))
    assert model.fingerprint == whole.fingerprint
    assert model.losses == whole.losses


def test_a_state_of_another_fit_is_refused(image):
    state = next(fit_blind_spot_steps([image], recipe=QUICK, device="cpu")).state()
    for changed in ({"seed": 1}, {"recipe": replace(QUICK, width=9)}, {"noise": NOISE}):
        with pytest.raises(ValueError, match="resume is of another fit"):
            fit([image], **{"resume": state, **changed})


def test_a_model_is_no_state(tmp_path, image):
    path = fit([image])[1].save(tmp_path / "model")
    with pytest.raises(ValueError, match="not an unfinished fit"):
        load_fitting_state(path)


def test_a_fit_that_breaks_down_says_so(image):
    with pytest.raises(ValueError, match=r"broke down at step \d+: lower recipe.learning_rate"):
        fit([image], replace(QUICK, learning_rate=1e30, iterations=30))


class Slices:
    """An array that can only be sliced, and remembers how much was ever read at once."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, window):
        self.most = max(self.most, self.array[window].size)
        return self.array[window]


def test_large_arrays_are_never_read_whole():
    images = [Slices(counts(light((3, 1100, 700)))), Slices(counts(light((300, 320))))]
    fit(images, neighbours=0)
    assert images[0].most <= 512 * 512
    images = images[:1]
    fit(images, neighbours=1)
    assert images[0].most <= 512 * 512


def test_a_given_gain_map_is_used_and_must_be_given_again(image):
    gain = 1 / np.linspace(0.2, 1, 256)[None].repeat(256, 0)
    model = fit([image], gain=[gain], recipe=replace(QUICK, iterations=20))[1]
    with pytest.raises(ValueError, match="fitted with gain maps"):
        open_rendering(model, image, device="cpu")
    _, found = drained(denoise_steps(model, image, gain=gain, device="cpu"))
    _, other = drained(denoise_steps(model, image, gain=gain[:, ::-1], device="cpu"))
    assert np.abs(found - other).max() > 0.01


def test_colours_are_fitted_together():
    image = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    model = fit([image], channels=3)[1]
    _, found = drained(denoise_steps(model, image, device="cpu"))
    assert found.shape == image.shape
    with pytest.raises(ValueError, match="model is for 3 channels"):
        open_rendering(model, image[..., 0], device="cpu")


def test_a_model_of_one_channel_refuses_colours(fitted):
    with pytest.raises(ValueError, match=r"image must be an array of shape \(Y, X\)"):
        open_rendering(fitted, np.zeros((2, 100, 100, 3)), device="cpu")


GOOD = counts(light())
BAD = GOOD.copy()
BAD[100:, 100:] = np.nan
FADING = np.random.default_rng(0).normal(np.arange(256.0), np.linspace(9, 1, 256), (256, 256))


@pytest.mark.parametrize(
    ("images", "given", "message"),
    [
        ([], {}, "images must hold at least one"),
        ([GOOD[:60]], {}, r"images\[0\] has too few pixels: 64 a side"),
        ([GOOD[:100, :100]], {}, "images have too few pixels: 65536"),
        ([GOOD, np.full((256, 256), 7)], {}, r"images\[1\] is constant"),
        ([GOOD, BAD], {}, r"images\[1\] must be finite"),
        ([GOOD[0]], {}, r"images\[0\] must be an array of shape"),
        ([GOOD], {"channels": 3}, r"images\[0\] must be an array of shape .* 3 samples last"),
        ([GOOD], {"neighbours": 1}, "must have more than 1 frames"),
        ([GOOD], {"gain": []}, "gain must be one an image, 1; got 0"),
        ([GOOD], {"gain": [np.ones((9, 9))]}, r"the gain of images\[0\] must be of shape"),
        ([GOOD], {"gain": [np.zeros((256, 256))]}, "gain must be finite and above 0"),
        ([GOOD], {"noise": [NOISE, NOISE]}, "noise must be one an image"),
        ([FADING], {}, r"the noise of images\[0\] cannot be told"),
    ],
)
def test_what_cannot_be_fitted_to_is_refused_at_once(images, given, message):
    with pytest.raises(ValueError, match=message):
        fit_blind_spot_steps(images, recipe=QUICK, device="cpu", **given)


def test_noise_of_one_variance_is_denoised_when_it_is_given():
    """A camera of many electrons a count is one whose noise does not depend on the light."""
    truth = light()
    image = truth + np.random.default_rng(0).normal(0, 5, truth.shape)
    flat = CameraNoise(1e-3, 0.0, 5e3)
    recipe = replace(QUICK, iterations=100, spacing=2)
    model = fit([image], recipe, noise=flat)[1]
    _, found = drained(denoise_steps(model, image, noise=flat, device="cpu"))
    assert rms(found - truth) < 0.4 * 5


def test_a_fitted_model_survives_its_file(tmp_path, fitted, image):
    again = load_blind_spot(fitted.save(tmp_path / "mine"))
    assert again.describe() == fitted.describe()
    assert again.losses == fitted.losses
    window = (0, slice(0, 80), slice(0, 80))
    lights = [open_rendering(m, image, device="cpu").light(*window) for m in (fitted, again)]
    assert np.array_equal(*lights)
    assert all(torch.equal(again.weights[name], value) for name, value in fitted.weights.items())
