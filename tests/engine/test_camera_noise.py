"""A camera's noise is evened out before the network, outliers are repaired: anywhere, any size."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from helpers.compare import assert_alike
from helpers.errors import refused
from helpers.models import structured

from napari_noiser import denoise, enhance
from napari_noiser.arrays.layout import Layout
from napari_noiser.camera import CameraNoise
from napari_noiser.camera.outliers import repair_outliers
from napari_noiser.camera.stabilization import stabilize, unstabilize
from napari_noiser.engine.calibration import calibrate, sample_boxes
from napari_noiser.engine.plan import make_plan
from napari_noiser.recipes import NoiserModel

CAMERA = CameraNoise(gain=2.0, offset=100.0, read_noise=1.5)
NEAR = {"rtol": 0, "atol": 2e-5}
LIGHT: dict[str, Any] = {"dtype": "float64"}


@pytest.fixture(scope="module")
def model() -> NoiserModel:
    return structured()


def counts(*shape: int, camera: CameraNoise = CAMERA, seed: int = 0) -> np.ndarray:
    """Return what a camera sees of a staircase of light, with a few hot pixels."""
    random = np.random.default_rng(seed)
    light = np.broadcast_to(5 + 10.0 * (np.arange(shape[-1]) // 12), shape)
    electrons = random.poisson(light) + random.normal(0, camera.read_noise, shape)
    hot = random.random(shape) < 1e-3
    return np.rint(camera.gain * (electrons + 500 * hot) + camera.offset).astype("uint16")


def test_counts_are_stabilized_before_the_network_and_light_is_taken_back(
    model: NoiserModel,
) -> None:
    image = counts(70, 80)
    repaired = repair_outliers(image, CAMERA)
    assert (repaired != image).any()
    inside = denoise(stabilize(repaired, CAMERA), model, camera=None, **LIGHT)
    expected = unstabilize(inside, CAMERA)
    assert_alike(denoise(image, model, camera=CAMERA, **LIGHT), expected)


def test_without_a_camera_nothing_is_done_before(model: NoiserModel) -> None:
    image = counts(70, 80)
    plain = denoise(image, model, camera=None, **LIGHT)
    np.testing.assert_array_equal(denoise(image, model, camera=None, repair=False, **LIGHT), plain)
    assert abs(denoise(image, model, camera=CAMERA, **LIGHT) - plain).max() > 0.1


def test_outliers_stay_if_asked(model: NoiserModel) -> None:
    image = counts(70, 80)
    kept = denoise(image, model, camera=CAMERA, repair=False, **LIGHT)
    repaired = denoise(repair_outliers(image, CAMERA), model, camera=CAMERA, repair=False, **LIGHT)
    assert abs(kept - repaired).max() > 1
    found = denoise(image, model, camera=CAMERA, **LIGHT)
    assert_alike(found, repaired)


def test_each_channel_has_its_own_camera(model: NoiserModel) -> None:
    other = CameraNoise(gain=9.0, offset=400.0)
    image = np.stack([counts(128, 128), counts(128, 128, camera=other)])
    plan = calibrate(make_plan(image, model, axes="CYX"))
    assert plan.cameras is not None
    for found, true in zip(plan.cameras, (CAMERA, other), strict=True):
        assert found is not None
        at = true.offset + 50 * true.gain
        assert found.variance(at) == pytest.approx(true.variance(at), rel=0.25)
    both = denoise(image, model, axes="CYX", camera=[CAMERA, other], **LIGHT)
    for channel, camera in enumerate((CAMERA, other)):
        alone = denoise(image[channel], model, camera=camera, **LIGHT)
        assert_alike(both[channel], alone)
    lazy = da.from_array(image, chunks=(1, 64, 64))
    np.testing.assert_allclose(
        enhance(lazy, model, axes="CYX").compute(), enhance(image, model, axes="CYX"), **NEAR
    )


@pytest.mark.parametrize("options", [{}, {"background": "dark"}])
@pytest.mark.parametrize("second", [CameraNoise(gain=9.0, offset=400.0), CAMERA, None])
def test_a_lazy_image_in_chunks_of_a_channel_takes_each_its_camera(
    model: NoiserModel, second: CameraNoise | None, options: dict[str, Any]
) -> None:
    image = np.stack([counts(128, 128), counts(128, 128, camera=second or CAMERA)])
    lazy = da.from_array(image, chunks=(1, 64, 64))
    for each in (model, "noiser"):
        asked: dict[str, Any] = {"axes": "CYX", "camera": [CAMERA, second], **options}
        found = enhance(lazy, each, **asked).compute(scheduler="sync")
        np.testing.assert_allclose(found, enhance(image, each, **asked), **NEAR)


def test_what_does_not_tell_is_not_stabilized(model: NoiserModel) -> None:
    for image in (np.zeros((30, 30)), np.random.default_rng(0).normal(size=(128, 128))):
        plan = calibrate(make_plan(image, model))
        assert plan.cameras is not None
        assert plan.camera(0) is None or plan.camera(0).gain < 0.1
        assert plan.describe()["camera_estimated"]


def test_a_lazy_image_that_does_not_tell_keeps_its_shape(model: NoiserModel) -> None:
    image = counts(60, 62)
    lazy = denoise(da.from_array(image, chunks=(30, 31)), model, **LIGHT)
    assert_alike(lazy.compute(), denoise(image, model, **LIGHT))


def test_a_display_of_the_papers_models_is_as_it_was() -> None:
    image = counts(70, 80)
    plain = enhance(image, "noiser", camera=None)
    np.testing.assert_array_equal(enhance(image, "noiser"), plain)
    assert make_plan(image, "noiser").describe()["camera"] is None


def test_no_pixel_moves_further_than_asked(model: NoiserModel) -> None:
    image = counts(96, 96)
    clean = stabilize(repair_outliers(image, CAMERA), CAMERA)
    free = stabilize(denoise(image, model, camera=CAMERA, **LIGHT), CAMERA) - clean
    bound = denoise(image, model, camera=CAMERA, max_change=0.5, **LIGHT)
    held = stabilize(bound, CAMERA) - clean
    assert abs(free).max() > 1.5
    assert abs(held).max() < 1.1  # half of about 1, and what taking back without bias adds
    plain = denoise(image, model, camera=None, max_change=1e-6, **LIGHT)
    np.testing.assert_allclose(plain, image, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "error", "came"),
    [
        ({"camera": "best"}, ValueError, "best"),
        ({"camera": [1.0]}, TypeError, "1.0"),
        ({"camera": 5}, TypeError, "5"),
        ({"camera": [CAMERA, CAMERA]}, ValueError, "2"),
        ({"repair": 1}, TypeError, "1"),
        ({"max_change": 0}, ValueError, "0"),
    ],
)
def test_what_cannot_be(model: NoiserModel, options: dict, error: type, came: str) -> None:
    with refused(next(iter(options)), came, error=error):
        denoise(counts(64, 64), model, **options)


def test_a_camera_of_another_offset_is_said(model: NoiserModel) -> None:
    beyond = CameraNoise(gain=2.0, offset=10_000.0)
    with pytest.warns(UserWarning, match="below the offset of the camera that was given"):
        enhance(counts(64, 64), model, camera=beyond)


def test_a_display_model_has_no_light_to_hold() -> None:
    with refused("max_change"):
        enhance(counts(64, 64), "noiser", max_change=1.0)


@pytest.mark.parametrize(
    ("axes", "shape", "boxes"),
    [("YX", (5, 5000), 3), ("TCZYX", (3, 2, 5, 40, 40), 4), ("ZYXS", (2, 9, 9, 3), 2)],
)
def test_a_few_planes_are_looked_at(axes: str, shape: tuple[int, ...], boxes: int) -> None:
    found = sample_boxes(Layout.of(shape, axes))
    assert [len(each) for each in found] == [boxes] * (2 if "C" in axes else 1)
    for channel, each in enumerate(found):
        assert len(set(map(str, each))) == boxes
        for box in each:
            part = np.empty(shape)[box]
            assert part.size
            assert max(part.shape) <= 1024
            if "C" in axes:
                assert box[axes.index("C")] == slice(channel, channel + 1)


def test_light_that_is_conserved_keeps_sums(model: NoiserModel) -> None:
    image = counts(120, 130)
    clean = repair_outliers(image, CAMERA).astype(float)
    free = denoise(image, model, camera=CAMERA, **LIGHT)
    kept = denoise(image, model, camera=CAMERA, conserve=2.0, **LIGHT)
    for y, x in ((20, 30), (60, 90)):  # squares much larger than the Gaussian
        here = (slice(y, y + 30), slice(x, x + 30))
        assert abs((kept - clean)[here].sum()) < 0.25 * abs((free - clean)[here].sum())
    assert kept.sum() == pytest.approx(clean.sum(), rel=1e-4)


def test_what_is_not_finite_gives_nothing_back(model: NoiserModel) -> None:
    image = counts(70, 80).astype("float64")
    whole = denoise(image, model, camera=CAMERA, conserve=2.0, repair=False, **LIGHT)
    image[5, 6] = np.nan
    light = denoise(image, model, camera=CAMERA, conserve=2.0, repair=False, **LIGHT)
    assert np.isnan(light[5, 6])
    assert np.isfinite(light).sum() == light.size - 1
    np.testing.assert_allclose(light[60:], whole[60:], rtol=1e-3)
