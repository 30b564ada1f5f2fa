"""A camera's noise is evened out before the network, outliers are repaired: anywhere, any size."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from alike import assert_alike
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser.arrays.layout import Layout
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.outliers import repair_outliers
from napari_noiser.camera.stabilization import stabilize, unstabilize
from napari_noiser.engine.calibration import calibrate, sample_boxes
from napari_noiser.engine.enhance import enhance
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.model import Model
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.structured_noise import Structure
from napari_noiser.methods.noiser.training import train

CAMERA = CameraNoise(gain=2.0, offset=100.0, read_noise=1.5)
RECIPE = Recipe(
    name="small",
    source=Structure(),
    exposure=PhotonNoise(),
    iterations=3,
    width=4,
    scales=(6, 5),
    batch=2,
    size=32,
    learning_rate=2e-3,
)
NEAR = {"rtol": 0, "atol": 2e-5}
LIGHT: dict[str, Any] = {"output": "intensity", "dtype": "float64"}


@pytest.fixture(scope="module")
def model() -> Model:
    return train(RECIPE, device="cpu")


def counts(*shape: int, camera: CameraNoise = CAMERA, seed: int = 0) -> np.ndarray:
    """Return what a camera sees of a staircase of light, with a few hot pixels."""
    random = np.random.default_rng(seed)
    light = np.broadcast_to(5 + 10.0 * (np.arange(shape[-1]) // 12), shape)
    electrons = random.poisson(light) + random.normal(0, camera.read_noise, shape)
    hot = random.random(shape) < 1e-3
    return np.rint(camera.gain * (electrons + 500 * hot) + camera.offset).astype("uint16")


def finished(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_counts_are_stabilized_before_the_network_and_light_is_taken_back(model: Model) -> None:
    image = counts(70, 80)
    repaired = repair_outliers(image, CAMERA)
    assert (repaired != image).any()
    inside = enhance(stabilize(repaired, CAMERA), model, camera=None, **LIGHT)
    expected = unstabilize(inside, CAMERA)
    assert_alike(enhance(image, model, camera=CAMERA, **LIGHT), expected)


def test_without_a_camera_nothing_is_done_before(model: Model) -> None:
    image = counts(70, 80)
    plain = enhance(image, model, camera=None, **LIGHT)
    np.testing.assert_array_equal(enhance(image, model, camera=None, repair=False, **LIGHT), plain)
    assert abs(enhance(image, model, camera=CAMERA, **LIGHT) - plain).max() > 0.1


def test_outliers_stay_if_asked(model: Model) -> None:
    image = counts(70, 80)
    kept = enhance(image, model, camera=CAMERA, repair=False, **LIGHT)
    repaired = enhance(repair_outliers(image, CAMERA), model, camera=CAMERA, repair=False, **LIGHT)
    assert abs(kept - repaired).max() > 1
    found = enhance(image, model, camera=CAMERA, **LIGHT)
    assert_alike(found, repaired)


@settings(max_examples=15)
@given(height=st.integers(5, 90), width=st.integers(5, 90), tile=st.integers(8, 64))
def test_tiles_equal_the_whole(model: Model, height: int, width: int, tile: int) -> None:
    image = counts(height, width)
    whole = enhance(image, model, camera=CAMERA, tile=1000)
    np.testing.assert_allclose(enhance(image, model, camera=CAMERA, tile=tile), whole, **NEAR)


@pytest.mark.parametrize("camera", ["auto", CAMERA])
def test_chunks_and_blocks_and_views_equal_the_whole(model: Model, camera: Any) -> None:
    image = counts(3, 83, 71)
    whole = enhance(image, model, camera=camera)
    stored, out = zarr.array(image, chunks=(1, 25, 17)), np.zeros(image.shape, "float32")
    enhance(stored, model, camera=camera, out=out, memory_limit=60_000)
    np.testing.assert_allclose(out, whole, **NEAR)
    lazy = enhance(da.from_array(image, chunks=(1, 29, 27)), model, camera=camera)
    np.testing.assert_allclose(lazy.compute(scheduler="sync"), whole, **NEAR)
    plan = calibrate(make_plan(image, model, camera=camera))
    view = live_image(plan, finished(measure_steps(plan)))
    np.testing.assert_allclose(np.asarray(view[1, 30:60, 20:50]), whole[1, 30:60, 20:50], **NEAR)


@settings(max_examples=10)
@given(gain=st.floats(0.01, 100), offset=st.floats(-1e3, 1e3))
def test_an_estimated_camera_scales_along(model: Model, gain: float, offset: float) -> None:
    image = counts(128, 128).astype(np.float64)
    light = enhance(image, model, **LIGHT)
    moved = enhance(gain * image + offset, model, **LIGHT)
    np.testing.assert_allclose(moved, gain * light + offset, rtol=1e-3, atol=0.05 * gain)


def test_each_dye_has_its_own_camera(model: Model) -> None:
    other = CameraNoise(gain=9.0, offset=400.0)
    image = np.stack([counts(128, 128), counts(128, 128, camera=other)])
    plan = calibrate(make_plan(image, model, axes="CYX"))
    assert plan.cameras is not None
    for found, true in zip(plan.cameras, (CAMERA, other), strict=True):
        assert found is not None
        at = true.offset + 50 * true.gain
        assert found.variance(at) == pytest.approx(true.variance(at), rel=0.25)
    both = enhance(image, model, axes="CYX", camera=[CAMERA, other], **LIGHT)
    for dye, camera in enumerate((CAMERA, other)):
        alone = enhance(image[dye], model, camera=camera, **LIGHT)
        assert_alike(both[dye], alone)
    lazy = da.from_array(image, chunks=(1, 64, 64))
    np.testing.assert_allclose(
        enhance(lazy, model, axes="CYX").compute(), enhance(image, model, axes="CYX"), **NEAR
    )


@pytest.mark.parametrize("options", [{}, {"background": "dark"}])
@pytest.mark.parametrize("second", [CameraNoise(gain=9.0, offset=400.0), CAMERA, None])
def test_a_lazy_image_in_chunks_of_a_dye_takes_each_its_camera(
    model: Model, second: CameraNoise | None, options: dict[str, Any]
) -> None:
    image = np.stack([counts(128, 128), counts(128, 128, camera=second or CAMERA)])
    lazy = da.from_array(image, chunks=(1, 64, 64))
    for each in (model, "noiser"):
        asked: dict[str, Any] = {"axes": "CYX", "camera": [CAMERA, second], **options}
        found = enhance(lazy, each, **asked).compute(scheduler="sync")
        np.testing.assert_allclose(found, enhance(image, each, **asked), **NEAR)


def test_what_does_not_tell_is_not_stabilized(model: Model) -> None:
    for image in (np.zeros((30, 30)), np.random.default_rng(0).normal(size=(128, 128))):
        plan = calibrate(make_plan(image, model))
        assert plan.cameras is not None
        assert plan.camera(()) is None or plan.camera(()).gain_map < 0.1
        assert plan.describe()["camera_estimated"]


def test_a_lazy_image_that_does_not_tell_keeps_its_shape(model: Model) -> None:
    image = counts(60, 62)
    lazy = enhance(da.from_array(image, chunks=(30, 31)), model, **LIGHT)
    assert_alike(lazy.compute(), enhance(image, model, **LIGHT))


def test_a_display_of_the_papers_models_is_as_it_was() -> None:
    image = counts(70, 80)
    plain = enhance(image, "noiser", camera=None)
    np.testing.assert_array_equal(enhance(image, "noiser"), plain)
    assert make_plan(image, "noiser").describe()["camera"] is None


def test_no_pixel_moves_further_than_asked(model: Model) -> None:
    image = counts(96, 96)
    clean = stabilize(repair_outliers(image, CAMERA), CAMERA)
    free = stabilize(enhance(image, model, camera=CAMERA, **LIGHT), CAMERA) - clean
    bound = enhance(image, model, camera=CAMERA, max_change=0.5, **LIGHT)
    held = stabilize(bound, CAMERA) - clean
    assert abs(free).max() > 1.5
    assert abs(held).max() < 1.1  # half of about 1, and what taking back without bias adds
    plain = enhance(image, model, camera=None, max_change=1e-6, **LIGHT)
    np.testing.assert_allclose(plain, image, atol=1e-3)


def test_what_passes_still_passes(model: Model) -> None:
    image = counts(70, 80).astype("float32")
    image[5, 6], image[7, 8], image[9, 9] = np.nan, np.inf, -np.inf
    light = enhance(image, model, camera=CAMERA, output="intensity")
    assert np.isnan(light[5, 6])
    assert (light[7, 8], light[9, 9]) == (np.inf, -np.inf)
    assert np.isfinite(light).sum() == light.size - 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"camera": "best"}, ValueError, "camera must be 'auto', None or a CameraNoise"),
        ({"camera": [1.0]}, TypeError, "camera must be 'auto', None or a CameraNoise"),
        ({"camera": 5}, TypeError, "camera must be 'auto', None or a CameraNoise, got 5"),
        ({"camera": [CAMERA, CAMERA]}, ValueError, "camera must be one for all, or 1, got 2"),
        ({"repair": 1}, TypeError, "repair must be True or False, got 1"),
        ({"max_change": 0}, ValueError, "max_change must be"),
    ],
)
def test_what_cannot_be(model: Model, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        enhance(counts(64, 64), model, **options)


def test_a_camera_of_another_offset_is_said(model: Model) -> None:
    beyond = CameraNoise(gain=2.0, offset=10_000.0)
    with pytest.warns(UserWarning, match="below the offset of the camera that was given"):
        enhance(counts(64, 64), model, camera=beyond)


def test_a_display_model_has_no_light_to_hold() -> None:
    with pytest.raises(ValueError, match="max_change takes a model that learned to see light"):
        enhance(counts(64, 64), "noiser", max_change=1.0)


@pytest.mark.parametrize(
    ("axes", "shape", "boxes"),
    [("YX", (5, 5000), 1), ("TCZYX", (3, 2, 5, 40, 40), 4), ("ZYXS", (2, 9, 9, 3), 2)],
)
def test_a_few_planes_are_looked_at(axes: str, shape: tuple[int, ...], boxes: int) -> None:
    found = sample_boxes(Layout.of(shape, axes))
    assert [len(each) for each in found] == [boxes] * (2 if "C" in axes else 1)
    for dye, each in enumerate(found):
        assert len(set(map(str, each))) == boxes
        for box in each:
            part = np.empty(shape)[box]
            assert part.size
            assert max(part.shape) <= 1024
            if "C" in axes:
                assert box[axes.index("C")] == slice(dye, dye + 1)


def test_light_that_is_conserved_keeps_sums(model: Model) -> None:
    image = counts(120, 130)
    clean = repair_outliers(image, CAMERA).astype(float)
    free = enhance(image, model, camera=CAMERA, **LIGHT)
    kept = enhance(image, model, camera=CAMERA, conserve=2.0, **LIGHT)
    for y, x in ((20, 30), (60, 90)):  # squares much larger than the Gaussian
        here = (slice(y, y + 30), slice(x, x + 30))
        assert abs((kept - clean)[here].sum()) < 0.25 * abs((free - clean)[here].sum())
    assert kept.sum() == pytest.approx(clean.sum(), rel=1e-4)


@settings(max_examples=15)
@given(height=st.integers(5, 90), width=st.integers(5, 90), tile=st.integers(8, 64))
def test_conserving_tiles_equal_the_whole(
    model: Model, height: int, width: int, tile: int
) -> None:
    image, options = counts(height, width), {"camera": CAMERA, "conserve": 1.5, **LIGHT}
    whole = enhance(image, model, tile=1000, **options)
    found = enhance(image, model, tile=tile, **options)
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-3)


def test_conserving_chunks_and_blocks_equal_the_whole(model: Model) -> None:
    image, options = counts(2, 143, 131), {"camera": CAMERA, "conserve": 1.5, **LIGHT}
    whole = enhance(image, model, **options)
    stored = zarr.array(image, chunks=(1, 25, 17))
    found = enhance(stored, model, memory_limit=60_000, **options)
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-3)
    lazy = enhance(da.from_array(image, chunks=(1, 72, 66)), model, **options)
    assert lazy.numblocks == (2, 2, 2)
    np.testing.assert_allclose(lazy.compute(), whole, rtol=1e-5, atol=1e-3)


def test_what_is_not_finite_gives_nothing_back(model: Model) -> None:
    image = counts(70, 80).astype("float64")
    whole = enhance(image, model, camera=CAMERA, conserve=2.0, repair=False, **LIGHT)
    image[5, 6] = np.nan
    light = enhance(image, model, camera=CAMERA, conserve=2.0, repair=False, **LIGHT)
    assert np.isnan(light[5, 6])
    assert np.isfinite(light).sum() == light.size - 1
    np.testing.assert_allclose(light[60:], whole[60:], rtol=1e-3)


def test_a_display_conserves_nothing(model: Model) -> None:
    image = counts(70, 80)
    plain = enhance(image, model, camera=CAMERA)
    np.testing.assert_array_equal(enhance(image, model, camera=CAMERA, conserve=2.0), plain)
