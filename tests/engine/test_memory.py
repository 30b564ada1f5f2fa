"""Within memory: what is held of masks, of chunks that do not match, of dask graphs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.arrays import CountingArray
from helpers.compare import largest_difference
from helpers.scenes import scene

from napari_noiser import enhance
from napari_noiser.engine.plan import make_plan

IMAGE = scene((20, 48, 48), dtype="uint16")


def zeros(chunks: tuple[int, ...]) -> CountingArray:
    return CountingArray(np.zeros(IMAGE.shape, "f4"), chunks)


def test_chunks_of_many_frames_are_read_twice_whatever_can_be_cut_anywhere() -> None:
    image, out = (
        CountingArray(IMAGE, (20, 16, 16)),
        zeros((1, 1, 1)),
    )
    enhance(image, "noiser", fill=None, axes="TYX", out=out, memory_limit=235_000)
    assert set(image.chunks_read.values()) == {2}
    assert set(out.chunks_written.values()) == {1}
    assert largest_difference(out.values, enhance(IMAGE, "noiser", fill=None, axes="TYX")) < 1e-6


def test_blocks_span_as_many_frames_as_the_image_s_chunks() -> None:
    image, out = (
        CountingArray(IMAGE, (20, 16, 16)),
        zeros((4, 16, 16)),
    )
    enhance(image, "noiser", fill=None, axes="TYX", out=out, memory_limit=235_000)
    assert set(image.chunks_read.values()) == {2}
    assert set(out.chunks_written.values()) == {1}


def test_chunks_across_each_other_are_read_again_rather_than_held() -> None:
    image, out = (
        CountingArray(IMAGE, (1, 48, 48)),
        zeros((20, 8, 8)),
    )
    enhance(image, "noiser", fill=None, axes="TYX", out=out, memory_limit=100_000)
    assert image.largest_read * 2 <= 100_000 / 4
    assert max(image.chunks_read.values()) > 2
    assert set(out.chunks_written.values()) == {1}
    assert largest_difference(out.values, enhance(IMAGE, "noiser", fill=None, axes="TYX")) < 1e-6
    image.forget()
    enhance(image, "noiser", fill=None, axes="TYX", out=out, memory_limit=2_000_000)
    assert set(image.chunks_read.values()) == {2}, "where memory allows"


@pytest.mark.parametrize("lazy_image", [False, True])
@pytest.mark.parametrize("shape", [(20, 48, 48), (48, 48)])
def test_a_lazy_mask_is_read_block_by_block(lazy_image: bool, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 3, shape, "u1")
    mask = CountingArray(values, (1, 48, 48)[-len(shape) :])
    image = CountingArray(IMAGE, (1, 48, 48)) if lazy_image else IMAGE
    result = enhance(image, "noiser", fill=None, axes="TYX", mask=mask, memory_limit=80_000)
    assert (
        largest_difference(result, enhance(IMAGE, "noiser", fill=None, axes="TYX", mask=values))
        < 1e-6
    )
    assert mask.largest_read <= 48 * 48
    if len(shape) == 3:
        assert set(mask.chunks_read.values()) == {1}, "to measure, not to render"


def test_lazy_masks_tell_of_themselves_without_being_read_whole() -> None:
    values = np.random.default_rng(0).integers(0, 3, IMAGE.shape, "u1")
    described = []
    for _ in range(2):
        mask = CountingArray(values, (1, 48, 48))
        described.append(make_plan(IMAGE, "noiser", axes="TYX", mask=mask).describe()["mask"])
        assert sum(mask.chunks_read.values()) <= 3
    assert described[0] == described[1]
    assert (
        make_plan(
            IMAGE, "noiser", axes="TYX", mask=CountingArray(1 - values, (1, 48, 48))
        ).describe()["mask"]
        != (described[0])
    )


def test_a_lazy_mask_of_a_dask_image_stays_lazy() -> None:
    values = np.random.default_rng(0).integers(0, 2, IMAGE.shape, "u1")
    mask = zarr.create_array({}, shape=values.shape, chunks=(4, 48, 48), dtype="u1")
    mask[:] = values
    lazily = enhance(
        da.from_array(IMAGE, chunks=(4, 24, 48)), "noiser", axes="TYX", mask=mask
    ).compute()
    assert largest_difference(lazily, enhance(IMAGE, "noiser", axes="TYX", mask=values)) < 1e-6


def test_what_dask_computes_for_several_chunks_it_computes_once_for_them() -> None:
    loads: Counter[int] = Counter()

    def load(first: int) -> np.ndarray:
        loads[first] += 1
        return IMAGE[first : first + 5]

    files = [
        da.from_delayed(dask.delayed(load, pure=False)(i), (5, 48, 48), "u2")
        for i in range(0, 20, 5)
    ]
    lazy = da.concatenate(files).rechunk((1, 48, 48))
    result = enhance(lazy, "noiser", fill=None, axes="TYX", out=np.empty(IMAGE.shape, "f4"))
    assert loads == {0: 2, 5: 2, 10: 2, 15: 2}
    assert largest_difference(result, enhance(IMAGE, "noiser", fill=None, axes="TYX")) < 1e-6


def test_a_dask_graph_is_looked_through_once_for_each_pass() -> None:
    image = scene((40, 64, 64), dtype="uint16")
    looked, computed = [], []

    def optimize(graph: Any, keys: Any, **options: Any) -> Any:
        looked.append(len(graph))
        return da.optimization.optimize(graph, keys, **options)

    def schedule(graph: Any, keys: Any, **options: Any) -> Any:
        computed.append(len(graph))
        return dask.get(graph, keys, **options)

    lazy = da.stack([da.from_delayed(dask.delayed(each), each.shape, "u2") for each in image])
    with dask.config.set(array_optimize=optimize, scheduler=schedule):
        enhance(
            lazy,
            "noiser",
            fill=None,
            axes="TYX",
            out=np.empty(image.shape, "f4"),
            memory_limit=100_000,
        )
    assert len(looked) == 2
    assert len(computed) >= 2 * 10, "memory does not allow all at once"
    assert sum(computed) <= 2 * 3 * len(image), "each task once, and no others"


def test_dask_chunks_may_be_empty_and_uneven() -> None:
    lazy = da.from_array(IMAGE, chunks=((3, 17), (48,), (1, 47)))
    lazy = da.concatenate([lazy[:0], lazy[:5], lazy[5:5], lazy[5:]])
    out = np.empty(IMAGE.shape, "f4")
    enhance(lazy, "noiser", axes="TYX", out=out, memory_limit=100_000)
    assert largest_difference(out, enhance(IMAGE, "noiser", axes="TYX")) < 1e-6


PEAK = """
import sys
import numpy as np, zarr
from napari_noiser.engine.passes import measure_steps
from napari_noiser.engine.plan import make_plan

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def measure(image, mask):
    work = make_plan(image, "noiser", axes="TYX", mask=mask, memory_limit=8_000_000, device="cpu")
    work.describe()
    for _ in measure_steps(work):
        pass

array = zarr.open_array(sys.argv[1], mode="r")
measure(array[:2], array[:2])
before = peak()
measure(array, array)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_masks_larger_than_memory_are_not_loaded(tmp_path: Path) -> None:
    values = np.random.default_rng(0).poisson(1, (1, 400, 400)).astype("u2")
    array = zarr.create_array(
        tmp_path / "mask.zarr", shape=(60, 400, 400), chunks=(1, 400, 400), dtype="u2"
    )
    for at in range(60):
        array[at : at + 1] = values
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "mask.zarr")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < array.nbytes / 2
