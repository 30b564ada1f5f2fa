"""An image enhanced as it is looked at: equal to the enhanced image, and no more is read."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers.arrays import CountingArray
from helpers.compare import drained
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser import enhance
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.live import live_image
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.methods.noiser.fold import FoldedSRM
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.registry import load_model

Drawn = st.DataObject


def live(image: Any, **options: Any) -> LazyView:
    plan = calibrate(make_plan(image, **{"model": "noiser", **options}))
    _, moments = drained(measure_steps(plan))
    return live_image(plan, moments)


def spoiled(image: np.ndarray) -> np.ndarray:
    image = image.astype(float)
    image[..., 3, 4:7] = np.nan
    image[..., 0, 0] = np.inf
    return image


MASK = np.random.default_rng(0).random((21, 30)) < 0.9
CASES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "plane": (scene((40, 50)), {}),
    "planes": (scene((5, 21, 30)).astype("uint16"), {"mask": MASK, "statistics": "plane"}),
    "volumes": (scene((2, 9, 20, 22)), {"ndim": 3}),
    "bad values": (spoiled(scene((4, 21, 30))), {"brightness": 0.2, "contrast": 1.5}),
    "RGB": (scene((3, 21, 30, 3)).astype("uint8"), {"axes": "TYXS"}),
    "RGBA": (scene((21, 30, 4)).astype("uint8"), {"axes": "YXS"}),
    "samples first": (scene((3, 21, 30)).astype("uint8"), {"axes": "SYX"}),
    "channels last": (scene((21, 30, 2)), {"axes": "YXC"}),
    "counts": (scene((3, 21, 30)).astype("int64") + 2**60, {"dtype": "uint16"}),
    "small tiles": (scene((3, 40, 50)), {"tile": 16}),
    "small tiles of volumes": (scene((7, 40, 50)), {"ndim": 3, "tile": 8}),
}
ENHANCED = {name: enhance(image, "noiser", **options) for name, (image, options) in CASES.items()}
LIVE = {name: live(image, **options) for name, (image, options) in CASES.items()}


def an_index(length: int) -> st.SearchStrategy[int | slice]:
    return st.slices(length) | st.integers(-length, length - 1) if length else st.slices(0)


@st.composite
def an_index_of(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    keys = [draw(an_index(length)) for length in shape[: draw(st.integers(0, len(shape)))]]
    if draw(st.booleans()):
        keys.insert(len(keys), Ellipsis)
    return tuple(keys)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12)
@given(data=st.data())
def test_any_part_equals_that_part_of_the_whole(name: str, data: Drawn) -> None:
    expected, view = ENHANCED[name], LIVE[name]
    assert (view.shape, view.dtype, view.ndim) == (expected.shape, expected.dtype, expected.ndim)
    for _ in range(2):  # a part of a part
        key = data.draw(an_index_of(expected.shape))
        expected, view = expected[key], view[key]
        assert (view.shape, view.size) == (expected.shape, expected.size)
    np.testing.assert_allclose(np.asarray(view), expected, rtol=0, atol=tolerance(expected))


def tolerance(expected: np.ndarray) -> float:
    return 1e-6 if expected.dtype.kind == "f" else 1


def test_no_more_is_read_than_the_part_and_its_halo() -> None:
    image = CountingArray(scene((9, 60, 70)).astype(np.uint16))
    planes = live(image, fill=None)
    image.forget()
    np.asarray(planes[:, 20:30, 40:][4])
    assert image.read_shapes == [(1, 14, 32)]
    image.forget()
    np.asarray(planes[::4, ..., 7])
    assert image.read_shapes == [(1, 60, 5)] * 3
    image.forget()
    assert np.asarray(planes[3:3]).shape == (0, 60, 70)
    assert image.read_shapes == []
    volume = live(image, fill=None, ndim=3)
    image.forget()
    np.asarray(volume[4])
    assert image.read_shapes == [(5, 60, 70)]


def test_no_more_is_folded_and_rendered_than_is_looked_at(monkeypatch: Any) -> None:
    model = load_model("noiser")
    folded: list[Any] = []
    fold = NoiserModel.fold
    monkeypatch.setattr(NoiserModel, "fold", lambda *a: folded.append(1) or fold(*a))
    planes = live(scene((9, 20, 30)), model=model, statistics="plane")
    assert not folded
    np.asarray(planes[4])
    np.asarray(planes[4:6])
    assert len(folded) == 2
    tiles: list[Any] = []
    respond = FoldedSRM.__call__
    monkeypatch.setattr(FoldedSRM, "__call__", lambda *a: tiles.append(a[1]) or respond(*a))
    np.asarray(live(scene((12, 100, 100)), ndim=3)[4])  # one tile is as large as 32 x 32 x 32
    assert [tile.shape for tile in tiles] == [(1, 1, 5, 100, 100)]


def test_it_is_rendered_on_any_number_of_threads() -> None:
    image = scene((12, 64, 80))
    planes, expected = live(image, tile=16), enhance(image, "noiser", tile=16)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda at: np.asarray(planes[at % 12]), range(48)))
    for at, plane in enumerate(found):
        np.testing.assert_allclose(plane, expected[at % 12], rtol=0, atol=1e-6)


def test_what_it_cannot_be_indexed_with_is_said() -> None:
    planes = LIVE["planes"]
    for key in ([0, 1], np.ones(5, bool), None, 1.0, True, "a"):
        with pytest.raises(IndexError, match="integers, slices and"):
            planes[key]
    for key in ((0, 0, 0, 0), (..., ...)):
        with pytest.raises(IndexError, match="one for each of 3 axes"):
            planes[key]
    with pytest.raises(IndexError):
        planes[5]


def test_it_is_a_sequence_of_planes() -> None:
    planes = LIVE["planes"]
    assert len(planes) == len(list(planes)) == 5
    assert planes.chunks == (1, 21, 30)
    assert planes[0].chunks == (21, 30)
    assert planes.nbytes == ENHANCED["planes"].nbytes
    assert np.asarray(planes[0, 0, 0]).shape == ()
    assert np.asarray(planes[0], np.float64).dtype == np.float64
    assert planes[0].astype(int).dtype == int
    assert repr(planes[0]) == "<LazyView (21, 30) float32>"
    with pytest.raises(ValueError, match="without a copy"):
        planes.__array__(copy=False)  # as numpy 2 asks
    with pytest.raises(TypeError, match="0-d"):
        len(planes[0, 0, 0])


def stored(place: Path) -> Any:
    return zarr.create_array(place, data=scene((5, 21, 30)).astype("uint16"), chunks=(1, 21, 30))


def spoil(place: Path) -> None:
    """Make the chunks of a store no chunks any more."""
    for chunk in (place / "c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"no chunk")


@pytest.mark.parametrize("banding", ["keep", "rows", "both"])
@pytest.mark.parametrize("model", ["noiser", "structured"])
def test_a_store_that_is_gone_is_no_dark_image(tmp_path: Path, model: str, banding: str) -> None:
    view = live(stored(tmp_path / "a.zarr"), model=model, banding=banding)
    assert np.asarray(view[1]).any()
    shutil.rmtree(tmp_path / "a.zarr")
    for plane in (1, 3):
        with pytest.raises(FileNotFoundError, match=r"a\.zarr"):
            np.asarray(view[plane])


@pytest.mark.parametrize("banding", ["keep", "columns"])
def test_what_cannot_be_read_is_named(tmp_path: Path, banding: str) -> None:
    array = stored(tmp_path / "a.zarr")
    view = live(array, banding=banding)
    spoil(tmp_path / "a.zarr")
    with pytest.raises(OSError, match=r"a\.zarr cannot be read"):
        np.asarray(view[2])
    with pytest.raises(OSError, match=r"a\.zarr cannot be read"):
        calibrate(make_plan(array, "structured", banding=banding))
