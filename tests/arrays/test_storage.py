"""Where values lie: an image is never its own result, and a store that is gone is no image."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.errors import refused
from helpers.scenes import scene

from napari_noiser import enhance
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.arrays.places import files_of
from napari_noiser.arrays.reader import ChunkCache
from napari_noiser.arrays.storage import check_store, shares_memory, version_of
from napari_noiser.engine.enhance import plan_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.files.enhance_to_file import enhance_to_file

IMAGE = scene((8, 40, 50))


def stored(place: Path) -> Any:
    array = zarr.create_array(place, shape=IMAGE.shape, chunks=(1, 40, 50), dtype="f4")
    array[:] = IMAGE
    return array


def pairs(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Return images, each with a result that lies in the same place."""
    np.save(folder / "raw.npy", IMAGE)
    image, out = (np.load(folder / "raw.npy", mmap_mode=mode) for mode in ("r", "r+"))
    array = stored(folder / "a.zarr")
    (folder / "link.zarr").symlink_to("a.zarr")
    lazy = da.from_zarr(array)
    return {
        "one file mapped twice": (image, out),
        "a view of a mapped file": (np.asarray(image)[:], out),
        "a store by another name": (array, zarr.open_array(folder / "link.zarr")),
        "a dask image of a store": (lazy, array),
        "computed from a store": ((lazy + 1)[::-1], zarr.open_array(folder / "link.zarr")),
        "inlined": (da.from_array(array, inline_array=True) * 2, array),
    }


@pytest.mark.parametrize(
    "name",
    [
        "one file mapped twice",
        "a view of a mapped file",
        "a store by another name",
        "a dask image of a store",
        "computed from a store",
        "inlined",
    ],
)
def test_a_result_is_not_written_over_its_image(name: str, tmp_path: Path) -> None:
    image, out = pairs(tmp_path)[name]
    with refused("out"):
        make_plan(image, "noiser", out=out)


def test_other_stores_are_others(tmp_path: Path) -> None:
    out = zarr.create_array(tmp_path / "b.zarr", shape=IMAGE.shape, dtype="f4")
    for image in (stored(tmp_path / "a.zarr"), da.from_zarr(tmp_path / "a.zarr"), IMAGE):
        make_plan(image, "noiser", out=out)


@pytest.mark.parametrize("inline", [False, True])
def test_a_store_that_vanishes_under_dask_is_no_dark_image(tmp_path: Path, inline: bool) -> None:
    lazy = da.from_array(stored(tmp_path / "a.zarr"), inline_array=inline) + 1
    plan = make_plan(lazy, "noiser", out=np.empty(IMAGE.shape, "f4"), memory_limit=100_000)
    steps = plan_steps(plan)
    for event in steps:
        if event.stage == "render":
            break
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(FileNotFoundError, match="has vanished while it was read"):
        for _ in steps:
            pass


def test_what_cannot_be_filled_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "a.zarr")
    with refused("out"):
        enhance(IMAGE, "noiser", out=zarr.open_array(tmp_path / "a.zarr", mode="r"))
    with refused("out"):
        enhance(IMAGE, "noiser", out=da.zeros(IMAGE.shape, dtype="f4"))


def test_an_image_of_unknown_shape_is_refused_with_and_without_out() -> None:
    lazy = da.from_array(IMAGE, chunks=(2, 40, 50))
    unknown = lazy[lazy.mean(axis=(1, 2)) > -1]
    for out in (None, np.empty(IMAGE.shape, "f4")):
        with refused("image", "compute_chunk_sizes()"):
            enhance(unknown, "noiser", out=out)


@pytest.mark.parametrize("banding", ["rows", "columns", "both"])
@pytest.mark.parametrize("lazy", [False, True])
def test_without_its_banding_an_image_lies_where_it_did(
    banding: str, lazy: bool, tmp_path: Path
) -> None:
    array = stored(tmp_path / "a.zarr")
    image = da.from_zarr(array) if lazy else array
    plan = make_plan(image, "noiser", banding=banding, out=np.empty(IMAGE.shape, "f4"))
    assert shares_memory(plan.image.array, array)
    before = version_of(plan.image.array)
    array[2] = IMAGE[3]
    assert version_of(plan.image.array) != before
    with refused("path"):
        enhance_to_file(image, tmp_path / "a.zarr" / "b.zarr", "noiser", banding=banding)


@pytest.mark.parametrize("derive", [ChunkCache, LazyView.whole, "banding"])
def test_what_is_read_from_a_store_vanishes_with_it(derive: Any, tmp_path: Path) -> None:
    array = stored(tmp_path / "a.zarr")
    if derive == "banding":
        derived = make_plan(array, "noiser", banding="rows").image.array
    elif derive is ChunkCache:
        derived = ChunkCache(array, 10**6)
    else:
        derived = derive(lambda box: array[box], array.shape, array.dtype, (1, 40, 50), array)
    check_store(derived)
    assert files_of(derived) == [tmp_path / "a.zarr"]
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(FileNotFoundError):
        check_store(derived)
