"""Hot pixels and rays go, stars stay."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf
from skimage.io import imread

from napari_noiser.camera.noise_model import CameraNoise, estimate_noise
from napari_noiser.camera.outliers import REACH, find_outliers, repair_outliers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CAMERA = CameraNoise(gain=2.0, offset=100.0, read_noise=1.6)
SKY = 20.0


def taken(light: Floats, seed: int = 0, camera: CameraNoise = CAMERA) -> Floats:
    """Return whole counts of electrons expected."""
    random = np.random.default_rng(seed)
    electrons = random.poisson(light) + camera.read_noise * random.normal(size=light.shape)
    return np.rint(camera.gain * electrons + camera.offset)


def sky(shape: tuple[int, ...] = (256, 256), electrons: float = SKY) -> Floats:
    return taken(np.full(shape, electrons))


def sigma(electrons: float = SKY) -> float:
    return float(np.sqrt(CAMERA.variance(CAMERA.gain * electrons + CAMERA.offset)))


def planted(image: Floats, height: float, shape: tuple[tuple[int, int], ...] = ((0, 0),)) -> Bools:
    """Add rays of one shape every 16 pixels; return where."""
    there = np.zeros(image.shape, bool)
    for y, x in shape:
        there[8 + y :: 16, 8 + x :: 16] = True
    image[there] += height
    return there


def stars(width: float, peak: float, electrons: float) -> Floats:
    """Return 64 Gaussian stars, integrated over pixels, their centers anywhere between them."""
    random = np.random.default_rng(3)
    light = np.full((256, 256), electrons)
    scale = width / 2.3548 * 2**0.5
    for corner in np.ndindex(8, 8):
        y, x = 32 * np.array(corner) + 16 + random.uniform(-0.5, 0.5, 2)
        down, across = (
            erf((np.arange(256) + 0.5 - at) / scale) - erf((np.arange(256) - 0.5 - at) / scale)
            for at in (y, x)
        )
        light += peak * np.outer(down / down.max(), across / across.max())
    return light


def scene() -> Floats:
    """Return a frame with stars, hot and dead pixels, an edge, and what is not finite."""
    random = np.random.default_rng(4)
    image = taken(stars(2.5, 200.0, 5.0))
    image[random.random(image.shape) < 0.02] += 300
    image[random.random(image.shape) < 0.01] = 0
    image[random.random(image.shape) < 0.005] = np.nan
    image[40, 40:60] = np.inf
    return image


SCENE = scene()
REPAIRED = repair_outliers(SCENE, CAMERA)


@pytest.mark.parametrize(
    ("electrons", "read"), [(0.05, 0.0), (1, 0), (1, 1.6), (14, 0), (300, 1.6), (0, 5.0)]
)
def test_noise_is_left_alone(electrons: float, read: float) -> None:
    camera = CameraNoise(2.0, 100.0, read)
    noise = taken(np.full((512, 512), float(electrons)), camera=camera)
    assert find_outliers(noise, camera).sum() <= 2
    assert find_outliers(noise, camera, 3.0).mean() < 1e-3


@pytest.mark.parametrize("width", [2.0, 2.5, 3.0, 5.0])
@pytest.mark.parametrize("peak", [10.0, 100.0, 3000.0, 1e5])
@pytest.mark.parametrize("electrons", [0.2, 100.0])
def test_stars_stay(width: float, peak: float, electrons: float) -> None:
    field = taken(stars(width, peak, electrons))
    assert find_outliers(field, CAMERA).sum() == 0


@pytest.mark.parametrize("cut", [15, 16, 17, 18])
def test_stars_cut_by_an_edge_stay(cut: int) -> None:
    light = stars(2.5, 500.0, 5.0)  # their centers at 16 and every 32
    assert find_outliers(taken(light)[cut:, 5:], CAMERA).sum() == 0
    assert find_outliers(taken(light)[5:, cut:], CAMERA).sum() == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_hot_and_dead_pixels_are_found(sign: int) -> None:
    image = sky((512, 512), 400.0)
    there = planted(image, sign * 15 * sigma(400.0))
    found = find_outliers(image, CAMERA)
    assert found[there].mean() >= 0.99
    assert not found[~there].any()


@pytest.mark.parametrize(
    "shape",
    [
        ((0, 0), (0, 1)),
        ((0, 0), (1, 0), (2, 0)),
        ((0, 0), (1, 1), (2, 2)),
        ((0, 0), (0, 1), (1, 2), (1, 3)),
        tuple((0, x) for x in range(5)),
    ],
)
def test_rays_are_found(shape: tuple[tuple[int, int], ...]) -> None:
    image = sky((512, 512))
    there = planted(image, 20 * sigma(), shape)
    assert find_outliers(image, CAMERA)[there].mean() > 0.95


def test_repaired_pixels_are_as_their_neighbors() -> None:
    clean = sky()
    hit = clean.copy()
    there = planted(hit, 1e4, ((0, 0), (0, 1), (0, 2)))
    fixed = repair_outliers(hit, CAMERA)
    assert abs(fixed[there].mean() - clean.mean()) < sigma() / 4
    assert fixed[there].std() < sigma()
    np.testing.assert_array_equal(fixed[~there], clean[~there])


@pytest.mark.parametrize("y", [0, 1, 30, 62, 63])
@pytest.mark.parametrize("x", [0, 1, 30, 62, 63])
def test_a_hot_pixel_is_found_at_any_edge(y: int, x: int) -> None:
    image = sky((64, 64))
    image[y, x] += 40 * sigma()
    assert np.argwhere(find_outliers(image, CAMERA)).tolist() == [[y, x]]


def test_a_few_photons_in_the_dark_are_light() -> None:
    camera = CameraNoise(1.0)
    dark = np.zeros((32, 32))
    dark[16, 16] = 7  # 7 photons are far more than 6 times the noise of none
    assert not find_outliers(dark, camera).any()
    dark[16, 16] = 40
    assert find_outliers(dark, camera).sum() == 1


@pytest.mark.parametrize(("height", "likelier"), [(220, 15.7), (-96, 9.6)])
def test_skewed_noise_is_allowed_for(height: float, likelier: float) -> None:
    """Of 100 electrons, bright pixels scatter by more than 10, dark ones by no more than that."""
    flat = np.full((16, 16), 100.0)
    flat[8, 8] += height
    assert find_outliers(flat, CameraNoise(1.0), likelier - 0.2).sum() == 1
    assert find_outliers(flat, CameraNoise(1.0), likelier + 0.2).sum() == 0


@given(
    top=st.integers(0, 200),
    left=st.integers(0, 200),
    height=st.integers(1, 56),
    width=st.integers(1, 56),
)
def test_tiles_with_a_margin_equal_the_whole(top: int, left: int, height: int, width: int) -> None:
    image = SCENE
    outer = tuple(
        slice(max(start - REACH, 0), start + length + REACH)
        for start, length in ((top, height), (left, width))
    )
    inner = tuple(
        slice(start - cut.start, start - cut.start + length)
        for start, length, cut in zip((top, left), (height, width), outer, strict=True)
    )
    tile = repair_outliers(image[outer], CAMERA)[inner]
    whole = REPAIRED[top : top + height, left : left + width]
    np.testing.assert_array_equal(tile, whole)


def test_reach_is_enough_where_outliers_touch() -> None:
    random = np.random.default_rng(6)
    image = sky((96, 96))
    image += (random.random(image.shape) < 0.2) * random.uniform(0, 20 * sigma(), image.shape)
    whole = repair_outliers(
        image, CAMERA, sigmas=1.0
    )  # outliers in plenty, many of them by a hair
    for y, x in np.ndindex(24, 24):
        top, left = max(4 * y - REACH, 0), max(4 * x - REACH, 0)
        tile = repair_outliers(
            image[top : 4 * y + 4 + REACH, left : 4 * x + 4 + REACH], CAMERA, sigmas=1.0
        )
        kept = tile[4 * y - top :, 4 * x - left :][:4, :4]
        np.testing.assert_array_equal(kept, whole[4 * y : 4 * y + 4, 4 * x : 4 * x + 4])


@given(power=st.integers(-8, 8), shift=st.integers(-4096, 4096))
def test_gain_and_offset_do_not_matter(power: int, shift: int) -> None:
    gain, image = 2.0**power, SCENE[:64, :64]
    camera = CameraNoise(CAMERA.gain * gain, CAMERA.offset * gain + shift, CAMERA.read_noise)
    moved = repair_outliers(gain * image + shift, camera)
    np.testing.assert_array_equal(moved, gain * repair_outliers(SCENE[:64, :64], CAMERA) + shift)


def test_what_is_not_finite_stays_and_hides_nothing() -> None:
    image = sky((64, 64))
    image[20, 20:23] = np.nan
    image[21, 20], image[21, 22] = np.inf, -np.inf
    image[21, 21] += 40 * sigma()
    fixed = repair_outliers(image, CAMERA)
    assert abs(fixed[21, 21] - image[22:24].mean()) < 3 * sigma()
    changed = ~((fixed == image) | (np.isnan(fixed) & np.isnan(image)))
    assert np.argwhere(changed).tolist() == [[21, 21]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint64, np.float32])
def test_dtype_is_kept(dtype: type[np.generic]) -> None:
    image = sky((64, 64), 10.0).clip(0, 255).astype(dtype)
    image[10, 10] = 255
    before = image.copy()
    fixed = repair_outliers(image, CAMERA)
    assert fixed.dtype == dtype
    assert abs(float(fixed[10, 10]) - 120) < 20
    np.testing.assert_array_equal(image, before)


def test_whole_numbers_are_rounded() -> None:
    image = np.full((9, 9), 1000, np.uint16)
    image[4, 4] = 60000
    image[3] += 3
    image[5, 4] += 1
    image[4, 3:6:2] += 2  # the middle two of the 8 are 1001 and 1002
    image[5, 3:6:2] += 1
    assert repair_outliers(image.astype(float), CAMERA)[4, 4] == 1002
    image[4, 3] -= 1
    assert repair_outliers(image.astype(float), CAMERA)[4, 4] == 1001.5
    assert repair_outliers(image, CAMERA)[4, 4] == 1002


def test_an_image_without_outliers_is_not_copied() -> None:
    image = sky((64, 64))
    assert repair_outliers(image, CAMERA) is image


def test_planes_are_repaired_each_for_itself() -> None:
    stack = np.stack([SCENE[:64, :64], SCENE[64:128, :64]])[:, None]
    single = [repair_outliers(plane, CAMERA) for plane in stack[:, 0]]
    np.testing.assert_array_equal(repair_outliers(stack, CAMERA)[:, 0], single)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (0, 4), (0, 8, 8)])
def test_small_images_are_taken(shape: tuple[int, ...]) -> None:
    assert repair_outliers(np.full(shape, 120.0), CAMERA).shape == shape


@pytest.mark.parametrize(
    ("image", "sigmas", "error", "message"),
    [
        (np.zeros(4), 6.0, ValueError, "2 dimensions"),
        (np.zeros((4, 4), complex), 6.0, TypeError, "integers or floats"),
        (np.zeros((4, 4), bool), 6.0, TypeError, "integers or floats"),
        (np.zeros((4, 4)), 0.0, ValueError, "sigmas"),
        (np.zeros((4, 4)), "6", TypeError, "sigmas"),
    ],
)
def test_bad_input_is_named(
    image: NDArray[np.generic], sigmas: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        repair_outliers(image, CAMERA, sigmas=sigmas)
    with pytest.raises(TypeError, match="noise must be a CameraNoise, got None"):
        repair_outliers(np.zeros((4, 4)), None)  # type: ignore[arg-type]


@pytest.mark.skipif("NAPARI_NOISER_DATA" not in os.environ, reason="NAPARI_NOISER_DATA is not set")
def test_microscopy_without_hot_pixels_is_left_alone() -> None:
    for path in sorted(Path(os.environ["NAPARI_NOISER_DATA"], "w2s/avg1").glob("*.tif")):
        frame = imread(path)
        assert find_outliers(frame, estimate_noise(frame)).sum() <= 2
