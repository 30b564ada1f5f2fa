"""A model fitted to someone's own stacks takes their noise off, of any kind of array."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.arrays import CountingArray
from helpers.compare import assert_alike, rms
from helpers.errors import refused
from helpers.models import QUICK, untrained
from helpers.scenes import NOISE, counts, light
from numpy.typing import NDArray
from skimage.io import imread

from napari_noiser import denoise, enhance, fit, fit_steps, load_model
from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import run_with_progress
from napari_noiser.camera import CameraNoise
from napari_noiser.engine.fit import prepare_fit
from napari_noiser.engine.plan import make_plan
from napari_noiser.engine.training_crops import Crops
from napari_noiser.recipes import BlindSpotModel, IRLERecipe, RetinexRecipe

LIGHT: dict[str, Any] = {"device": "cpu"}
DATA = os.environ.get("NAPARI_NOISER_DATA")


@pytest.fixture(scope="module")
def image() -> NDArray[np.float64]:
    return counts(light())


@pytest.fixture(scope="module")
def fitted(image: NDArray[Any]) -> BlindSpotModel:
    return fit(image, replace(QUICK, iterations=150, spacing=2, width=12), device="cpu")


def test_noise_is_taken_off(image: NDArray[Any], fitted: BlindSpotModel) -> None:
    truth = NOISE.gain * light() + NOISE.offset
    found = denoise(image, fitted, **LIGHT)
    assert found.dtype == np.float32
    assert rms(found - truth) < 0.35 * rms(image - truth)


def test_another_image_of_the_same_camera_is_denoised_too(fitted: BlindSpotModel) -> None:
    truth = NOISE.gain * light(seed=9) + NOISE.offset
    image = counts(light(seed=9), seed=10)
    assert rms(denoise(image, fitted, **LIGHT) - truth) < 0.4 * rms(image - truth)


def test_a_display_is_made_of_the_light(image: NDArray[Any], fitted: BlindSpotModel) -> None:
    shown, found = enhance(image, fitted, device="cpu"), denoise(image, fitted, **LIGHT)
    assert 0 <= shown.min() < 0.3 < 0.7 < shown.max() <= 1
    seen = (shown > 0) & (shown < 1)  # neither as dark as black nor as bright as white
    brighter = found[seen][np.argsort(shown[seen])]
    assert (np.diff(brighter) >= -1e-3).all()


def test_light_has_no_bias_at_few_photons() -> None:
    camera = CameraNoise(3.0, 50.0)
    image = counts(light() / 10, noise=camera)
    recipe = replace(QUICK, iterations=300, spacing=2, scales=())
    model = fit(image, recipe, camera=camera, device="cpu")
    found = denoise(image, model, camera=camera, **LIGHT)
    assert found.mean() - 50 == pytest.approx(image.mean() - 50, rel=0.05)


def test_colors_are_fitted_together() -> None:
    image = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    model = fit(image, QUICK, axes="YXS", device="cpu")
    assert model.samples == 3
    assert denoise(image, model, axes="YXS", **LIGHT).shape == image.shape
    with refused("model", 3):
        enhance(image[..., 0], model)


def test_a_model_of_one_channel_takes_each_color(fitted: BlindSpotModel) -> None:
    image = np.stack([counts(light(), seed) for seed in (1, 2, 3)], axis=-1)
    options: dict[str, Any] = {"camera": NOISE, **LIGHT}
    found = denoise(image, fitted, axes="YXS", **options)
    assert_alike(found[..., 1], denoise(image[..., 1], fitted, **options))


def test_channels_and_several_stacks_are_fitted_to(image: NDArray[Any]) -> None:
    stacks = [np.stack([image[:100], 2 * image[100:200]]), np.stack([image[:90, :80]] * 2)]
    model = fit(stacks, QUICK, axes="CYX", device="cpu")
    assert model.samples == 1
    assert denoise(stacks[0], model, axes="CYX", **LIGHT).shape == (2, 100, 256)


@pytest.mark.parametrize("ndim", [2, 3])
def test_large_arrays_are_never_read_whole(ndim: int) -> None:
    stack = CountingArray(counts(light((3, 1100, 1500))))
    fit(stack, QUICK, ndim=ndim, device="cpu")
    assert stack.largest_read <= 1100 * 1500


def test_a_fitted_model_survives_its_file(
    tmp_path: Path, fitted: BlindSpotModel, image: NDArray[Any]
) -> None:
    path = fitted.save(tmp_path / "mine")
    again = load_model(path)
    assert again.describe() == fitted.describe()
    np.testing.assert_array_equal(*(denoise(image, m, **LIGHT) for m in (fitted, path)))


GOOD = counts(light())
BAD = GOOD.copy()
BAD[100:, 100:] = np.nan
FADING = np.random.default_rng(0).normal(np.arange(256.0), np.linspace(9, 1, 256), (256, 256))


@pytest.mark.parametrize(
    ("images", "options", "argument", "came"),
    [
        ([], {}, "images", "[]"),
        ("dim.tif", {}, "images", "dim.tif"),
        ([GOOD, GOOD[:60]], {}, 1, "60"),
        (GOOD[:100, :100], {}, "images", "65536"),
        ([GOOD, BAD], {"camera": NOISE}, 1, "finite"),
        (np.full((256, 256), 7), {"camera": NOISE}, 0, "constant"),
        ([GOOD, np.full((256, 256), 7)], {}, 1, "constant"),
        (np.full((256, 256), np.nan), {}, 0, "finite"),
        (GOOD[None], {"ndim": 3}, 0, "3 planes"),
        (GOOD, {"camera": None}, "camera", "known"),
        ([GOOD, GOOD[..., None].repeat(3, -1)], {"axes": "YX"}, "axes", "YX"),
    ],
)
def test_what_cannot_be_fitted_to_is_refused_at_once(
    images: Any, options: dict[str, Any], argument: str | int, came: str
) -> None:
    with pytest.raises(InputError, match=re.escape(came)) as caught:
        fit_steps(images, QUICK, device="cpu", **options)
    assert argument in (caught.value.argument, caught.value.index), repr(caught.value.args)


@pytest.mark.parametrize("camera", ["auto", CameraNoise(1e-3, 0.0, 5e3)])
def test_noise_of_one_variance_is_denoised_too(camera: Any) -> None:
    """Its camera is one of many electrons a count, whose noise does not depend on the light."""
    truth = light()
    image = truth + np.random.default_rng(0).normal(0, 5, truth.shape)
    recipe = replace(QUICK, iterations=100, spacing=2, scales=())
    model = fit(image, recipe, camera=camera, device="cpu")
    found = denoise(image, model, camera=camera, **LIGHT)
    assert rms(found - truth) < 0.4 * 5
    lazy = denoise(da.from_array(image, chunks=(128, 128)), model, camera=camera, **LIGHT)
    assert_alike(lazy.compute(), found)


def test_noise_that_falls_with_the_light_is_taken_for_even() -> None:
    model = fit(FADING, QUICK, device="cpu")
    assert np.isfinite(denoise(FADING, model, **LIGHT)).all()


@pytest.mark.skipif(not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images")
def test_a_real_frame_loses_most_of_its_noise() -> None:
    folder = Path(str(DATA)) / "w2s"
    frame, truth = (imread(folder / kind / "040_0.tif") for kind in ("avg1", "avg400"))
    recipe = replace(QUICK, iterations=120, width=12, scales=(16,))
    found = denoise(frame, fit(frame, recipe, device="cpu"), **LIGHT)

    def left(values: NDArray[Any]) -> float:
        return 1 - float(np.corrcoef(values.ravel(), truth.ravel())[0, 1]) ** 2

    assert left(found) < 0.4 * left(frame)


def gains(shape: tuple[int, ...]) -> NDArray[Any]:
    return 1 / np.linspace(0.2, 1, shape[-1]) * np.ones(shape)


def test_a_given_gain_map_is_used_and_must_be_given_again(image: NDArray[Any]) -> None:
    gain, recipe = gains(image.shape), replace(QUICK, iterations=20, gain="given")
    model = fit([image, image[:100]], recipe, gain_map=[gain, gain[:100]], device="cpu")
    with refused("gain_map"):
        denoise(image, model, **LIGHT)
    found = denoise(image, model, gain_map=gain, **LIGHT)
    other = denoise(image, model, gain_map=gain[:, ::-1], **LIGHT)
    assert np.abs(found - other).max() > 0.01
    assert_alike(denoise(image, model, gain_map=gain[0][None].repeat(256, 0), **LIGHT), found)
    even = denoise(image, model, gain_map=np.full(image.shape, 2), **LIGHT)
    assert_alike(denoise(image, model, gain_map=2, **LIGHT), even)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_gain_map_comes_in_tiles_and_chunks_of_its_own(ndim: int) -> None:
    model = untrained(ndim=ndim, spacing=2, scales=())
    image = counts(np.random.default_rng(2).uniform(0, 30, (4, 60, 50)))
    gain = gains(image.shape) * np.arange(1, 5)[:, None, None]
    options: dict[str, Any] = {"camera": NOISE, "ndim": ndim, **LIGHT}
    whole = denoise(image, model, gain_map=gain, **options)
    assert_alike(denoise(image, model, gain_map=gain, tile=30, **options), whole)
    stored, out = zarr.array(image, chunks=(2, 25, 20)), np.zeros(image.shape, "float32")
    lazily = zarr.array(gain, chunks=(1, 60, 17))
    denoise(stored, model, gain_map=lazily, out=out, memory_limit=1_000_000, **options)
    assert_alike(out, whole)
    chunked = da.from_array(image, chunks=(2, 35, 30))
    for beside in (gain, da.from_array(gain, chunks=(4, 18, 50))):
        found = denoise(chunked, model, gain_map=beside, **options)
        assert_alike(found.compute(scheduler="sync"), whole)
    if ndim == 2:
        assert_alike(denoise(image[1], model, gain_map=gain[1], camera=NOISE, **LIGHT), whole[1])


def test_a_gain_map_serves_each_color() -> None:
    model = untrained(spacing=2, scales=())
    image = np.stack([counts(light((90, 80)), seed) for seed in (1, 2, 3)], axis=-1)
    options: dict[str, Any] = {"camera": NOISE, "gain_map": gains((90, 80)), **LIGHT}
    lazy = da.from_array(image, chunks=(50, 80, 3))
    found = denoise(image, model, axes="YXS", **options)
    assert_alike(denoise(lazy, model, axes="YXS", **options).compute(), found)
    assert_alike(found[..., 1], denoise(image[..., 1], model, **options))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("gain", ["given", "none"])
def test_the_background_comes_out_dark(gain: Any, ndim: int) -> None:
    model = untrained(ndim=ndim, gain=gain, spacing=2, scales=())
    image = counts(light((3, 80, 90)))
    maps = gains(image.shape) if gain == "given" else None
    options: dict[str, Any] = {"ndim": ndim, "gain_map": maps, "camera": NOISE, "device": "cpu"}
    found = enhance(image, model, background="dark", **options)
    assert np.quantile(found, 0.05) < 0.15 < enhance(image, model, **options).mean() - 0.2
    assert_alike(enhance(image, model, background="dark", tile=40, **options), found)


@pytest.mark.parametrize(
    ("gain", "error", "came"),
    [
        (np.ones((9, 9)), ValueError, "(9, 9)"),
        (np.zeros((256, 256)), ValueError, "above 0"),
        (np.ones((256, 256), bool), TypeError, "bool"),
        ([], ValueError, "[]"),
        ([np.ones((256, 256))] * 2, ValueError, "2"),
    ],
)
def test_gain_maps_that_cannot_be(gain: Any, error: type[Exception], came: str) -> None:
    with refused("gain_map", came, error=error):
        fit_steps(GOOD, replace(QUICK, gain="given"), gain_map=gain, device="cpu")


def test_a_gain_map_takes_a_model_that_was_fitted_with_one() -> None:
    with refused("gain_map"):
        enhance(GOOD, "structured", gain_map=np.ones((256, 256)))


@pytest.mark.parametrize(
    "types", [("uint8", "uint16"), ("uint16", "uint16", "uint8"), ("uint8", "float32")]
)
@pytest.mark.parametrize(
    "recipe", [RetinexRecipe(iterations=2), IRLERecipe(retinex=RetinexRecipe(iterations=2))]
)
def test_photographs_of_other_ranges_are_refused(recipe: Any, types: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    photographs = [random.poisson(30, (200, 200, 3)).astype(each) for each in types]
    with refused("", types[-1], index=len(types) - 1):
        fit(photographs, recipe, axes="YXS", camera=CameraNoise(1.0), device="cpu")


def test_a_blind_spot_is_fitted_to_photographs_of_several_types() -> None:
    random = np.random.default_rng(0)
    photographs = [random.poisson(30, (200, 200, 3)).astype(each) for each in ("u1", "u2")]
    options: dict[str, Any] = {"axes": "YXS", "camera": CameraNoise(1.0), "device": "cpu"}
    assert fit(photographs, replace(QUICK, iterations=1), **options).samples == 3


@pytest.mark.parametrize("kind", [InputError, InputTypeError])
@pytest.mark.parametrize("count", [1, 3])
def test_an_error_over_a_crop_is_of_its_kind_and_image(kind: Any, count: int) -> None:
    def refuse(*place: Any) -> NDArray[np.float64]:
        raise kind("", "does not go with {ndim}", ndim=3)

    plans = [make_plan(GOOD, "noiser") for _ in range(count)]
    with pytest.raises(InputError, match=r"does not go with ndim=3") as caught:
        Crops.of(plans, 64, 1, 1, 0, refuse)(1)
    assert type(caught.value) is kind
    assert caught.value.index in range(count)


@pytest.mark.parametrize("recipe", [QUICK, RetinexRecipe(iterations=2)])
def test_a_fit_stops_while_it_is_prepared(image: NDArray[Any], recipe: Any) -> None:
    first, second = CountingArray(image), CountingArray(image)
    steps = prepare_fit([first, second], recipe, device="cpu")
    event = next(steps)
    assert (event.done, event.stage) == (0, "prepare")
    begun = len(second.keys)
    steps.close()
    assert len(second.keys) == begun
    steps = prepare_fit([image, image], recipe, device="cpu")
    seen: list[tuple[int, int]] = []
    prepared = run_with_progress(steps, lambda *at: seen.append(at), "")
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert {done[-1]} == set(totals)
    assert next(prepared).done == 1
