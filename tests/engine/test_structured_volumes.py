"""What a network that restores makes of volumes and of time series: neighbors help, no seams."""

from __future__ import annotations

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
    scales=(6,),
    batch=2,
    size=32,
    learning_rate=2e-3,
)
NEAR = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def model() -> Model:
    return train(RECIPE, ndim=3, device="cpu")


def counts(*shape: int) -> np.ndarray:
    light = np.random.default_rng(1).gamma(2.0, 4.0, (*shape[:-2], 1, 1)) + np.zeros(shape)
    light[..., shape[-2] // 2 :, :] *= 2
    return np.random.default_rng(2).poisson(light).astype("uint16") + 100


@settings(max_examples=15)
@given(
    depth=st.integers(1, 9),
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    tile=st.integers(3, 30),
)
def test_tiles_equal_the_whole(
    model: Model, depth: int, height: int, width: int, tile: int
) -> None:
    image = counts(depth, height, width)
    image[0, 0, 0] += 1000
    whole = enhance(image, model, ndim=3, tile=1000)
    np.testing.assert_allclose(enhance(image, model, ndim=3, tile=tile), whole, **NEAR)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_chunks_equal_the_whole(model: Model, axes: str) -> None:
    image = counts(7, 43, 37)
    options = {"axes": axes, "ndim": 3}
    stored = zarr.array(image, chunks=(2, 25, 17))
    out = zarr.zeros(image.shape, chunks=(3, 19, 33), dtype="float32")
    enhance(stored, model, out=out, memory_limit=60_000, **options)
    np.testing.assert_allclose(out[:], enhance(image, model, **options), **NEAR)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_dask_blocks_equal_the_whole(model: Model, axes: str) -> None:
    image = counts(7, 70, 66)
    options = {"axes": axes, "ndim": 3}
    lazy = da.from_array(image, chunks=(3, 36, 33))
    found = enhance(lazy, model, **options).compute()
    np.testing.assert_allclose(found, enhance(image, model, **options), **NEAR)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 1, 2), (6, 33, 17)])
def test_a_live_plane_equals_that_of_the_whole(
    model: Model, axes: str, corner: tuple[int, ...]
) -> None:
    image = counts(7, 43, 37)
    plan = calibrate(make_plan(image, model, axes=axes, ndim=3))
    steps = measure_steps(plan)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            view = live_image(plan, end.value)
            break
    here = tuple(slice(at, at + n) for at, n in zip(corner, (1, 15, 15), strict=True))
    whole = enhance(image, model, axes=axes, ndim=3)
    np.testing.assert_allclose(np.asarray(view[here]), whole[here], **NEAR)


def test_time_stands_in_for_depth(model: Model) -> None:
    image = counts(5, 30, 32)
    in_time = enhance(image, model, axes="TYX", ndim=3, output="intensity")
    np.testing.assert_array_equal(
        in_time, enhance(image, model, axes="ZYX", ndim=3, output="intensity")
    )
    last = np.moveaxis(image, 0, -1)
    turned = enhance(last, model, axes="YXT", ndim=3, output="intensity")
    assert_alike(np.moveaxis(turned, -1, 0), in_time)


def test_channels_of_a_time_series_are_restored_one_by_one(model: Model) -> None:
    image = np.stack([counts(4, 30, 32), counts(4, 30, 32)[::-1] * 3], axis=1)
    options = {"ndim": 3, "output": "intensity"}
    found = enhance(image, model, axes="TCYX", **options)
    for dye in range(2):
        alone = enhance(image[:, dye], model, axes="TYX", **options)
        assert_alike(found[:, dye], alone)


def test_depth_goes_before_time_where_there_are_both(model: Model) -> None:
    image = counts(2, 4, 30, 32)
    image[1] = 2 * image[1]
    options = {"ndim": 3, "statistics": "volume", "camera": None}
    found = enhance(image, model, axes="TZYX", **options)
    for at in range(2):
        alone = enhance(image[at], model, axes="ZYX", **options)
        np.testing.assert_allclose(found[at], alone, **NEAR)


def test_a_plane_comes_out_otherwise_between_other_neighbors(model: Model) -> None:
    image = counts(5, 30, 32)
    other = image.copy()
    other[2] = other[2].T[:30, :30].repeat(2, 1)[:, :32]
    found, changed = (
        enhance(each, model, ndim=3, camera=None, repair=False, output="intensity")
        for each in (image, other)
    )
    moved = np.abs(found - changed).max(axis=(1, 2))
    assert moved[[1, 2, 3]].min() > 2 * moved[[0, 4]].max()  # which the exposure alone moves


def test_one_plane_is_a_volume(model: Model) -> None:
    plane = counts(1, 40, 44)
    options = {"ndim": 3, "camera": None, "output": "intensity"}
    alone = enhance(plane, model, **options)
    pile = enhance(plane.repeat(4, axis=0), model, **options)
    assert_alike(pile, alone.repeat(4, axis=0))


def test_colors_of_volumes_are_kept(model: Model) -> None:
    image = np.stack([counts(3, 30, 32) * n for n in (3, 2, 1)], axis=-1)
    light = enhance(image, model, axes="ZYXS", ndim=3, output="intensity")
    assert light.shape == image.shape
    red, green, blue = np.median(light, axis=(0, 1, 2))
    assert red > green > blue


def test_a_volume_without_signal_is_as_it_was(model: Model) -> None:
    with pytest.warns(UserWarning, match="no signal"):
        light = enhance(np.full((3, 20, 20), 7.0), model, ndim=3, output="intensity")
    np.testing.assert_array_equal(light, 7.0)


def test_an_image_without_depth_and_time_is_no_volume(model: Model) -> None:
    with pytest.raises(ValueError, match="ndim=3 needs an axis Z, or T in its place"):
        enhance(counts(20, 20), model, ndim=3)
