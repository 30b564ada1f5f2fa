"""A few bright pixels do not flatten the rest of a display."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.compare import assert_alike
from helpers.scenes import counts, light
from numpy.typing import NDArray
from skimage.io import imread

from napari_noiser import enhance
from napari_noiser._progress import run_with_progress
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.files.enhance_to_file import enhance_to_file, start_save

DATA = os.environ.get("NAPARI_NOISER_DATA")
SHAPE = (300, 340)
SCENE = np.round(counts(light(SHAPE))).astype("uint16")
OPTIONS: dict[str, Any] = {"device": "cpu", "dtype": "float64", "background": "gray"}


def hot_pixel(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Set a pixel as high as it can be; return where it is seen by a network."""
    image[40, 77] = 65535
    near = np.zeros(image.shape, bool)
    near[37:44, 74:81] = True
    return near


def saturated_star(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Set a disc with a halo of light around it."""
    y, x = np.indices(image.shape)
    distance = np.hypot(y - 200, x - 60)
    glow = 60000 / (1 + (distance / 3) ** 6)
    image[:] = np.minimum(image + glow, 65535).astype(image.dtype)
    return np.asarray(glow > 2)


def dead_sentinels(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Lift the image off 0, and set pixels there to 0."""
    image += 30000
    image[5, 5] = image[250, 301] = image[100, 7] = 0
    near = np.zeros(image.shape, bool)
    for y, x in ((5, 5), (250, 301), (100, 7)):
        near[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = True
    return near


SPOILED = {each.__name__: each for each in (hot_pixel, saturated_star, dead_sentinels)}


def spoiled(kind: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    image = SCENE.copy()
    return image, SPOILED[kind](image)


@pytest.mark.parametrize("model", ["noiser", "noiser-es", "noiser-var3"])
@pytest.mark.parametrize("kind", SPOILED)
def test_the_rest_is_shown_as_it_was(kind: str, model: str) -> None:
    image, near = spoiled(kind)
    found = enhance(image, model, **OPTIONS)
    clean = enhance(SCENE, model, **OPTIONS)
    assert np.corrcoef(found[~near], clean[~near])[0, 1] > 0.98
    assert found[~near].std() > 0.7 * clean[~near].std()


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (300.0, 7000.0), (1.0, -60.0)])
def test_gain_and_offset_do_not_matter(kind: str, gain: float, offset: float) -> None:
    image = spoiled(kind)[0].astype("float64")
    expected = enhance(image, "noiser", **OPTIONS)
    assert_alike(enhance(gain * image + offset, "noiser", **OPTIONS), expected, 1e-5)


@pytest.mark.parametrize("kind", SPOILED)
def test_tiles_blocks_and_views_are_exact(kind: str, tmp_path: Path) -> None:
    image, _ = spoiled(kind)
    whole = enhance(image, "noiser", **OPTIONS)
    assert_alike(enhance(image, "noiser", tile=61, **OPTIONS), whole, 1e-5)
    assert_alike(np.asarray(enhance(da.from_array(image, 90), "noiser", **OPTIONS)), whole, 1e-5)
    stored = zarr.array(image, chunks=(64, 100))
    assert_alike(enhance(stored, "noiser", **OPTIONS), whole, 1e-5)
    plan = calibrate(make_plan(image, "noiser", **OPTIONS))
    moments = run_with_progress(measure_steps(plan), False, "")
    assert_alike(np.asarray(live_image(plan, moments)), whole, 1e-5)


def test_it_is_resumed_to_the_same(tmp_path: Path) -> None:
    image = zarr.array(spoiled("saturated_star")[0], chunks=(64, 64))
    options: dict[str, Any] = {"memory_limit": 400_000, "tile": 32, "device": "cpu"}
    for stop in (9, 80, None):
        task = start_save(image, tmp_path / "a.zarr", "noiser", resume=stop != 9, **options)
        with closing(task.steps()) as steps:
            assert list(islice(steps, stop))
    enhance_to_file(image, tmp_path / "b.zarr", "noiser", **options)
    first, second = (
        np.asarray(zarr.open(tmp_path / name, mode="r")["0"]) for name in ("a.zarr", "b.zarr")
    )
    np.testing.assert_array_equal(first, second)


def test_each_plane_group_and_channel_for_itself() -> None:
    stack = np.stack([SCENE, spoiled("hot_pixel")[0], SCENE])
    clean = enhance(SCENE, "noiser", **OPTIONS)
    for options in ({"axes": "CYX"}, {"axes": "TYX", "statistics": "plane"}):
        found = enhance(stack, "noiser", **OPTIONS, **options)
        assert_alike(found[0], clean, 1e-6)
        assert np.corrcoef(found[1].ravel(), clean.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("colors", ["balanced", "kept"])
def test_colors_keep_their_balance(colors: str) -> None:
    image = np.stack([SCENE, SCENE // 2, SCENE // 3], axis=-1)
    hot = image.copy()
    hot[40, 77, 0] = 65535
    options: dict[str, Any] = {**OPTIONS, "axes": "YXS", "colors": colors}
    found, clean = (enhance(each, "noiser", **options) for each in (hot, image))
    far = np.ones(SHAPE, bool)
    far[37:44, 74:81] = False
    assert np.abs(found - clean)[far].max() < 0.05


def test_what_is_bright_in_many_places_is_no_outlier() -> None:
    """Tissue beside an empty middle is not cut off: it is most of the light."""
    image = np.random.default_rng(0).poisson(10, (1400, 1400)).astype("uint16")
    image[:150] += np.random.default_rng(1).poisson(3000, (150, 1400)).astype("uint16")
    plan = calibrate(make_plan(image, "noiser", **OPTIONS))
    (moments,) = run_with_progress(measure_steps(plan), False, "").values()
    assert moments.beyond > 0
    assert not moments.swamped


@pytest.mark.skipif(DATA is None, reason="NAPARI_NOISER_DATA is not set")
@pytest.mark.parametrize("folder", ["lol/low", "lol/high", "w2s/avg1", "w2s/avg400", "fmd/low"])
def test_clean_images_have_nothing_beyond(folder: str) -> None:
    for path in sorted(Path(DATA or "", folder).iterdir()):
        image = imread(path)
        axes = "YXS" if image.ndim == 3 else "YX"
        plan = calibrate(make_plan(image, "noiser", axes=axes, device="cpu"))
        (moments,) = run_with_progress(measure_steps(plan), False, "").values()
        assert moments.bounded is None


@pytest.mark.parametrize(("value", "place"), [(65535, (150, 150)), (30000, (40, 211))])
def test_what_lies_beside_a_bright_pixel_stays_to_be_seen(
    value: int, place: tuple[int, int]
) -> None:
    """Unbounded it would paint the 5 x 5 pixels around it white and black."""
    rows, columns = np.mgrid[:300, :300]
    light = 20 + 30 * (np.hypot(rows % 70 - 35, columns % 70 - 35) < 11)
    image = (np.random.default_rng(5).poisson(light) + 100).astype(np.uint16)
    hot = image.copy()
    hot[place] = value
    clean, shown = (enhance(each, "noiser", device="cpu") for each in (image, hot))
    around = tuple(slice(at - 2, at + 3) for at in place)
    changed = np.abs(shown - clean)[around]
    assert changed[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.2
    assert np.median(changed) < 0.3


@pytest.mark.parametrize("model", ["noiser", "noiser-var3"])
@pytest.mark.parametrize(("value", "count"), [(65535, 1), (3000, 3), (65535, 20)])
def test_bright_pixels_do_not_flatten_a_dark_display(model: str, value: int, count: int) -> None:
    rows, columns = np.mgrid[:256, :256]
    light = 20 + 30 * (np.hypot(rows % 70 - 35, columns % 70 - 35) < 11)
    image = (np.random.default_rng(5).poisson(light) + 100).astype(np.uint16)
    hot = image.copy()
    hot.flat[np.random.default_rng(0).choice(hot.size, count, replace=False)] = value
    clean, shown = (enhance(each, model, background="dark", device="cpu") for each in (image, hot))
    np.testing.assert_allclose(
        np.percentile(shown, (5, 50, 95)), np.percentile(clean, (5, 50, 95)), atol=0.03
    )
