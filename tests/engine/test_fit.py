"""A model fitted to someone's own stacks takes their noise off, of any kind of array."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from alike import assert_alike
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import NOISE, QUICK, counts, light, untrained
from skimage.io import imread

from napari_noiser import enhance, fit, fit_steps, load_model
from napari_noiser.camera import CameraNoise
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.recipes import BlindSpotModel

LIGHT: dict[str, Any] = {"output": "intensity", "device": "cpu"}
DATA = os.environ.get("NAPARI_NOISER_DATA")


def rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def image() -> NDArray[np.float64]:
    return counts(light())


@pytest.fixture(scope="module")
def fitted(image: NDArray[Any]) -> BlindSpotModel:
    recipe = replace(QUICK, iterations=150, spacing=2, width=12)
    return fit(image, recipe, device="cpu")


def test_noise_is_taken_off(image: NDArray[Any], fitted: BlindSpotModel) -> None:
    truth = NOISE.gain * light() + NOISE.offset
    found = enhance(image, fitted, **LIGHT)
    assert found.dtype == np.float32
    assert rms(found - truth) < 0.35 * rms(image - truth)


def test_another_image_of_the_same_camera_is_denoised_too(fitted: BlindSpotModel) -> None:
    truth = NOISE.gain * light(seed=9) + NOISE.offset
    image = counts(light(seed=9), seed=10)
    assert rms(enhance(image, fitted, **LIGHT) - truth) < 0.4 * rms(image - truth)


def test_a_display_is_made_of_the_light(image: NDArray[Any], fitted: BlindSpotModel) -> None:
    shown, found = enhance(image, fitted, device="cpu"), enhance(image, fitted, **LIGHT)
    assert 0 <= shown.min() < 0.3 < 0.7 < shown.max() <= 1
    brighter = found.ravel()[np.argsort(shown.ravel())]
    assert (np.diff(brighter) >= -1e-3).all()


def test_light_has_no_bias_at_few_photons() -> None:
    camera = CameraNoise(3.0, 50.0)
    image = counts(light() / 10, noise=camera)
    recipe = replace(QUICK, iterations=300, spacing=2)
    model = fit(image, recipe, camera=camera, device="cpu")
    found = enhance(image, model, camera=camera, **LIGHT)
    assert found.mean() - 50 == pytest.approx(image.mean() - 50, rel=0.05)


@settings(max_examples=8)
@given(
    shape=st.tuples(st.integers(5, 150), st.integers(5, 150)),
    tile=st.integers(20, 160),
    spacing=st.sampled_from([2, 3, 4]),
)
def test_tiles_equal_the_whole(shape: tuple[int, int], tile: int, spacing: int) -> None:
    model = untrained(spacing=spacing, scales=(8,), gain="light")
    image = counts(np.random.default_rng(2).uniform(0, 30, shape))
    whole = enhance(image, model, camera=NOISE, tile=1000, **LIGHT)
    assert_alike(enhance(image, model, camera=NOISE, tile=tile, **LIGHT), whole)


@pytest.mark.parametrize("ndim", [2, 3])
def test_chunks_and_blocks_and_views_equal_the_whole(ndim: int) -> None:
    model = untrained(ndim=ndim, spacing=2, scales=(8,), gain="light")
    image = counts(np.random.default_rng(2).uniform(0, 30, (4, 140, 120)))
    options: dict[str, Any] = {"camera": NOISE, "ndim": ndim, **LIGHT}
    whole = enhance(image, model, **options)
    stored, out = zarr.array(image, chunks=(2, 50, 40)), np.zeros(image.shape, "float32")
    enhance(stored, model, out=out, memory_limit=3_000_000, **options)
    assert_alike(out, whole)
    lazy = enhance(da.from_array(image, chunks=(2, 70, 65)), model, **options)
    assert_alike(lazy.compute(scheduler="sync"), whole)
    plan = calibrate(make_plan(image, model, **options))
    steps = measure_steps(plan)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            view = live_image(plan, end.value)
            break
    assert_alike(np.asarray(view[1, 30:60, 20:50]), whole[1, 30:60, 20:50])


def test_colors_are_fitted_together() -> None:
    image = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    model = fit(image, QUICK, axes="YXS", device="cpu")
    assert model.samples == 3
    assert enhance(image, model, axes="YXS", **LIGHT).shape == image.shape
    with pytest.raises(ValueError, match="model sees 3 samples"):
        enhance(image[..., 0], model)


def test_a_model_of_one_channel_takes_each_color(fitted: BlindSpotModel) -> None:
    image = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    options: dict[str, Any] = {"camera": NOISE, **LIGHT}
    found = enhance(image, fitted, axes="YXS", **options)
    assert_alike(found[..., 1], enhance(image[..., 1], fitted, **options))


def test_dyes_and_several_stacks_are_fitted_to(image: NDArray[Any]) -> None:
    stacks = [np.stack([image[:100], 2 * image[100:200]]), np.stack([image[:90, :80]] * 2)]
    model = fit(stacks, QUICK, axes="CYX", device="cpu")
    assert model.samples == 1
    assert enhance(stacks[0], model, axes="CYX", **LIGHT).shape == (2, 100, 256)


class Slices:
    """An array that can only be sliced, and remembers how much was ever read at once."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __getitem__(self, window: Any) -> Any:
        self.most = max(self.most, self.array[window].size)
        return self.array[window]


@pytest.mark.parametrize("ndim", [2, 3])
def test_large_arrays_are_never_read_whole(ndim: int) -> None:
    stack = Slices(counts(light((3, 1100, 1500))))
    fit(stack, QUICK, ndim=ndim, device="cpu")  # type: ignore[arg-type]
    assert stack.most <= stack.array[0].size


def test_a_fitted_model_survives_its_file(
    tmp_path: Path, fitted: BlindSpotModel, image: NDArray[Any]
) -> None:
    path = fitted.save(tmp_path / "mine")
    again = load_model(path)
    assert again.describe() == fitted.describe()
    np.testing.assert_array_equal(*(enhance(image, m, **LIGHT) for m in (fitted, path)))


GOOD = counts(light())
BAD = GOOD.copy()
BAD[100:, 100:] = np.nan
FADING = np.random.default_rng(0).normal(np.arange(256.0), np.linspace(9, 1, 256), (256, 256))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "images must be an array, or a sequence of at least one"),
        ("dim.tif", {}, "images must be an array"),
        ([GOOD, GOOD[:60]], {}, r"images\[1\] has too few pixels: 64 a side"),
        (GOOD[:100, :100], {}, "images have too few pixels: 65536"),
        ([GOOD, BAD], {"camera": NOISE}, r"images\[1\] must be finite"),
        (np.full((256, 256), 7), {"camera": NOISE}, "images are constant"),
        ([GOOD, np.full((256, 256), 7)], {}, r"images are constant: .* in images\[1\]"),
        (np.full((256, 256), np.nan), {}, r"images\[0\] must be finite"),
        (GOOD[None], {"ndim": 3}, "must have 3 planes at least along Z"),
        (GOOD, {"camera": None}, "camera must be known"),
        ([GOOD, GOOD[..., None].repeat(3, -1)], {"axes": "YX"}, "axes"),
    ],
)
def test_what_cannot_be_fitted_to_is_refused_at_once(
    images: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_steps(images, QUICK, device="cpu", **options)


@pytest.mark.parametrize("camera", ["auto", CameraNoise(1e-3, 0.0, 5e3)])
def test_noise_of_one_variance_is_denoised_too(camera: Any) -> None:
    """Its camera is one of many electrons a count, whose noise does not depend on the light."""
    truth = light()
    image = truth + np.random.default_rng(0).normal(0, 5, truth.shape)
    recipe = replace(QUICK, iterations=100, spacing=2)
    model = fit(image, recipe, camera=camera, device="cpu")
    found = enhance(image, model, camera=camera, **LIGHT)
    assert rms(found - truth) < 0.4 * 5
    lazy = enhance(da.from_array(image, chunks=(128, 128)), model, camera=camera, **LIGHT)
    assert_alike(lazy.compute(), found)


def test_noise_that_falls_with_the_light_is_taken_for_even() -> None:
    model = fit(FADING, QUICK, device="cpu")
    assert np.isfinite(enhance(FADING, model, **LIGHT)).all()


@pytest.mark.skipif(not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images")
def test_a_real_frame_loses_most_of_its_noise() -> None:
    folder = Path(str(DATA)) / "w2s"
    frame, truth = (imread(folder / kind / "040_0.tif") for kind in ("avg1", "avg400"))
    recipe = replace(QUICK, iterations=120, width=12, scales=(16,))
    found = enhance(frame, fit(frame, recipe, device="cpu"), **LIGHT)

    def left(values: NDArray[Any]) -> float:
        return 1 - float(np.corrcoef(values.ravel(), truth.ravel())[0, 1]) ** 2

    assert left(found) < 0.4 * left(frame)


def gains(shape: tuple[int, ...]) -> NDArray[Any]:
    return 1 / np.linspace(0.2, 1, shape[-1]) * np.ones(shape)


def test_a_given_gain_map_is_used_and_must_be_given_again(image: NDArray[Any]) -> None:
    gain, recipe = gains(image.shape), replace(QUICK, iterations=20, gain="given")
    model = fit([image, image[:100]], recipe, gain=[gain, gain[:100]], device="cpu")
    with pytest.raises(ValueError, match="gain must be given"):
        enhance(image, model, **LIGHT)
    found = enhance(image, model, gain=gain, **LIGHT)
    other = enhance(image, model, gain=gain[:, ::-1], **LIGHT)
    assert np.abs(found - other).max() > 0.01
    assert_alike(enhance(image, model, gain=gain[0][None].repeat(256, 0), **LIGHT), found)
    even = enhance(image, model, gain=np.full(image.shape, 2), **LIGHT)
    assert_alike(enhance(image, model, gain=2, **LIGHT), even)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_gain_map_comes_in_tiles_chunks_blocks_and_views(ndim: int) -> None:
    model = untrained(ndim=ndim, spacing=2, scales=(8,))
    image = counts(np.random.default_rng(2).uniform(0, 30, (4, 140, 120)))
    gain = gains(image.shape) * np.arange(1, 5)[:, None, None]
    options: dict[str, Any] = {"camera": NOISE, "ndim": ndim, **LIGHT}
    whole = enhance(image, model, gain=gain, **options)
    assert_alike(enhance(image, model, gain=gain, tile=40, **options), whole)
    stored, out = zarr.array(image, chunks=(2, 50, 40)), np.zeros(image.shape, "float32")
    lazily = zarr.array(gain, chunks=(1, 140, 33))
    enhance(stored, model, gain=lazily, out=out, memory_limit=3_000_000, **options)
    assert_alike(out, whole)
    chunked = da.from_array(image, chunks=(2, 70, 65))
    for beside in (gain, da.from_array(gain, chunks=(4, 35, 120))):
        assert_alike(enhance(chunked, model, gain=beside, **options).compute(), whole)
    plain = enhance(image[1], model, gain=gain[1], **{**options, "ndim": 2}) if ndim == 2 else None
    if plain is not None:
        assert_alike(plain, whole[1])


def test_a_gain_map_serves_each_color() -> None:
    model = untrained(spacing=2, scales=())
    image = np.stack([counts(light((90, 80)), seed) for seed in (1, 2, 3)], axis=-1)
    options: dict[str, Any] = {"camera": NOISE, "gain": gains((90, 80)), **LIGHT}
    lazy = da.from_array(image, chunks=(50, 80, 3))
    found = enhance(image, model, axes="YXS", **options)
    assert_alike(enhance(lazy, model, axes="YXS", **options).compute(), found)
    assert_alike(found[..., 1], enhance(image[..., 1], model, **options))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("gain", ["given", "none"])
def test_the_background_comes_out_dark(gain: Any, ndim: int) -> None:
    model = untrained(ndim=ndim, gain=gain, spacing=2, scales=())
    image = counts(light((3, 80, 90)))
    maps = gains(image.shape) if gain == "given" else None
    options: dict[str, Any] = {"ndim": ndim, "gain": maps, "camera": NOISE, "device": "cpu"}
    found = enhance(image, model, background="dark", **options)
    assert np.quantile(found, 0.05) < 0.15 < enhance(image, model, **options).mean() - 0.2
    assert_alike(enhance(image, model, background="dark", tile=40, **options), found)


@pytest.mark.parametrize(
    ("gain", "error", "message"),
    [
        (np.ones((9, 9)), ValueError, "gain must have the image's shape"),
        (np.zeros((256, 256)), ValueError, "gain must be finite and above 0"),
        (np.ones((256, 256), bool), TypeError, "gain must hold integers or floats"),
        ([], ValueError, "gain must be an array, or a sequence"),
        ([np.ones((256, 256))] * 2, ValueError, "gain must be one map an image, 1; got 2"),
    ],
)
def test_gain_maps_that_cannot_be(gain: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_steps(GOOD, replace(QUICK, gain="given"), gain=gain, device="cpu")
    with pytest.raises(ValueError, match="gain takes a model that was fitted"):
        enhance(GOOD, "structured", gain=np.ones((256, 256)))
