"""What enhance computes is the network, written plainly, on the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.compare import assert_same, largest_difference
from helpers.plain_srm import plain_srm
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser import RECIPES, closed_form, enhance, load_model, train
from napari_noiser.methods.noiser.recipe import BUNDLED
from napari_noiser.recipes import Recipe

GRAY, RGB, VOLUME = (
    load_model("noiser", samples=samples, ndim=ndim) for samples, ndim in ((1, 2), (3, 2), (1, 3))
)


PAPERS = [form for form in BUNDLED if not RECIPES[form[0]].is_denoiser]


@pytest.mark.parametrize(("name", "samples", "ndim"), PAPERS)
def test_every_bundled_model_of_the_paper(name: str, samples: int, ndim: int) -> None:
    model = load_model(name, samples=samples, ndim=ndim)
    image = scene((samples, *((61, 70) if ndim == 2 else (9, 20, 23))))
    spatial = "YX" if ndim == 2 else "ZYX"
    found = enhance(image, model, axes="S" + spatial, ndim=ndim, device="cpu")
    assert found.dtype == np.float32
    assert largest_difference(found, plain_srm(image[None], model)[0]) < 1e-5


def test_a_name_takes_the_bundle_for_samples_and_ndim() -> None:
    image = scene((3, 20, 22))
    assert_same(enhance(image, "noiser", axes="SYX"), enhance(image, RGB, axes="SYX"))
    assert_same(enhance(image, "noiser", ndim=3), enhance(image, VOLUME, ndim=3))
    assert_same(enhance(image, "noiser"), enhance(image, GRAY))
    assert_same(enhance(image, "noiser"), enhance(image, "noiser"))


def test_a_saved_model_renders_the_same(tmp_path) -> None:
    image = scene((20, 22))
    path = GRAY.save(tmp_path / "mine")
    for model in (path, str(path)):
        assert_same(enhance(image, model), enhance(image, GRAY))


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 40), (40, 1), (2, 2), (3, 5)])
def test_images_smaller_than_the_kernels(shape: tuple[int, int]) -> None:
    image = scene(shape)
    image[0, 0] += 1
    assert (
        largest_difference(enhance(image, GRAY), plain_srm(image[None, None], GRAY)[0, 0]) < 1e-5
    )


def test_a_volume_of_one_plane() -> None:
    image = scene((1, 14, 15))
    assert (
        largest_difference(
            enhance(image, VOLUME, ndim=3), plain_srm(image[None, None], VOLUME)[0, 0]
        )
        < 1e-5
    )


def test_another_width_and_a_model_of_two_dozen_steps() -> None:
    model = train(Recipe(name="own", iterations=24, width=5), device="cpu")
    image = scene((33, 34))
    assert (
        largest_difference(enhance(image, model), plain_srm(image[None, None], model)[0, 0]) < 1e-5
    )


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0.01, 5))
def test_brightness_and_contrast_act_on_the_response_before_tanh(
    brightness: float, contrast: float
) -> None:
    image = scene((30, 31))
    plain = np.clip(plain_srm(image[None, None], GRAY)[0, 0], 1e-12, 1 - 1e-12)
    response = np.arctanh(2 * plain - 1)
    expected = (np.tanh(contrast * response + brightness) + 1) / 2
    found = enhance(image, GRAY, brightness=brightness, contrast=contrast)
    assert largest_difference(found, expected) < 2e-5
    assert 0 <= found.min() <= found.max() <= 1


def test_whole_numbers_serve_as_brightness_and_contrast() -> None:
    image = scene((20, 21))
    assert_same(
        enhance(image, "noiser", brightness=1, contrast=np.float32(2)),
        enhance(image, "noiser", brightness=1.0, contrast=2.0),
    )


@pytest.mark.parametrize("shape", [(270, 301), (50, 47), (1, 9), (2, 2)])
@pytest.mark.parametrize("offset", [0.0, 30000.0])
def test_the_closed_form_is_a_standardized_box_mean(shape: tuple[int, int], offset: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = scene(shape) + offset
    image[0, 0] += 1
    smooth = ndimage.uniform_filter(image - offset, 3, mode="nearest")
    standard = (smooth - smooth.mean()) / smooth.std()
    expected = (np.tanh(50 / 127.5 * standard) + 1) / 2
    assert largest_difference(closed_form(image), expected) < 1e-5


def test_the_closed_form_takes_samples_channels_and_planes_one_by_one() -> None:
    image = scene((3, 4, 30, 31)) * np.array([1, 50, 1000]).reshape(3, 1, 1, 1)
    color = image[:, 0]
    found = closed_form(color, axes="SYX")
    for sample in range(3):
        assert largest_difference(found[sample], closed_form(color[sample])) < 1e-6
    n_channels = closed_form(image, axes="CZYX")
    for channel in range(3):
        assert largest_difference(n_channels[channel], closed_form(image[channel])) < 1e-6
    planes = closed_form(image[0], statistics="plane")
    for z in range(4):
        assert largest_difference(planes[z], closed_form(image[0, z])) < 1e-6
    assert largest_difference(planes, n_channels[0]) > 0.01
