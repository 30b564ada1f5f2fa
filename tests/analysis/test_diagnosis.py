"""What is said of an image before it is enhanced: true of it, and silent where all is well."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.io import imread

from napari_noiser.analysis.diagnosis import Diagnosis, diagnose
from napari_noiser.camera.noise_variance import noise_variance

DATA = os.environ.get("NAPARI_NOISER_DATA")

needs_data = pytest.mark.skipif(
    not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images"
)


def cells(noise: float = 0.0, side: int = 128) -> NDArray[np.float64]:
    """Return smooth spots of deviation 1 on a dark ground, and noise."""
    random = np.random.default_rng(0)
    spots = gaussian_filter((random.random((side, side)) > 0.998).astype(float), 4)
    return spots / spots.std() + random.normal(0, noise, spots.shape)


def saturating(bits: int, exposure: float) -> NDArray[np.uint16]:
    counts = np.random.default_rng(1).poisson(exposure * (cells() - cells().min()))
    return np.minimum(counts + 100, 2**bits - 1).astype(np.uint16)


def test_nothing_is_said_of_a_dim_image_with_a_signal() -> None:
    assert diagnose(saturating(12, 100)).remarks() == []
    assert diagnose(cells(0.2)).remarks() == []


@pytest.mark.parametrize("value", [7, 0.1, -3e5, np.float32(1e-30), 2**63 - 1])
def test_a_constant_image(value: float) -> None:
    found = diagnose(np.full((30, 40), value))
    assert found.constant
    assert len(found.remarks()) == 1
    assert "no signal" in found.remarks()[0]


def test_channels_that_are_each_constant_have_no_signal() -> None:
    image = np.zeros((2, 20, 20), np.uint8)
    image[1] = 9
    assert diagnose(image, axes="CYX").constant
    assert not diagnose(image, axes="ZYX").constant


def test_a_pile_below_the_types_maximum_is_saturation() -> None:
    for bits in 10, 12, 14:
        image = saturating(bits, 2**bits / 6)
        found = diagnose(image)
        assert found.saturated == np.mean(image == 2**bits - 1) > 0.001
        assert "saturated" in found.remarks()[0]
    assert diagnose(np.full((9, 9), 255, np.uint8)).saturated == 1


def test_a_tail_that_thins_out_is_no_saturation() -> None:
    random = np.random.default_rng(0)
    for counts in (0.1, 2, 50):
        assert diagnose(random.poisson(counts, (300, 300)).astype(np.uint16)).saturated == 0
    assert diagnose(random.exponential(1, (300, 300))).saturated == 0
    assert diagnose(random.random((300, 300))).saturated == 0


@cache
def told(exposure: float, noise: int) -> tuple[NDArray[np.float64], Diagnosis]:
    """Return an image that saturates, and what is said of it."""
    extra = np.random.default_rng(2).integers(0, noise + 1, (128, 128))
    image = np.minimum(saturating(12, exposure) + extra, 4095).astype(np.float64)
    return image, diagnose(image)


@given(
    gain=st.sampled_from([0.25, 1.0, 8.0, 1024.0]),
    offset=st.sampled_from([0.0, 100.0, -4096.0]),
    exposure=st.sampled_from([50, 2000]),
    noise=st.sampled_from([0, 30, 500]),
)
def test_neither_gain_nor_offset_matters(
    gain: float, offset: float, exposure: float, noise: int
) -> None:
    image, found = told(exposure, noise)
    scaled = diagnose(gain * image + offset)
    assert scaled.saturated == found.saturated
    np.testing.assert_allclose(scaled.signal_to_noise, found.signal_to_noise, rtol=1e-9)
    np.testing.assert_allclose((scaled.mean, scaled.spread), (found.mean, found.spread), rtol=1e-9)


@pytest.mark.parametrize("true", [0.25, 0.5, 2.0, 8.0])
def test_signal_to_noise_is_what_went_in(true: float) -> None:
    (found,) = diagnose(cells(1 / true, side=512)).signal_to_noise
    assert abs(found / true - 1) < 0.1
    assert diagnose(cells(1 / true)).noise_dominated == (true < 1)


def test_noise_is_the_same_in_a_part_of_the_pixels() -> None:
    plane = 1e6 + 5 * cells(0.3, side=512)[None]
    assert abs(noise_variance(plane, step=5) / 1.5**2 - 1) < 0.1
    assert np.isnan(noise_variance(plane[:, :2]))


def test_noise_of_photons_is_found_where_most_counts_are_zero() -> None:
    expected = 0.05 * np.exp(-np.square(np.linspace(-3, 3, 400)))[:, None] * np.ones((400, 400))
    counts = np.random.default_rng(0).poisson(expected)
    assert abs(noise_variance(counts[None].astype(float)) / expected.mean() - 1) < 0.1
    assert diagnose(counts).noise_dominated


def test_planes_are_judged_each_for_itself() -> None:
    stack = np.stack([cells(noise) for noise in (0.1, 0.1, 0.1, 3, 3)])
    found = diagnose(stack)
    assert found.planes == ((0,), (1,), (2,), (3,), (4,))
    assert len(found.noisy) == 2
    assert not found.noise_dominated
    mostly = diagnose(stack[2:])
    assert mostly.noise_dominated
    assert "in 2 of 3 planes sampled" in mostly.remarks()[0]


def test_parts_of_one_plane_are_not_called_planes() -> None:
    noise = da.random.default_rng(0).normal(0, 1, (400, 400), chunks=100)
    assert "in 4 of 4 parts sampled" in diagnose(noise).remarks()[0]


@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "chelsea", "coins"])
def test_well_lit_photographs_are_well_exposed(name: str) -> None:
    image = getattr(data, name)()
    found = diagnose(image, axes="YXS" if image.ndim == 3 else "YX")
    assert found.well_exposed
    assert any("already well exposed" in remark for remark in found.remarks())
    dark = (image / 12).astype(image.dtype)
    if image.ndim == 3:  # gray is stretched by any viewer
        assert not diagnose(dark, axes="YXS").well_exposed


def test_color_floats_are_shown_from_0_to_1() -> None:
    image = data.astronaut()
    floats = diagnose(image / 255, axes="YXS")
    assert floats.well_exposed
    assert floats.mean == pytest.approx(diagnose(image, axes="YXS").mean)
    with_alpha = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    assert diagnose(with_alpha, axes="YXS") == diagnose(image, axes="YXS")


def test_noise_alone_is_not_well_exposed() -> None:
    found = diagnose(np.random.default_rng(0).normal(0, 1, (200, 200)))
    assert 0.4 < found.mean < 0.6
    assert not found.well_exposed


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4"])
def test_any_type(dtype: str) -> None:
    image = np.rint(10 * cells(0.1)).clip(0, 100)
    found, as_float = diagnose(image.astype(dtype)), diagnose(image)
    assert found.remarks() == as_float.remarks()
    np.testing.assert_allclose(found.signal_to_noise, as_float.signal_to_noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 2), (3, 3), (2, 2, 5, 1)])
def test_tiny_images(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape)
    found = diagnose(image)
    assert found.constant == (image.size == 1)
    assert len(found.signal_to_noise) == len(found.planes)


def test_missing_values_do_not_count() -> None:
    image = cells(0.5)
    holed = image.copy()
    holed[::17, ::13] = np.nan
    holed[5, 5] = np.inf
    (whole,), (found,) = diagnose(image).signal_to_noise, diagnose(holed).signal_to_noise
    assert abs(found / whole - 1) < 0.05
    nothing = diagnose(np.full((20, 20), np.nan))
    assert nothing.remarks() == []
    assert not nothing.constant


def test_of_a_lazy_stack_eight_planes_are_computed() -> None:
    computed = []

    def noted(block: NDArray[np.uint16], block_id: tuple[int, ...] = ()) -> NDArray[np.uint16]:
        computed.append(block_id)
        return block

    planes = da.random.default_rng(0).poisson(5, (200, 1024, 1024), chunks=(1, 1024, 1024))
    lazy = planes.astype(np.uint16).map_blocks(noted, meta=np.zeros((0, 0, 0), np.uint16))
    found = diagnose(lazy)
    assert len(computed) == 8
    assert len(set(found.planes)) == 8


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="must hold integers or floats, got bool"):
        diagnose(np.zeros((3, 3), bool))
    with pytest.raises(ValueError, match="must have 2 to 5 dimensions"):
        diagnose(np.zeros(3))
    with pytest.raises(ValueError, match="image is empty"):
        diagnose(np.zeros((0, 3)))


@needs_data
def test_dark_photographs_are_not_well_exposed_and_their_well_lit_partners_are() -> None:
    folder = Path(str(DATA)) / "lol"
    lit = {
        part: [
            diagnose(imread(path), axes="YXS").well_exposed
            for path in sorted((folder / part).glob("*.png"))
        ]
        for part in ("low", "high")
    }
    assert len(lit["low"]) == len(lit["high"]) == 5
    assert sum(lit["low"]) == 0
    assert sum(lit["high"]) >= 4


@needs_data
def test_signal_to_noise_agrees_with_the_mean_of_400_frames() -> None:
    folder = Path(str(DATA)) / "w2s"
    paths = sorted((folder / "avg1").glob("*.tif"))
    assert len(paths) == 6
    for path in paths:
        frame, mean = imread(path).astype(float), imread(folder / "avg400" / path.name)
        fit = np.polyval(np.polyfit(mean.ravel(), frame.ravel(), 1), mean)
        (found,) = diagnose(frame).signal_to_noise
        assert abs(found / (fit.std() / (frame - fit).std()) - 1) < 0.03


@needs_data
def test_saturated_stars_and_noise_that_neighbors_share_are_found() -> None:
    found = diagnose(imread(Path(str(DATA)) / "astronomy" / "hatp32_single_frame.tif"))
    saturated, shared = found.remarks()
    assert "saturated" in saturated
    assert "share noise" in shared


def test_noise_that_neighbors_share_is_said() -> None:
    random = np.random.default_rng(0)
    counts = random.poisson(20, (200, 200)).astype(float)
    resampled = (counts[:, 1:] + counts[:, :-1]) / 2
    assert "share noise" not in " ".join(diagnose(counts).remarks())
    assert "share noise" in " ".join(diagnose(resampled).remarks())
    clear = resampled + 500 * (np.arange(199) // 25 % 2)
    assert "share noise" not in " ".join(diagnose(clear).remarks())
