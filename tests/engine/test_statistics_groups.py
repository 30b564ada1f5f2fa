"""What shares statistics: scopes, channels, samples and the mask."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.compare import assert_same, largest_difference
from helpers.plain_srm import plain_srm
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser import enhance, load_model

GRAY = load_model("noiser")
RGB = load_model("noiser", samples=3)
VOLUME = load_model("noiser", ndim=3)


def fading_planes() -> np.ndarray:
    """Return ZYX planes of one kind of scene, the deeper the dimmer."""
    return np.stack([scene((40, 41), seed) * 0.75**seed for seed in range(5)])


def test_stack_keeps_the_order_of_brightness_and_plane_levels_it() -> None:
    planes = fading_planes()
    means = enhance(planes, "noiser", statistics="stack").mean(axis=(1, 2))
    assert (np.diff(means) < -0.02).all()
    leveled = enhance(planes, "noiser", statistics="plane").mean(axis=(1, 2))
    assert np.ptp(leveled) < 0.1 * np.ptp(means)


def test_stack_is_one_group_of_all_planes() -> None:
    planes = fading_planes()
    expected = plain_srm(planes[:, None], GRAY)[:, 0]
    assert largest_difference(enhance(planes, "noiser"), expected) < 1e-5
    series = planes.reshape(5, 1, 40, 41)
    assert largest_difference(enhance(series, "noiser", axes="TZYX")[:, 0], expected) < 1e-5
    assert (
        largest_difference(
            enhance(series, "noiser", ndim=3), plain_srm(series[:, None], VOLUME)[:, 0]
        )
        < 1e-5
    )


def test_plane_is_each_plane_for_itself() -> None:
    planes = fading_planes()
    found = enhance(planes, "noiser", statistics="plane")
    for plane, each in zip(planes, found, strict=True):
        assert largest_difference(each, enhance(plane, "noiser")) < 1e-6


@pytest.mark.parametrize("ndim", [2, 3])
def test_volume_is_each_time_point_for_itself(ndim: int) -> None:
    series = np.stack([fading_planes(), 3 * fading_planes()[::-1] + 40, fading_planes()[:, ::-1]])
    found = enhance(series, "noiser", ndim=ndim, statistics="volume")
    for volume, each in zip(series, found, strict=True):
        assert largest_difference(each, enhance(volume, "noiser", ndim=ndim)) < 1e-6
    assert largest_difference(found, enhance(series, "noiser", ndim=ndim)) > 0.01


@pytest.mark.parametrize("statistics", ["stack", "volume", "plane"])
def test_on_one_image_the_scopes_are_the_same(statistics: str) -> None:
    image = scene((30, 31))
    assert_same(enhance(image, "noiser", statistics=statistics), enhance(image, "noiser"))


@pytest.mark.parametrize("statistics", ["stack", "volume", "plane"])
@pytest.mark.parametrize("axes", ["CZYX", "ZCYX", "ZYXC", "YCXZ"])
def test_channels_are_each_for_themselves(axes: str, statistics: str) -> None:
    channels = np.stack([fading_planes(), 100 * fading_planes()[::-1], fading_planes() + 7])
    image = channels.transpose(["CZYX".index(letter) for letter in axes])
    found = enhance(image, "noiser", axes=axes, statistics=statistics)
    found = found.transpose([axes.index(letter) for letter in "CZYX"])
    for channel, each in zip(channels, found, strict=True):
        assert largest_difference(each, enhance(channel, "noiser", statistics=statistics)) < 1e-6


def test_color_samples_are_seen_together() -> None:
    color = scene((30, 31, 3)) * np.array([1.0, 2.0, 0.5])
    found = enhance(color, "noiser", axes="YXS")
    expected = plain_srm(color.transpose(2, 0, 1)[None], RGB)[0].transpose(1, 2, 0)
    assert largest_difference(found, expected) < 1e-5
    assert largest_difference(found, enhance(color, "noiser", axes="YXC")) > 0.01
    sample_first = enhance(color.transpose(2, 0, 1), "noiser", axes="SYX")
    assert largest_difference(sample_first.transpose(1, 2, 0), found) < 1e-6


def test_one_sample_is_gray() -> None:
    image = scene((20, 21))
    assert (
        largest_difference(
            enhance(image[..., None], "noiser", axes="YXS")[..., 0], enhance(image, "noiser")
        )
        == 0
    )


def test_a_trailing_axis_of_three_is_x() -> None:
    image = scene((12, 13, 3))
    assert_same(enhance(image, "noiser"), enhance(image, "noiser", axes="ZYX"))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.01, 1))
def test_a_mask_limits_the_statistics_and_nothing_else(seed: int, share: float) -> None:
    image = scene((30, 31))
    mask = np.random.default_rng(seed).random(image.shape) < share
    mask[8:15, 8:15] = True
    found = enhance(image, "noiser", mask=mask)
    expected = plain_srm(image[None, None], GRAY, inside=mask[None])[0, 0]
    assert largest_difference(found, expected) < 1e-5


def test_a_full_mask_changes_nothing() -> None:
    image = scene((30, 31))
    assert (
        largest_difference(
            enhance(image, "noiser", mask=np.ones((30, 31), bool)), enhance(image, "noiser")
        )
        < 1e-6
    )


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_a_mask_may_hold_labels(dtype: str) -> None:
    image = scene((30, 31))
    labels = np.zeros((30, 31), int)
    labels[3:20, 4:9], labels[22:28, 10:30] = 1, 7
    expected = enhance(image, "noiser", mask=labels > 0)
    assert_same(enhance(image, "noiser", mask=labels.astype(dtype)), expected)


def test_a_mask_stands_for_the_leading_axes_that_it_lacks() -> None:
    planes = fading_planes()
    mask = np.zeros((40, 41), bool)
    mask[5:30, 6:20] = True
    found = enhance(planes, "noiser", mask=mask)
    full = np.broadcast_to(mask, planes.shape)
    assert_same(found, enhance(planes, "noiser", mask=full))
    assert largest_difference(found, plain_srm(planes[:, None], GRAY, inside=full)[:, 0]) < 1e-5
    # A mask of its own for each plane:
    own = full.copy()
    own[2:] = False
    expected = plain_srm(planes[:, None], GRAY, inside=own)[:, 0]
    assert largest_difference(enhance(planes, "noiser", mask=own), expected) < 1e-5
    volume = enhance(planes, "noiser", mask=own, ndim=3)
    expected = plain_srm(planes[None, None], VOLUME, inside=own[None])[0, 0]
    assert largest_difference(volume, expected) < 1e-5


def test_a_mask_knows_nothing_of_samples() -> None:
    color = scene((30, 31, 3))
    mask = np.zeros((30, 31), bool)
    mask[5:20, 6:20] = True
    found = enhance(color, "noiser", axes="YXS", mask=mask)
    expected = plain_srm(color.transpose(2, 0, 1)[None], RGB, inside=mask[None])[0]
    assert largest_difference(found, expected.transpose(1, 2, 0)) < 1e-5


def test_a_mask_follows_the_axes_order() -> None:
    planes = fading_planes()
    mask = np.random.default_rng(0).random(planes.shape) < 0.9
    expected = enhance(planes, "noiser", mask=mask)
    found = enhance(planes.transpose(2, 0, 1), "noiser", axes="XZY", mask=mask.transpose(2, 0, 1))
    assert largest_difference(found.transpose(1, 2, 0), expected) < 1e-6


def test_values_outside_the_mask_may_be_anything_finite() -> None:
    image = scene((40, 41)) / 100
    image[30:, 30:] = np.finfo("f4").min  # what float images often hold where there are no data
    mask = np.zeros((40, 41), bool)
    mask[:29, :29] = True
    found = enhance(image, "noiser", mask=mask)
    assert np.isfinite(found).all()
    expected = plain_srm(image[None, None], GRAY, inside=mask[None])[0, 0]
    assert largest_difference(found[:28, :28], expected[:28, :28]) < 1e-5
