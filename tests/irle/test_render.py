"""Tiled equals whole, for any shape and tile; and how much the gain map leaks is bounded."""

import numpy as np
import pytest
import torch
from alike import assert_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import NOISE, counts, drained, light
from test_blind import gain_map, untrained

from napari_noiser.irle.gain import low_passed_log_gain
from napari_noiser.irle.images import Image
from napari_noiser.irle.light import BlindEstimate, with_own_pixel
from napari_noiser.irle.model import BlindSpotModel
from napari_noiser.irle.render import denoise_steps, open_rendering


def own_gain(model):
    """Return the same model, as if fitted without given gain maps."""
    return BlindSpotModel(**{**vars(model), "gain_given": False})


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(st.integers(64, 150), st.integers(64, 150)),
    st.integers(20, 160),
    st.sampled_from([2, 3, 4]),
    st.booleans(),
)
def test_tiled_equals_whole(shape, tile, spacing, given_gain):
    model = untrained(spacing=spacing, scales=(8,))
    image = counts(light(shape))
    gain = gain_map(shape) if given_gain else None
    model = model if given_gain else own_gain(model)
    options = {"noise": NOISE, "gain": gain, "device": "cpu"}
    _, whole = drained(denoise_steps(model, image, tile=512, **options))
    events, tiled = drained(denoise_steps(model, image, tile=tile, **options))
    assert len(events) == events[-1].total == np.prod([-(-n // tile) for n in shape])
    np.testing.assert_allclose(tiled, whole, rtol=2e-5, atol=1e-4 * NOISE.gain)


def test_series_and_colours_go_frame_by_frame_into_a_given_array():
    model = own_gain(untrained(channels=2, neighbours=1, spacing=2, scales=()))
    image = counts(light((3, 70, 80))[..., None].repeat(2, -1))
    out = np.zeros(image.shape)
    _, found = drained(denoise_steps(model, image, noise=NOISE, tile=64, out=out, device="cpu"))
    assert found is out
    assert (np.ptp(out, axis=(1, 2)) > 0).all()
    window = open_rendering(model, image, noise=NOISE, device="cpu")
    part = window.light(1, slice(10, 40), slice(5, 33))
    assert_alike(out[1, 10:40, 5:33], part)


def test_an_array_of_another_shape_is_not_filled():
    model = own_gain(untrained(scales=()))
    with pytest.raises(ValueError, match="out must be of shape"):
        denoise_steps(model, counts(light((70, 80))), noise=NOISE, out=np.zeros((2, 2)))


def test_the_images_own_gain_map_knows_a_pixel_by_one_part_in_256_blocks():
    electrons = torch.full((1, 1, 64, 64), 5.0)
    changed = electrons.clone()
    changed[..., 40, 40] += 5
    moved = (low_passed_log_gain(changed) - low_passed_log_gain(electrons)).abs()
    assert 0 < moved.max() <= 1 / 256


def test_gain_is_log_of_the_inverse_of_light():
    log_gain = low_passed_log_gain(torch.full((1, 3, 32, 32), 4.0))
    assert torch.allclose(log_gain, torch.tensor(0.25).log())


def test_own_pixel_is_weighed_by_what_the_surroundings_leave_open():
    light_, electrons = torch.tensor(4.0), torch.tensor(8.0)
    open_, half, closed = (
        float(with_own_pixel(BlindEstimate(light_, torch.tensor(v), torch.tensor(4.0)), electrons))
        for v in (1e9, 4.0, 0.0)
    )
    assert open_ == pytest.approx(8)
    assert half == pytest.approx(6)
    assert closed == pytest.approx(4)


def test_stored_takes_electrons_back():
    counted = counts(light((70, 80)))
    image = Image.of(counted, 1, NOISE, None, "image")
    electrons = image.electrons([0], slice(0, 70), slice(0, 80))
    assert_alike(image.stored(electrons), counted)
