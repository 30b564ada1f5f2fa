"""Tiles cover an image exactly once, and carry the neighbors that they need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_noiser.engine.tiles import default_side, tile_count, tile_side, tiles

halos = st.tuples(*[st.integers(0, 3)] * 3)
shapes = st.lists(st.integers(1, 14), min_size=2, max_size=3).map(tuple)


@given(shapes, st.integers(1, 20), halos)
def test_tiles_cover_exactly_once(
    shape: tuple[int, ...], side: int, halo: tuple[int, ...]
) -> None:
    covered = np.zeros(shape, int)
    found = list(tiles(shape, side, halo[: len(shape)]))
    for tile in found:
        part = covered[tile.inner]
        assert part.size > 0
        assert max(part.shape) <= side
        part += 1
    assert (covered == 1).all()
    assert len(found) == tile_count(shape, side)


@given(shapes, st.integers(1, 20), halos)
def test_a_halo_reaches_as_far_as_asked_or_to_the_border(
    shape: tuple[int, ...], side: int, halo: tuple[int, ...]
) -> None:
    halo = halo[: len(shape)]
    for tile in tiles(shape, side, halo):
        for length, inner, read, (low, high), far in zip(
            shape, tile.inner, tile.outer, tile.halo, halo, strict=True
        ):
            assert read.start == max(0, inner.start - far)
            assert read.stop == min(length, inner.stop + far)
            assert (low, high) == (inner.start - read.start, read.stop - inner.stop)


@given(shapes, st.integers(1, 20), halos, st.data())
def test_a_part_of_an_image_has_the_tiles_of_the_whole(
    shape: tuple[int, ...], side: int, halo: tuple[int, ...], data: st.DataObject
) -> None:
    starts = [data.draw(st.integers(0, length - 1)) for length in shape]
    stops = [
        data.draw(st.integers(start + 1, length))
        for start, length in zip(starts, shape, strict=True)
    ]
    halo = halo[: len(shape)]
    margin = tuple(
        (min(far, start), min(far, length - stop))
        for far, start, stop, length in zip(halo, starts, stops, shape, strict=True)
    )
    cut = [
        slice(start - low, stop + high)
        for start, stop, (low, high) in zip(starts, stops, margin, strict=True)
    ]
    part, covered = np.empty(shape)[tuple(cut)], np.zeros(shape, int)
    for tile in tiles(part.shape, side, halo, margin):
        inner = tuple(
            slice(there.start + where.start, there.stop + where.start)
            for there, where in zip(tile.inner, cut, strict=True)
        )
        covered[inner] += 1
        for far, length, there, sides in zip(halo, shape, inner, tile.halo, strict=True):
            assert sides == (min(far, there.start), min(far, length - there.stop))
        assert part[tile.outer].shape == tuple(
            there.stop - there.start + sum(sides)
            for there, sides in zip(tile.inner, tile.halo, strict=True)
        )
    inside = tuple(map(slice, starts, stops))
    assert (covered[inside] == 1).all()
    assert covered.sum() == covered[inside].size


def test_a_side_beyond_the_image_is_one_tile() -> None:
    (tile,) = tiles((5, 6), 1000, (2, 2))
    assert tile.inner == tile.outer == (slice(0, 5), slice(0, 6))
    assert tile.halo == ((0, 0), (0, 0))


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_tile_with_its_halo_fits_the_memory_limit(ndim: int) -> None:
    for limit in (10**5, 10**6, 10**7, 10**8):
        side = tile_side(ndim, 100, 1000, memory_limit=limit)
        assert side == 8 or (side + 4) ** ndim * 100 <= limit


def test_the_memory_limit_only_makes_tiles_smaller() -> None:
    default = tile_side(2, 100, 256)
    assert tile_side(2, 100, 256, memory_limit=10**12) == default
    assert tile_side(2, 100, tile=40, memory_limit=10**12) == 40
    assert tile_side(2, 100, 256, memory_limit=10**5) < default
    assert tile_side(2, 100, tile=40, memory_limit=10**5) < 40


def test_tiles_never_shrink_below_what_is_useful_unless_asked_to() -> None:
    assert tile_side(3, 10**6, 40, memory_limit=1) == 8
    assert tile_side(3, 10**6, tile=3, memory_limit=1) == 3
    assert tile_side(2, 1, tile=1) == 1


@pytest.mark.parametrize("name", ["tile", "memory_limit"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "64"])
def test_errors_name_the_argument(name: str, value: object) -> None:
    error = ValueError if type(value) is int else TypeError
    with pytest.raises(error, match=f"{name} must be a whole number of at least 1, got"):
        tile_side(2, 100, **{"tile": 64, name: value})


@pytest.mark.parametrize("halo", [(2, 2), (19, 19), (2, 2, 2), (1, 19, 19), (1, 43, 43)])
def test_tiles_of_any_method_are_measured_in_a_hundred_megabytes(halo: tuple[int, ...]) -> None:
    side, patch = default_side(halo, torch.device("cpu")), 3 ** len(halo)
    assert (side + 2) ** len(halo) * 2 * 8 * patch < 100e6
