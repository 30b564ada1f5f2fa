"""A layout says what an array's axes mean, and never guesses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser._errors import InputError
from napari_noiser.arrays.layout import DEFAULT_AXES, Layout
from napari_noiser.engine.options import check_options


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw any axes in any order, with any lengths."""
    ndim = draw(st.sampled_from([2, 3]))
    needed = "YX" if ndim == 2 else draw(st.sampled_from(["ZYX", "TYX"]))
    others = draw(st.sets(st.sampled_from([a for a in "TCZS" if a not in needed])))
    axes = "".join(draw(st.permutations([*needed, *sorted(others)])))
    length = {letter: draw(st.integers(1, 4)) for letter in axes}
    if "S" in axes:
        length["S"] = draw(st.sampled_from([1, 3, 4]))
    return Layout(axes, tuple(length[letter] for letter in axes), ndim)


@st.composite
def regions(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Draw a part of an image that is not empty."""
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    return tuple(
        slice(start, draw(st.integers(start + 1, n)))
        for start, n in zip(starts, shape, strict=True)
    )


@given(layouts(), st.data())
def test_writing_what_was_read_restores_it(layout: Layout, data: st.DataObject) -> None:
    array = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    copy = np.full_like(array, -1)
    region = data.draw(regions(layout.image_shape))
    for image in layout.images():
        layout.write(copy, image, region, layout.read(array, image, region))
    place = tuple(
        region[layout.spatial.index(a)] if a in layout.spatial else slice(None)
        for a in layout.axes
    )
    np.testing.assert_array_equal(copy[place], array[place])
    assert (copy != -1).sum() == array[place].size, "wrote outside the region"


@given(layouts())
def test_reading_gives_samples_first_then_space_in_order(layout: Layout) -> None:
    array = np.random.default_rng(0).random(layout.shape)
    order = layout.outer + ("S" if "S" in layout.axes else "") + layout.spatial
    sorted_array = array.transpose([layout.axes.index(a) for a in order])
    everywhere = tuple(slice(0, n) for n in layout.image_shape)
    for image in layout.images():
        block = layout.read(array, image, everywhere)
        expected = sorted_array[image]
        expected = expected if "S" in layout.axes else expected[None]
        np.testing.assert_array_equal(block, expected)


@given(layouts())
def test_every_element_belongs_to_exactly_one_image(layout: Layout) -> None:
    seen = np.zeros(layout.shape, int)
    everywhere = tuple(slice(0, n) for n in layout.image_shape)
    for image in layout.images():
        layout.write(seen, image, everywhere, layout.read(seen, image, everywhere) + 1)
    assert (seen == 1).all()


@pytest.mark.parametrize(("length", "samples"), [(1, 1), (3, 3), (4, 3)])
def test_alpha_is_not_among_the_samples(length: int, samples: int) -> None:
    assert Layout.of((5, 6, length), "YXS").samples == samples
    assert Layout.of((length, 5, 6), "SYX").samples == samples


@pytest.mark.parametrize(("ndim", "axes"), DEFAULT_AXES.items())
def test_a_trailing_axis_of_three_is_never_guessed_to_be_color(ndim: int, axes: str) -> None:
    layout = Layout.of((7,) * (ndim - 1) + (3,))
    assert layout.axes == axes
    assert layout.samples == 1
    assert layout.image_shape[-1] == 3


@pytest.mark.parametrize(
    ("statistics", "sharing"), [("stack", "TZ"), ("volume", "Z"), ("plane", "")]
)
def test_which_planes_share_statistics(statistics: str, sharing: str) -> None:
    layout = Layout.of((2, 3, 4, 5, 6), "TCZYX")
    groups: dict[object, set[tuple[int, ...]]] = {}
    for image in layout.images():
        groups.setdefault(layout.group(image, statistics), set()).add(image)
    counts = {"T": 2, "C": 3, "Z": 4}
    separate = [n for letter, n in counts.items() if letter not in sharing]
    assert len(groups) == np.prod(separate, initial=1)
    for members in groups.values():
        for axis, letter in enumerate("TCZ"):
            values = {image[axis] for image in members}
            assert len(values) == (counts[letter] if letter in sharing else 1)


def test_a_volume_is_one_image() -> None:
    layout = Layout.of((2, 4, 5, 6), "TZYX", ndim=3)
    assert list(layout.images()) == [(0,), (1,)]
    assert layout.group((0,), "stack") == layout.group((1,), "stack")
    assert layout.group((0,), "volume") != layout.group((1,), "volume")


def test_time_stands_in_for_depth_where_there_is_none() -> None:
    layout = Layout.of((2, 3, 5, 6), "CTYX", ndim=3)
    assert layout.spatial == "TYX"
    assert layout.outer == "C"
    assert layout.image_shape == (3, 5, 6)
    assert layout.shared("stack") == ""
    assert Layout.of((2, 4, 5, 6), "TZYX", ndim=3).spatial == "ZYX"
    assert Layout.of((4, 5, 6), "TYX").spatial == "YX"


def test_the_layout_of_a_mask_lacks_only_the_samples() -> None:
    layout = Layout.of((3, 7, 5, 6), "SZYX").without_samples
    assert (layout.axes, layout.shape) == ("ZYX", (7, 5, 6))


@pytest.mark.parametrize(
    ("shape", "axes", "ndim", "words"),
    [
        ((5, 6), "YX", 4, ["ndim", "2", "3", "4"]),
        ((5, 6), "QX", 2, ["axes", "T, C, Z, Y, X, S", "'QX'"]),
        ((5, 6), "yx", 2, ["axes", "T, C, Z, Y, X, S", "'yx'"]),
        ((5, 6, 7), "YXX", 2, ["axes", "once", "'YXX'"]),
        ((5, 6), "ZX", 2, ["axes", "Y and X", "'ZX'"]),
        ((5, 6), "ZYX", 2, ["axes", "'ZYX'", "(5, 6)"]),
        ((5, 6), "YX", 3, ["ndim", "Z, or T", "'YX'"]),
        ((4, 5, 6), "CYX", 3, ["ndim", "Z, or T", "'CYX'"]),
        ((5, 6, 2), "YXS", 2, ["S holds", "2", "RGB", "axis C"]),
        ((5, 6, 5), "YXS", 2, ["S holds", "5", "RGB"]),
        ((5, 0), "YX", 2, ["image", "empty", "(5, 0)"]),
        ((5,), None, 2, ["image", "axes", "2 to 5", "(5,)"]),
        ((2,) * 6, None, 2, ["image", "axes", "2 to 5", str((2,) * 6)]),
    ],
)
def test_errors_name_the_argument_what_came_and_what_is_accepted(
    shape: tuple[int, ...], axes: str | None, ndim: int, words: list[str]
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Layout.of(shape, axes, ndim)
    for word in words:
        assert word in str(caught.value)


def test_axes_must_be_a_string() -> None:
    with pytest.raises(TypeError, match=r"axes must be a string .* got 5"):
        Layout.of((5, 6), 5)  # type: ignore[arg-type]


def test_planes_of_volumes_have_no_statistics_of_their_own() -> None:
    Layout.of((4, 5, 6)).check_statistics("plane")
    with pytest.raises(InputError, match=r"'plane' .* ndim=3") as caught:
        Layout.of((4, 5, 6), ndim=3).check_statistics("plane")
    assert caught.value.argument == "statistics"


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be one of .*'plane'.* got 'frame'") as caught:
        check_options("enhance", {"statistics": "frame"})
    assert caught.value.argument == "statistics"
