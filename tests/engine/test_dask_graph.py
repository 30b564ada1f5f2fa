"""Dask in, lazy dask out: the result that memory would give, computed when it is asked for."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from helpers.arrays import counting_dask
from helpers.compare import assert_same, largest_difference
from helpers.errors import refused
from helpers.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_noiser.engine.plan as plan
from napari_noiser import closed_form, enhance, load_model
from napari_noiser.engine.dask_graph import make_lazy_plan

CASES = [
    ("YX", 2, "stack"),
    ("ZYX", 2, "plane"),
    ("ZYX", 3, "stack"),
    ("XTYC", 2, "volume"),
    ("YXS", 2, "stack"),
    ("TZSYX", 2, "volume"),
    ("CTZYX", 3, "volume"),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


def planes_of(values: np.ndarray) -> tuple[da.Array, Counter[tuple[int, ...]]]:
    """Return a lazy stack in chunks of one plane, and how often each was computed."""
    return counting_dask(values, (1, *values.shape[1:]))


def partition(data: st.DataObject, length: int) -> tuple[int, ...]:
    """Draw chunks, of any lengths, that sum up to a length."""
    cuts = data.draw(st.sets(st.integers(1, length), max_size=4)) | {0, length}
    return tuple(np.diff(sorted(cuts)).tolist())


@settings(max_examples=25)
@given(st.data())
def test_any_chunks_equal_the_whole(data: st.DataObject) -> None:
    axes, ndim, statistics = data.draw(st.sampled_from(CASES))
    lengths = {"Y": st.integers(1, 25), "X": st.integers(2, 25), "S": st.sampled_from([3, 4])}
    shape = tuple(data.draw(lengths.get(letter, st.integers(1, 5))) for letter in axes)
    image = scene(shape, seed=data.draw(st.integers(0, 99)))
    lazy = da.from_array(image, tuple(partition(data, length) for length in shape))
    options: dict[str, Any] = {"axes": axes, "ndim": ndim, "statistics": statistics}
    tile = data.draw(st.none() | st.integers(2, 20))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no signal")  # in a few pixels, by chance
        found = enhance(lazy, "noiser", tile=tile, **options).compute()
        assert largest_difference(found, enhance(image, "noiser", **options)) < 1e-5


@settings(max_examples=10)
@given(st.data())
def test_any_chunks_equal_the_whole_with_a_mask_and_bad_values(data: st.DataObject) -> None:
    image = scene((4, 22, 23), seed=data.draw(st.integers(0, 99)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image[rng.random(image.shape) < 0.003] = np.nan
    mask = rng.random(data.draw(st.sampled_from([(22, 23), (4, 22, 23)]))) < 0.9
    chunks = tuple(partition(data, length) for length in image.shape)
    of_mask = tuple(partition(data, length) for length in mask.shape)
    expected = enhance(image, "noiser", mask=mask)
    for given_mask in (mask, da.from_array(mask, of_mask), da.from_array(mask.astype(int), -1)):
        found = enhance(da.from_array(image, chunks), "noiser", mask=given_mask).compute()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(image))
        assert largest_difference(np.nan_to_num(found), np.nan_to_num(expected)) < 1e-5


@pytest.mark.parametrize(("axes", "ndim", "statistics"), CASES)
def test_a_mask_of_one_image_follows_the_axes(axes: str, ndim: int, statistics: str) -> None:
    lengths = {"C": 2, "T": 3, "Z": 5, "Y": 12, "X": 12, "S": 4}  # square, so that order tells
    image = scene(tuple(lengths[letter] for letter in axes))
    mask = np.random.default_rng(0).random([lengths[a] for a in "ZYX"[3 - ndim :]]) < 0.9
    options: dict[str, Any] = {"axes": axes, "ndim": ndim, "statistics": statistics}
    found = enhance(da.from_array(image, 5), "noiser", mask=da.from_array(mask, 7), **options)
    assert (
        largest_difference(found.compute(), enhance(image, "noiser", mask=mask, **options)) < 1e-5
    )


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler_gives_the_same(scheduler: str) -> None:
    image = scene((3, 60, 71), dtype="uint16")
    lazy = enhance(da.from_array(image, (1, 33, 34)), "noiser", statistics="plane")
    found = lazy.compute(scheduler=scheduler, num_workers=2)
    assert largest_difference(found, enhance(image, "noiser", statistics="plane")) < 1e-5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "uint64", "float16", "float32"])
def test_every_type_of_image(dtype: str) -> None:
    image = scene((40, 41)).astype(dtype)
    if dtype == "uint64":
        image += np.uint64(2**63)  # where float64 would round by 1024
    found = enhance(da.from_array(image, 15), "noiser")
    assert largest_difference(found.compute(), enhance(image, "noiser")) < 1e-5
    assert largest_difference(found[:20, 20:].compute(), enhance(image, "noiser")[:20, 20:]) < 1e-5


@pytest.mark.parametrize("dtype", [None, "float32", "float64", "uint8", "uint16"])
def test_shape_and_type_are_known_beforehand(dtype: str | None) -> None:
    image = scene((2, 30, 31, 3))
    found = enhance(da.from_array(image, 12), "noiser", axes="ZYXS", dtype=dtype, contrast=1.5)
    assert isinstance(found, da.Array)
    assert found.shape == image.shape
    assert found.dtype == found._meta.dtype == np.dtype(dtype or "float32")
    computed = found.compute()
    assert computed.dtype == found.dtype
    expected = enhance(image, "noiser", axes="ZYXS", dtype=dtype, contrast=1.5)
    step = 1 if computed.dtype.kind == "u" else 1e-5  # a whole number may round the other way
    assert largest_difference(computed, expected) <= step


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32"])
def test_nothing_is_computed_before_it_is_asked_for(dtype: str) -> None:
    lazy_planes, computed = planes_of(scene((5, 20, 21), dtype=dtype))
    mask = lazy_planes[0] > 3
    found = enhance(lazy_planes, "noiser", mask=mask, ndim=3)
    closed_form(lazy_planes)
    assert not computed
    found.compute()
    assert computed


def test_a_chunk_is_computed_twice_and_not_held_in_between() -> None:
    planes = scene((30, 256, 257), dtype="uint16")
    lazy_planes, computed = planes_of(planes)
    enhance(
        lazy_planes[:2], "noiser", fill=None
    ).compute()  # what is imported on the way is not to count
    computed.clear()
    lazy = enhance(lazy_planes, "noiser", fill=None, tile=64).map_blocks(
        lambda block: block[:, :1, :1].copy()
    )
    tracemalloc.start()
    lazy.compute()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(computed.values()) == {2}
    assert peak < 0.6 * planes.nbytes  # it takes above 1 where all chunks are held


def test_whatever_made_the_image_is_computed_twice() -> None:
    lazy_planes, computed = planes_of(scene((6, 30, 31)))
    planes = lazy_planes
    factor = dask.delayed(np.float64)(3)
    images = {
        "sliced": planes[1:5, ::2, 3:],
        "rechunked": planes.rechunk((4, 13, -1)),
        "overlapped": planes.map_overlap(lambda block: block + 1, depth=(1, 2, 2)),
        "joined": da.concatenate([planes, da.stack([planes[0], planes[1]])]),
        "compared": planes - planes.mean(axis=0),
        "delayed": planes.map_blocks(
            lambda block, factor: block * factor, factor=factor, dtype=float
        ),
        "from delayed": da.from_delayed(dask.delayed(np.asarray)(planes), (6, 30, 31), float),
        "transposed": planes.transpose(0, 2, 1).reshape(6, 31, 30)[:, [3, 1, 7, 9, 20, 2]],
        "fft": da.fft.fft(planes.rechunk((2, -1, -1))).real,
    }
    for name, image in images.items():
        values = image.compute()
        computed.clear()
        found = enhance(image, "noiser", fill=None).compute()
        assert set(computed.values()) == {2}, name
        assert largest_difference(found, enhance(values, "noiser", fill=None)) < 1e-5, name


def test_what_is_enhanced_can_be_enhanced() -> None:
    image = scene((2, 30, 31))
    lazy = enhance(da.from_array(image, (1, 16, 16)), "noiser")
    assert (
        largest_difference(
            enhance(lazy, "noiser").compute(), enhance(enhance(image, "noiser"), "noiser")
        )
        < 1e-5
    )


def test_only_what_shares_statistics_is_measured() -> None:
    lazy_planes, computed = planes_of(scene((6, 20, 21)))
    found = enhance(lazy_planes, "noiser", fill=None, statistics="plane")[2].compute()
    assert {plane for plane, *_ in computed} == {2}
    computed.clear()
    assert (
        largest_difference(enhance(lazy_planes, "noiser", fill=None)[2].compute(), found) > 0.001
    )
    assert [computed[plane, 0, 0] for plane in range(6)] == [1, 1, 2, 1, 1, 1]


def test_the_graph_is_small_and_holds_the_method_once() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    image = da.zeros((8, 2048, 2048), chunks=(1, 1024, 1024), dtype="uint16")
    graph = dict(enhance(image, "noiser", ndim=2).dask)
    sizes = {key: len(cloudpickle.dumps(task)) for key, task in graph.items()}
    large = [key for key, size in sizes.items() if size > 3000]
    assert len(large) == 1
    assert "Plan" in str(large[0])
    assert sizes[large[0]] < 50_000
    assert sum(sizes.values()) < 3000 * len(graph) < 100_000 * image.npartitions


def test_the_same_enhancement_has_the_same_name() -> None:
    image = da.from_array(scene((30, 31)), 16)
    names = {enhance(image, load_model("noiser")).name for _ in range(2)}
    assert len(names) == 1
    assert enhance(image, "noiser-es").name not in names
    assert enhance(image, "noiser", contrast=2.0).name not in names


@pytest.mark.parametrize("length", [1, 2, 3, 7, 13, 16])
def test_thin_chunks_are_merged_to_regular_ones(length: int) -> None:
    image = da.ones((length, 33, 8), chunks=(1, 32, 4))
    chunks = enhance(image, "noiser", fill=None, ndim=3).chunks
    for along in chunks:
        assert len(along) == 1 or min(along) >= 2
        assert len({*along[:-1]}) <= 1
        assert along[-1] <= along[0]
    assert chunks[2] == (4, 4)


def test_empty_chunks_do_no_harm() -> None:
    image = scene((3, 20, 21))
    lazy = da.from_array(image, ((2, 0, 1), (0, 20), (21, 0)))
    assert largest_difference(enhance(lazy, "noiser").compute(), enhance(image, "noiser")) < 1e-5


def test_a_flat_group_is_said_when_it_is_computed() -> None:
    planes = scene((3, 20, 21))
    planes[1] = 7
    lazy = enhance(da.from_array(planes, (1, 9, 9)), "noiser", statistics="plane")
    with pytest.warns(UserWarning, match="no signal in 1 of 1"):
        found = lazy.compute()
    assert (found[1] == 0.5).all()
    assert largest_difference(found[2], enhance(planes[2], "noiser")) < 1e-5
    with pytest.warns(UserWarning, match="no signal in 1 of 1"):
        assert (enhance(da.full((20, 21), 1e9, chunks=7), "noiser").compute() == 0.5).all()


def test_nothing_to_measure_is_an_error_when_it_is_computed() -> None:
    for lazy in (
        enhance(da.full((3, 20, 21), np.nan, chunks=(1, 10, 10)), "noiser"),
        enhance(da.ones((20, 21), chunks=10), "noiser", mask=np.zeros((20, 21), bool)),
        enhance(da.from_array(np.array([[0, 1e200], [3e200, 0]] * 4), -1), "noiser"),
    ):
        with refused("image"):
            lazy.compute()


@pytest.mark.parametrize(
    ("options", "came"),
    [
        ({"contrast": 0}, "0"),
        ({"axes": "ZYX"}, "ZYX"),
        ({"statistics": "series"}, "series"),
        ({"model": "nonsense"}, "nonsense"),
        ({"dtype": "int8"}, "int8"),
        ({"tile": 0}, "0"),
        ({"mask": da.ones((5, 5), dtype=bool)}, "(5, 5)"),
        ({"device": "nonsense"}, "nonsense"),
        ({"progress": True}, "ProgressBar"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(options: dict[str, Any], came: str) -> None:
    with refused(next(iter(options)), came):
        enhance(da.ones((20, 21), chunks=10), **options)


def test_images_that_are_none_are_refused_at_once() -> None:
    with refused("image", "bool", error=TypeError):
        enhance(da.ones((20, 21), dtype=bool), "noiser")
    with refused("mask", "float64", error=TypeError):
        enhance(da.ones((20, 21)), "noiser", mask=da.ones((20, 21)))
    values = da.from_array(scene((20, 21)), 10)
    with refused("image"):
        enhance(values[values[:, 0] > 5], "noiser")


def test_the_device_is_found_by_whoever_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    find = plan.best_device

    def watch(device: Any) -> Any:
        asked.append(device)
        return find(device)

    monkeypatch.setattr(plan, "best_device", watch)
    lazy = enhance(da.from_array(scene((20, 21)), 10), "noiser")
    assert "auto" not in asked
    asked.clear()
    lazy.compute()
    assert set(asked) == {"auto"}
    elsewhere = enhance(
        da.from_array(scene((20, 21)), 10), "noiser", device="cuda:99"
    )  # may be there
    with refused("device", "cuda:99"):
        elsewhere.compute()


def test_out_is_filled_here_and_now() -> None:
    image = scene((30, 31))
    out = np.zeros((30, 31), "float32")
    assert enhance(da.from_array(image, 10), "noiser", out=out) is out
    assert_same(out, enhance(image, "noiser"))


@pytest.mark.parametrize(("shape", "axes"), [((30, 31, 3), "YXS"), ((3, 30, 31), "ZYX")])
def test_the_closed_form_is_lazy_as_well(shape: tuple[int, ...], axes: str) -> None:
    image = scene(shape)
    found = closed_form(da.from_array(image, 11), axes=axes, statistics="volume")
    assert isinstance(found, da.Array)
    expected = closed_form(image, axes=axes, statistics="volume")
    assert largest_difference(found.compute(), expected) < 1e-5


def test_once_measured_only_what_is_looked_at_is_computed() -> None:
    planes = scene((6, 20, 21), dtype="int64")
    lazy_planes, computed = planes_of(planes)
    measured = make_lazy_plan(lazy_planes, "noiser").measured()
    assert {plane for plane, *_ in computed} == set(range(6))
    computed.clear()
    assert largest_difference(measured.result()[4].compute(), enhance(planes, "noiser")[4]) < 1e-5
    assert computed == {(4, 0, 0): 1}


def test_numpy_needs_no_dask() -> None:
    script = (
        "import sys, numpy as np, napari_noiser\n"
        "napari_noiser.enhance(np.eye(9))\n"
        "napari_noiser.closed_form(np.eye(9))\n"
        "assert not {'dask', 'dask.array'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
