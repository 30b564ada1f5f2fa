"""The gain and offset of a camera, and the type that holds its numbers, do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.compare import largest_difference
from helpers.errors import refused
from helpers.scenes import scene
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_noiser import closed_form, enhance

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8", "longdouble"]
TYPES = [*INTEGERS, *FLOATS]

IMAGE = scene((40, 45))
VOLUME = scene((6, 20, 22))
ENHANCED = enhance(IMAGE, "noiser")
ENHANCED_VOLUME = enhance(VOLUME, "noiser", ndim=3)


@settings(max_examples=25)
@given(st.floats(-4, 4), st.floats(-6, 6), st.booleans())
@example(-4.0, 6.0, False)
@example(4.0, 6.0, True)
def test_gain_and_offset_do_not_matter(gain: float, offset: float, negative: bool) -> None:
    a = 10**gain
    b = (-1 if negative else 1) * 10**offset * a * IMAGE.std()
    assert largest_difference(enhance(a * IMAGE + b, "noiser"), ENHANCED) < 1e-4


@pytest.mark.parametrize("gain", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_nor_for_volumes_and_color(gain: float, offset: float) -> None:
    changed = gain * VOLUME + offset * gain * VOLUME.std()
    assert largest_difference(enhance(changed, "noiser", ndim=3), ENHANCED_VOLUME) < 1e-4
    color = scene((3, 30, 31))
    # One gain for the samples of a color, but an offset for each.
    changed = gain * (color + np.array([0, offset, -offset / 3]).reshape(3, 1, 1) * color.std())
    assert (
        largest_difference(
            enhance(changed, "noiser", axes="SYX"), enhance(color, "noiser", axes="SYX")
        )
        < 1e-4
    )


@pytest.mark.parametrize("power", [-100, -30, -10, 10, 30, 100])
def test_nor_do_extreme_gains(power: int) -> None:
    assert largest_difference(enhance(IMAGE * 10.0**power, "noiser"), ENHANCED) < 1e-4


def test_the_same_picture_scaled_down_in_float32() -> None:
    for gain in (1.0, 1e-2, 1e-4, 1 / 65535):
        assert largest_difference(enhance((IMAGE * gain).astype("f4"), "noiser"), ENHANCED) < 1e-4


@settings(max_examples=30)
@given(st.sampled_from(INTEGERS), st.data())
def test_integers_wherever_they_are_representable(name: str, data: st.DataObject) -> None:
    info = np.iinfo(name)
    values = IMAGE.astype(int).astype(object)
    spread = (int(info.max) - int(info.min)) // int(values.max())
    gain = data.draw(st.integers(1, spread))
    low, high = int(info.min), int(info.max) - gain * int(values.max())
    offset = data.draw(st.sampled_from([low, high]) | st.integers(low, high))
    changed = (values * gain + offset).astype(name)
    assert largest_difference(enhance(changed, "noiser"), ENHANCED) < 1e-4


@pytest.mark.parametrize("name", ["i8", "u8", ">i8", ">u8"])
@pytest.mark.parametrize("offset", [2**62, 2**53 + 1, 2**63 - 200])
def test_a_large_offset_in_64_bits(name: str, offset: int) -> None:
    changed = (IMAGE.astype(int).astype(object) + offset).astype(name)
    assert largest_difference(enhance(changed, "noiser"), ENHANCED) < 1e-4
    assert largest_difference(closed_form(changed), closed_form(IMAGE)) < 1e-4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", TYPES)
def test_every_type_gives_the_same_result_for_the_same_values(name: str, order: str) -> None:
    changed = IMAGE.astype(np.dtype(name).newbyteorder(order))
    assert largest_difference(changed, IMAGE) == 0
    assert largest_difference(enhance(changed, "noiser"), ENHANCED) < 1e-6


@pytest.mark.parametrize("name", ["i8", "u8"])
def test_64_bits_with_values_from_end_to_end(name: str) -> None:
    info = np.iinfo(name)
    changed = np.where(IMAGE > 12, np.array(info.max, name), np.array(info.min, name))
    expected = enhance((IMAGE > 12).astype(float), "noiser")
    assert largest_difference(enhance(changed, "noiser"), expected) < 1e-4


@pytest.mark.parametrize("name", ["bool", "complex64", "complex128", "object", "U3", "M8[s]"])
def test_types_that_hold_no_brightness_are_refused(name: str) -> None:
    with refused("image", error=TypeError):
        enhance(IMAGE.astype(int).astype(name), "noiser")
