"""Arrays in stores: zarr v2 and v3, sharded, memory-mapped, dask; each chunk is decoded twice."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from helpers.arrays import counting_dask
from helpers.compare import largest_difference
from helpers.scenes import scene
from zarr.storage import MemoryStore, WrapperStore

from napari_noiser import enhance
from napari_noiser.engine.enhance import plan_steps
from napari_noiser.engine.plan import make_plan

IMAGE = scene((4, 90, 110), dtype="uint16")
ENHANCED = enhance(IMAGE, "noiser")


class CountingStore(WrapperStore[MemoryStore]):
    """Counts how often each chunk is fetched and stored."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.got: Counter[str] = Counter()
        self.put: Counter[str] = Counter()

    def with_read_only(self, read_only: bool = False) -> CountingStore:
        return self

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        self.got[key] += 1
        return await super().get(key, *arguments, **options)

    async def set(self, key: str, *arguments: Any, **options: Any) -> None:
        self.put[key] += 1
        await super().set(key, *arguments, **options)


def chunks_of(counted: Counter[str]) -> dict[str, int]:
    return {key: count for key, count in counted.items() if not key.endswith((".json", ".zarray"))}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 90, 110), (3, 32, 32), (4, 7, 110)])
def test_zarr_chunks_are_fetched_twice(zarr_format: int, chunks: tuple[int, ...]) -> None:
    store = CountingStore(MemoryStore())
    array = zarr.create_array(
        store, shape=IMAGE.shape, chunks=chunks, dtype="uint16", zarr_format=zarr_format
    )
    array[:] = IMAGE
    store.got.clear()
    assert largest_difference(enhance(array, "noiser", fill=None, tile=16), ENHANCED) < 1e-6
    fetched = chunks_of(store.got)
    assert len(fetched) == array.nchunks
    assert set(fetched.values()) == {2}


def test_zarr_results_are_stored_once_chunk_by_chunk() -> None:
    store = CountingStore(MemoryStore())
    out = zarr.create_array(store, shape=IMAGE.shape, chunks=(2, 32, 40), dtype="float32")
    assert enhance(IMAGE, "noiser", tile=16, out=out) is out
    stored = chunks_of(store.put)
    assert len(stored) == out.nchunks
    assert set(stored.values()) == {1}
    assert chunks_of(store.got) == {}, "nothing was read back to be filled up"
    assert largest_difference(out[:], ENHANCED) < 1e-6


def test_shards_are_written_whole() -> None:
    store = CountingStore(MemoryStore())
    out = zarr.create_array(
        store, shape=IMAGE.shape, chunks=(1, 16, 16), shards=(2, 64, 64), dtype="float32"
    )
    enhance(IMAGE, "noiser", tile=16, out=out)
    assert set(chunks_of(store.put).values()) == {1}
    assert largest_difference(out[:], ENHANCED) < 1e-6
    assert largest_difference(enhance(out, "noiser"), enhance(ENHANCED, "noiser")) < 1e-5


@pytest.mark.parametrize("out_chunks", [(1, 90, 110), (4, 20, 20)])
def test_chunks_of_image_and_result_may_differ(out_chunks: tuple[int, ...]) -> None:
    store = CountingStore(MemoryStore())
    array = zarr.create_array(store, shape=IMAGE.shape, chunks=(3, 32, 32), dtype="uint16")
    array[:] = IMAGE
    store.got.clear()
    out = zarr.create_array(MemoryStore(), shape=IMAGE.shape, chunks=out_chunks, dtype="float32")
    enhance(array, "noiser", fill=None, tile=16, out=out)
    assert set(chunks_of(store.got).values()) == {2}
    assert largest_difference(out[:], ENHANCED) < 1e-6


@pytest.mark.parametrize("chunks", [((4,), (90,), (110,)), ((1, 2, 1), (40, 50), (1, 9, 100))])
def test_dask_is_computed_twice_if_there_is_something_to_fill(
    chunks: tuple[tuple[int, ...], ...],
) -> None:
    lazy, counts = counting_dask(IMAGE, chunks)
    out = np.empty(IMAGE.shape, "f4")
    assert enhance(lazy, "noiser", fill=None, out=out) is out
    assert set(counts.values()) == {2}
    assert largest_difference(out, ENHANCED) < 1e-6


def test_memory_maps_are_read_and_filled(tmp_path: Path) -> None:
    raw = np.memmap(tmp_path / "raw", "uint16", "w+", shape=IMAGE.shape)
    raw[:] = IMAGE
    out = np.memmap(tmp_path / "out", "uint16", "w+", shape=IMAGE.shape)
    enhance(np.memmap(tmp_path / "raw", "uint16", "r", shape=IMAGE.shape), "noiser", out=out)
    assert largest_difference(out / 65535, ENHANCED) < 1e-5


def test_a_store_that_vanishes_is_no_dark_image(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "image.zarr", name="deep/0", shape=(90, 110), chunks=(16, 16), dtype="uint16"
    )
    array[:] = IMAGE[0]
    steps = plan_steps(make_plan(array, "noiser", tile=4))
    for event in steps:
        if event.stage == "render":
            break
    shutil.rmtree(tmp_path / "image.zarr")
    with pytest.raises(FileNotFoundError, match="image has vanished while it was read"):
        for _ in steps:
            pass
