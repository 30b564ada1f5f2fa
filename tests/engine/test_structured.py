"""What a network that restores makes of arrays: the same from any tile, chunk or block; light."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import zarr
from alike import assert_alike
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.enhance import enhance
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.model import Model
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.structured_noise import Structure
from napari_noiser.methods.noiser.training import train

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


@pytest.fixture(scope="module")
def model() -> Model:
    return train(RECIPE, device="cpu")


def counts(*shape: int) -> np.ndarray:
    coarse = [length if length < 4 else -(-length // 6) for length in shape]
    light = np.random.default_rng(1).gamma(2.0, 4.0, coarse)
    for axis, length in enumerate(shape):
        light = light.repeat(1 if length < 4 else 6, axis).take(range(length), axis)
    return np.random.default_rng(2).poisson(light).astype("uint16") + 100


@settings(max_examples=20)
@given(height=st.integers(2, 90), width=st.integers(2, 90), tile=st.integers(5, 64))
def test_tiles_equal_the_whole(model: Model, height: int, width: int, tile: int) -> None:
    image = counts(height, width)
    image[0, 0] += 1000
    whole = enhance(image, model, tile=1000)
    np.testing.assert_allclose(enhance(image, model, tile=tile), whole, **NEAR)


def test_chunks_equal_the_whole(model: Model) -> None:
    image = counts(3, 83, 71)
    stored = zarr.array(image, chunks=(1, 25, 17))
    out = zarr.zeros(image.shape, chunks=(2, 19, 33), dtype="float32")
    enhance(stored, model, out=out, memory_limit=60_000)
    np.testing.assert_allclose(out[:], enhance(image, model), **NEAR)


def test_dask_blocks_equal_the_whole(model: Model) -> None:
    image = counts(2, 83, 71)
    lazy = da.from_array(image, chunks=(1, 27, 25))
    np.testing.assert_allclose(enhance(lazy, model).compute(), enhance(image, model), **NEAR)


@pytest.mark.parametrize("corner", [(0, 0), (1, 2), (33, 17), (50, 51)])
def test_a_live_view_equals_the_whole(model: Model, corner: tuple[int, int]) -> None:
    image = counts(83, 71)
    plan = calibrate(make_plan(image, model))
    steps = measure_steps(plan)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            view = live_image(plan, end.value)
            break
    here = tuple(slice(at, at + 15) for at in corner)
    np.testing.assert_allclose(np.asarray(view[here]), enhance(image, model)[here], **NEAR)


def test_empty_parts_of_a_store_equal_the_whole(model: Model) -> None:
    image = np.zeros((96, 96), "uint16")
    image[:30, :30] = counts(30, 30)
    whole = enhance(image, model, tile=1000)
    np.testing.assert_allclose(enhance(image, model, tile=16), whole, **NEAR)


@settings(max_examples=20)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e4, 1e4))
def test_intensity_moves_with_gain_and_offset(model: Model, gain: float, offset: float) -> None:
    image = counts(40, 44).astype(np.float64)
    light = enhance(image, model, output="intensity", dtype="float64")
    moved = enhance(gain * image + offset, model, output="intensity", dtype="float64")
    np.testing.assert_allclose(moved, gain * light + offset, rtol=1e-4, atol=1e-3 * gain)


def test_display_is_the_intensity_through_a_curve(model: Model) -> None:
    """Standardized by the image's own moments, times 50 / 127.5, through tanh."""
    image, options = counts(64, 64), {"camera": None, "dtype": "float64"}
    light = enhance(image, model, output="intensity", **options).ravel()
    shown = enhance(image, model, contrast=0.5, brightness=0.1, **options).ravel()
    response = (np.arctanh(2 * shown - 1) - 0.1) / 0.5
    slope, middle = np.polyfit(response, light, 1)
    np.testing.assert_allclose(slope * response + middle, light, rtol=1e-3)
    assert middle == pytest.approx(image.mean(), rel=1e-2)


def test_intensity_of_integers_is_rounded_and_kept_in_range(model: Model) -> None:
    image = counts(48, 48)
    light = enhance(image, model, output="intensity", dtype="float64")
    rounded = enhance(image, model, output="intensity", dtype="uint16")
    np.testing.assert_array_equal(rounded, np.rint(light))
    assert enhance(image, model, output="intensity", dtype="uint8").max() <= 255


def test_what_is_not_finite_passes(model: Model) -> None:
    image = counts(48, 48).astype("float32")
    image[5, 6], image[7, 8] = np.nan, np.inf
    light = enhance(image, model, output="intensity")
    assert np.isnan(light[5, 6])
    assert light[7, 8] == np.inf
    assert np.isfinite(light).sum() == light.size - 2


def test_large_integers_keep_their_offset(model: Model) -> None:
    image = counts(40, 40).astype("int64")
    light = enhance(image, model, output="intensity", dtype="float64")
    moved = enhance(image + 2**60, model, output="intensity", dtype="float64")
    np.testing.assert_allclose(moved - 2.0**60, light, atol=300)  # what float64 holds there


def test_a_constant_image_is_as_it_was() -> None:
    model = train(RECIPE, device="cpu")
    with pytest.warns(UserWarning, match="no signal"):
        light = enhance(np.full((20, 20), 7.0), model, output="intensity")
    np.testing.assert_array_equal(light, 7.0)


def test_colors_and_alpha(model: Model) -> None:
    image = np.stack([counts(40, 40)] * 3 + [np.full((40, 40), 65535, "uint16")], axis=-1)
    light = enhance(image, model, axes="YXS", colors="kept", output="intensity")
    np.testing.assert_array_equal(light[..., 3], 65535)
    alone = enhance(image[..., 0], model, output="intensity")
    assert_alike(light[..., 1], alone)
    color = train(replace(RECIPE, iterations=1), samples=3, device="cpu")
    assert enhance(image, color, axes="YXS").shape == image.shape


@pytest.mark.parametrize("output", ["light", None])
def test_unknown_outputs_are_refused(model: Model, output: str) -> None:
    with pytest.raises(ValueError, match="output must be one of"):
        enhance(counts(20, 20), model, output=output)  # type: ignore[arg-type]


def test_a_model_of_displays_gives_no_intensity() -> None:
    with pytest.raises(ValueError, match="this one makes a display"):
        enhance(counts(20, 20), "noiser", output="intensity")


def test_colors_of_a_photograph_are_kept_by_the_bundled_model() -> None:
    photo = np.stack([counts(40, 40) * factor for factor in (3, 2, 1)], axis=-1)
    shown = enhance(photo, "structured", axes="YXS")
    np.testing.assert_array_equal(shown, enhance(photo, "structured", axes="YXS", colors="kept"))
    red, green, blue = np.median(shown, axis=(0, 1))
    assert red > green > blue
    assert make_plan(photo, "structured", axes="YXS").describe()["colors"] == "kept"
