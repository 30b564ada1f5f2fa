"""Rows or columns with offsets of their own are named, and taken out where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.compare import assert_alike, rms
from helpers.scenes import light
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from napari_noiser import choose, denoise, diagnose, enhance
from napari_noiser._progress import run_with_progress
from napari_noiser.camera import banding_profile, banding_strength
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.files.enhance_to_file import denoise_to_file

SHAPE = (220, 260)
RANDOM = np.random.default_rng(3)
OFFSETS = {"rows": RANDOM.normal(0, 6, (220, 1)), "columns": RANDOM.normal(0, 6, (1, 260))}
OFFSETS["both"] = OFFSETS["rows"] + OFFSETS["columns"]
KINDS = ["rows", "columns", "both"]
OPTIONS: dict[str, Any] = {"device": "cpu", "dtype": "float64"}


def noisy(seed: int = 0, scene: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return light as a camera with an offset of 500 counts it."""
    seen = 2 * light(SHAPE) if scene is None else scene
    return np.round(np.random.default_rng(seed).poisson(seen) + 500.0)


def cosine_grid() -> NDArray[np.float64]:
    y, x = np.indices(SHAPE)
    return np.asarray(60 + 40 * np.cos(x / 6) * np.cos(y / 6))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scene", [None, cosine_grid()], ids=["cells", "grid"])
def test_the_profile_is_what_was_added(kind: str, scene: Any) -> None:
    image = noisy(scene=scene) + OFFSETS[kind]
    found = banding_strength(image)
    assert found.found == kind
    for lines, axis in (("rows", 1), ("columns", 0)):
        if kind in (lines, "both"):
            profile = banding_profile(image, lines)  # type: ignore[arg-type]
            expected = OFFSETS[lines].ravel() - np.median(OFFSETS[lines])
            assert np.corrcoef(profile, expected)[0, 1] > 0.9
            assert rms(profile - expected - np.mean(profile - expected)) < 0.5 * expected.std()
            assert profile.shape == (SHAPE[1 - axis],)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: gaussian_filter(image, 0.8),
        lambda image: uniform_filter(image, (1, 3)),
        lambda image: gaussian_filter(image, (0.0, 1.0)),
    ],
    ids=["white", "smoothed", "binned in x", "blurred in x"],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_that_neighbors_share_is_no_banding(change: Any, seed: int) -> None:
    image = change(noisy(seed))
    assert banding_strength(image).found == "keep"
    assert diagnose(image).banding.found == "keep"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_it_is_named_and_not_called_shared_noise(kind: str, share: float) -> None:
    found = diagnose(noisy() + share * OFFSETS[kind])
    assert found.banding.found == kind
    assert found.whiteness is not None
    assert not found.whiteness.correlated
    assert any(f'banding="{kind}"' in remark for remark in found.remarks())
    assert "share noise" not in choose(noisy() + share * OFFSETS[kind]).reason


@pytest.mark.parametrize("kind", KINDS)
def test_light_is_nearer_to_the_truth_without_it(kind: str) -> None:
    truth = 2 * light(SHAPE) + 500
    image = noisy() + OFFSETS[kind]
    kept, without = (denoise(image, banding=each, **OPTIONS) for each in ("keep", kind))
    assert rms(without - truth) < 0.7 * rms(kept - truth)
    assert abs(float(np.mean(without - truth))) < 1


def test_light_without_banding_loses_little() -> None:
    truth = 2 * light(SHAPE) + 500
    kept, without = (denoise(noisy(), banding=each, **OPTIONS) for each in ("keep", "both"))
    assert rms(without - truth) < 1.15 * rms(kept - truth)


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_blocks_and_views_are_exact(kind: str, tmp_path: Path) -> None:
    stack = np.stack([noisy(seed) + (1 + seed) * OFFSETS[kind] for seed in range(3)])
    options: dict[str, Any] = {**OPTIONS, "banding": kind, "axes": "TYX"}
    whole = enhance(stack, "noiser", **options)
    assert_alike(enhance(stack, "noiser", tile=50, **options), whole, 1e-5)
    stored = zarr.array(stack, chunks=(1, 64, 100))
    assert_alike(enhance(stored, "noiser", memory_limit=2_000_000, **options), whole, 1e-5)
    lazy = enhance(da.from_array(stack, (1, 90, 90)), "noiser", **options)
    assert_alike(np.asarray(lazy), whole, 1e-5)
    plan = calibrate(make_plan(stack, "noiser", **options))
    moments = run_with_progress(measure_steps(plan), False, "")
    assert_alike(np.asarray(live_image(plan, moments)), whole, 1e-5)


def test_a_result_in_a_file_says_what_was_taken_out(tmp_path: Path) -> None:
    image = noisy() + OFFSETS["rows"]
    path = denoise_to_file(image, tmp_path / "a.zarr", banding="rows", device="cpu")
    group = zarr.open_group(str(path), mode="r")
    provenance: Any = group.attrs["napari_noiser"]
    assert provenance["banding"] == "rows"
    assert provenance["banding_removed"]["rows"] == pytest.approx(6, rel=0.2)
    assert provenance["banding_removed"]["columns"] == 0
    expected = denoise(image, banding="rows", device="cpu")
    np.testing.assert_allclose(np.asarray(group["0"]), expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 60000.0, np.nan])
def test_what_does_not_count_has_no_influence(value: float) -> None:
    image = noisy() + OFFSETS["rows"]
    mask = np.ones(SHAPE, bool)
    mask[40:80, 30:200] = mask[:, 5] = False
    before = enhance(image, "noiser", banding="rows", mask=mask, **OPTIONS)
    spoiled = np.where(mask, image, value)
    after = enhance(spoiled, "noiser", banding="rows", mask=mask, **OPTIONS)
    far = np.ones(SHAPE, bool)
    far[37:83, 27:203] = far[:, 2:9] = False
    np.testing.assert_array_equal(after[far], before[far])


@pytest.mark.parametrize("fill", [0.0, 65535.0])
def test_fill_stays_as_it_is(fill: float) -> None:
    image = noisy() + OFFSETS["rows"]
    image[:, :60] = fill
    light_of = denoise(image, banding="rows", **OPTIONS)
    np.testing.assert_array_equal(light_of[:, :60], fill)
    missing = np.where(np.arange(SHAPE[1]) < 60, np.nan, image)
    assert_alike(light_of[:, 60:], denoise(missing, banding="rows", **OPTIONS)[:, 60:], 1e-3)


def test_colors_channels_and_volumes() -> None:
    planes = np.stack([noisy(seed) + OFFSETS["rows"] for seed in range(3)])
    colors = np.moveaxis(planes, 0, -1)
    options: dict[str, Any] = {**OPTIONS, "banding": "rows"}
    each = [denoise(plane, camera=None, **options) for plane in planes]
    kept = denoise(colors, axes="YXS", camera=None, **options)
    assert kept.shape == colors.shape
    channels = denoise(planes, axes="CYX", camera=None, **options)
    assert_alike(channels, np.stack(each), 1e-5)
    volume = enhance(planes, "noiser", axes="ZYX", ndim=3, **options)
    assert_alike(enhance(planes, "noiser", axes="ZYX", ndim=3, tile=40, **options), volume, 1e-5)
