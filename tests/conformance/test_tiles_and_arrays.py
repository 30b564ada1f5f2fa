"""However an image is cut, stored or handed over: every method makes the same of it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.arrays import CountingArray
from helpers.cases import CASES, Case
from helpers.compare import assert_alike, drained
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps


def tile_total(case: Case, image: NDArray[Any], **options: Any) -> tuple[Any, int]:
    """Return a result, and how many tiles were measured and rendered for it."""
    calls: list[tuple[int, int]] = []
    found = case.run(image, progress=lambda *call: calls.append(call), **options)
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    return found, len(calls)


def n_tiles(case: Case, image: NDArray[Any], tile: int) -> int:
    """Return how many tiles an image falls into, to be measured and rendered each."""
    layout = case.plan(image).image.layout
    images = len(list(layout.images()))
    return 2 * images * prod(ceil(length / tile) for length in layout.image_shape)


def test_the_result_has_something_to_tell(case: Case, whole: Any) -> None:
    assert whole.std() > (0.03 if case.verb == "enhance" else 5)
    if case.verb == "denoise":
        assert np.abs(whole - case.image()).mean() > 1


@pytest.mark.parametrize("size", [0, 1])
def test_tiles_equal_the_whole(case: Case, whole: Any, size: int) -> None:
    tile = case.tiles[size]
    found, total = tile_total(case, case.image(), tile=tile)
    assert total == n_tiles(case, case.image(), tile) > n_tiles(case, case.image(), 1000)
    assert_alike(found, whole, case.within)


@settings(max_examples=5)
@given(data=st.data())
@pytest.mark.parametrize(
    "name", [n for n, each in CASES.items() if "gain_map" not in each.options]
)
def test_any_shape_in_any_tiles(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    longest = 24 if case.ndim == 3 else 60
    lengths = {"Y": (1, longest), "X": (2, longest), "Z": (2, 5), "T": (1, 5), "S": (3, 3)}
    image = case.image(tuple(data.draw(st.integers(*lengths[letter])) for letter in case.axes))
    image.flat[0] += 200  # signal even where there are but two pixels
    tile = data.draw(st.integers(8, longest))
    found, total = tile_total(case, image, tile=tile)
    assert total == n_tiles(case, image, tile)
    assert_alike(found, case.run(image, tile=1000), case.within)


def test_a_memory_limit_makes_tiles_smaller_and_changes_nothing(case: Case, whole: Any) -> None:
    found, total = tile_total(case, case.image(), memory_limit=case.memory)
    assert total > n_tiles(case, case.image(), 1000)
    assert_alike(found, whole, case.within)


def test_chunks_are_read_and_written_one_by_one(case: Case, whole: Any) -> None:
    image = case.image()
    of = {"Y": (32, 24), "X": (24, 40), "S": (1, 3)}
    read, written = (tuple(of.get(a, (1, 2))[at] for a in case.axes) for at in (0, 1))
    stored = CountingArray(image, read)
    out = CountingArray(np.zeros(image.shape, "float32"), written)
    assert case.run(stored, out=out, tile=32, memory_limit=case.memory) is out
    assert_alike(out.values, whole, case.within)
    assert len(stored.chunks_read) == stored.n_chunks
    assert len(out.chunks_written) == out.n_chunks
    assert set(out.chunks_written.values()) == {1}


def memory_map(image: NDArray[Any], folder: Path) -> NDArray[Any]:
    stored = np.memmap(folder / "image", image.dtype, "w+", shape=image.shape)
    stored[:] = image
    return np.memmap(folder / "image", image.dtype, "r", shape=image.shape)


def odd_chunks(image: NDArray[Any], folder: Path) -> Any:
    """Return a dask array in uneven chunks, thin ones and empty ones among them."""
    along = [(1, 0, n - 1) if n < 9 else (n // 2, n - n // 2 - 1, 1) for n in image.shape]
    return da.from_array(image, chunks=tuple(along))


KINDS: dict[str, Callable[[NDArray[Any], Path], Any]] = {
    "Fortran order, big-endian": lambda image, _: np.asfortranarray(image.astype(">u2")),
    "a memory map": memory_map,
    "slices alone": lambda image, _: CountingArray(image),
    "zarr": lambda image, _: zarr.array(image, chunks=tuple(min(n, 27) for n in image.shape)),
    "zarr through dask": lambda image, folder: da.from_zarr(
        zarr.create_array(folder / "z", data=image, chunks=tuple(min(n, 40) for n in image.shape))
    ),
    "dask in odd chunks": odd_chunks,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_gives_the_same(
    case: Case, whole: Any, kind: str, tmp_path: Path
) -> None:
    given_as = KINDS[kind](case.image(), tmp_path)
    found = case.run(given_as)
    assert isinstance(found, da.Array) == isinstance(given_as, da.Array)
    assert (found.shape, found.dtype) == (whole.shape, whole.dtype)
    assert_alike(np.asarray(found), whole, case.within)


def test_dask_fills_an_array_as_well(case: Case, whole: Any) -> None:
    out = np.zeros(whole.shape, "float32")
    assert case.run(da.from_array(case.image(), chunks=50), out=out) is out
    assert_alike(out, whole, case.within)


def test_a_live_view_shows_parts_of_the_whole(case: Case, whole: Any) -> None:
    plan = calibrate(case.plan(case.image()))
    _, moments = drained(measure_steps(plan))
    view = live_image(plan, moments)
    for start in (0, 1, 17):
        where = {"Y": slice(start, start + 15), "X": slice(start + 5, start + 17), "S": slice(3)}
        here = tuple(where.get(letter, slice(-1, None)) for letter in case.axes)
        assert whole[here].size
        brightest = float(np.abs(whole).max())
        np.testing.assert_allclose(
            np.asarray(view[here]), whole[here], rtol=0, atol=case.within * brightest
        )


def test_axes_may_stand_in_any_order(case: Case, whole: Any) -> None:
    found = case.run(case.image().transpose(), axes=case.axes[::-1])
    assert_alike(found.transpose(), whole, case.within)


def test_channels_are_each_for_themselves(case: Case, whole: Any) -> None:
    image = case.image()
    other = (image.astype(int) // 2 + 40).astype("uint16")
    found = case.run(np.stack([image, other, image]), axes="C" + case.axes)
    assert_alike(found[0], whole, case.within)
    assert_alike(found[1], case.run(other), case.within)
    assert_alike(found[2], whole, case.within)
    assert np.abs(found[1] - found[0]).max() > 0
