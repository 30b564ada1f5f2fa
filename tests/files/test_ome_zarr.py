"""An OME-Zarr image that is filled block by block holds what was put in, as OME-NGFF wants it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noiser.files.open_image import open_image
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.common import Slices
from napari_noiser.files.writers.ome_zarr import OmeZarr
from napari_noiser.files.writers.pyramid import halve

SPACE = SpatialMetadata(
    "TZYX", (2.5, 1.5, 0.5, 0.25), (0.0, 10.0, -3.0, 7.0), ("second", *["micrometer"] * 3)
)


def regions(shape: tuple[int, ...], chunks: tuple[int, ...], many: int = 1) -> list[Slices]:
    """Return a grid of regions of `many` chunks along each axis, in raster order."""
    spans = [
        [slice(at, min(at + many * step, n)) for at in range(0, n, many * step)]
        for n, step in zip(shape, chunks, strict=True)
    ]
    return list(product(*spans))


def fill(image: OmeZarr, array: NDArray[Any], many: int = 1) -> None:
    """Put an array into a store, region by region."""
    for region in regions(image.shape, image.chunks, many):
        image[region] = array[region]
        image.finish(region)


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of a store, with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@st.composite
def images(draw: st.DrawFn) -> tuple[str, NDArray[Any], tuple[int, ...], int]:
    """Draw axes in any order, an array, chunks, and how many of them make a region."""
    others = draw(st.sets(st.sampled_from("TZ"))) | draw(
        st.sets(st.sampled_from("CS"), max_size=1)
    )
    axes = "".join(draw(st.permutations(["Y", "X", *sorted(others)])))
    shape = [draw(st.integers(1, 12 if letter in "YX" else 3)) for letter in axes]
    if "S" in axes:
        shape[axes.index("S")] = draw(st.sampled_from([1, 3, 4]))
    chunks = tuple(draw(st.integers(1, min(n, 5))) for n in shape)
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
    values = np.random.default_rng(0).uniform(1, 200, shape).astype(dtype)
    return axes, values, chunks, draw(st.integers(1, 3))


@settings(max_examples=30)
@given(images())
def test_what_is_put_in_comes_out_with_its_whole_pyramid(
    drawn: tuple[str, NDArray[Any], tuple[int, ...], int],
) -> None:
    axes, array, chunks, many = drawn
    with TemporaryDirectory() as folder:
        space = SpatialMetadata.pixels(axes)
        image = OmeZarr.create(
            f"{folder}/a.zarr", array.shape, array.dtype, space, name="a", chunks=chunks
        )
        assert (image.shape, image.dtype, image.chunks) == (array.shape, array.dtype, chunks)
        fill(image, array, many)
        for level in image.levels:
            np.testing.assert_array_equal(np.asarray(level[:]), array)
            array = halve(array, [axes.index("Y"), axes.index("X")])


def test_the_store_is_valid_and_opens_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    from yaozarrs import validate_zarr_store

    array = np.random.default_rng(0).random((2, 3, 40, 70), np.float32)
    image = OmeZarr.create(
        tmp_path / "a.zarr", array.shape, "float32", SPACE, name="a", chunks=(1, 2, 16, 16)
    )
    fill(image, array)
    validate_zarr_store(str(tmp_path / "a.zarr"))
    opened = open_image(tmp_path / "a.zarr")
    assert opened.space == SPACE
    np.testing.assert_array_equal(opened.array[:], array)
    plain = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(plain["0"][:], array)  # type: ignore[index]


def test_each_level_lies_where_the_first_does(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(64.0) * 0.25 + 7.0, (1, 1, 48, 64))  # the position itself
    image = OmeZarr.create(
        tmp_path / "a.zarr", ramp.shape, "float64", SPACE, name="a", chunks=(1, 1, 8, 8)
    )
    fill(image, ramp)
    metadata = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    datasets = metadata["attributes"]["ome"]["multiscales"][0]["datasets"]
    assert len(datasets) == len(image.levels) == 4
    for dataset, level in zip(datasets, image.levels, strict=True):
        scale, translation = dataset["coordinateTransformations"]
        columns = np.arange(level.shape[-1]) * scale["scale"][-1]
        np.testing.assert_allclose(level[0, 0, 0], columns + translation["translation"][-1])


def test_axes_in_another_order_are_stored_in_ome_ngffs(tmp_path: Path) -> None:
    space = SpatialMetadata(
        "YXZC", (0.5, 0.25, 2.0, 1.0), (1.0, 2.0, 3.0, 0.0), ("micrometer",) * 3 + ("",)
    )
    array = np.random.default_rng(0).integers(0, 99, (20, 30, 2, 3)).astype(np.uint16)
    image = OmeZarr.create(tmp_path / "a.zarr", array.shape, "uint16", space, name="a")
    fill(image, array)
    opened = open_image(tmp_path / "a.zarr")
    assert replace(opened.space, channels=()) == SpatialMetadata(
        "CZYX", (1.0, 2.0, 0.5, 0.25), (0.0, 3.0, 1.0, 2.0), ("", *["micrometer"] * 3)
    )
    np.testing.assert_array_equal(opened.array[:], array.transpose(3, 2, 0, 1))


def test_colors_are_channels_that_viewers_show_as_colors(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    image = OmeZarr.create(
        tmp_path / "a.zarr", array.shape, "uint8", SpatialMetadata.pixels("YXS"), name="a"
    )
    fill(image, array)
    np.testing.assert_array_equal(np.asarray(image.levels[0]), array)
    assert open_image(tmp_path / "a.zarr").space.axes == "CYX"
    opened = open_image(tmp_path / "a.zarr", "SYX")
    np.testing.assert_array_equal(opened.array[:], array.transpose(2, 0, 1))
    channels = image_metadata(image)["omero"]["channels"]
    assert [channel["color"] for channel in channels] == ["FF0000", "00FF00", "0000FF"]
    assert channels[0]["window"] == {"start": 0, "end": 255, "min": 0, "max": 255}


def image_metadata(image: OmeZarr) -> Any:
    """Return what the store says of the image."""
    return json.loads((image.path / "zarr.json").read_text())["attributes"]["ome"]


def test_limits_are_what_viewers_show(tmp_path: Path) -> None:
    image = OmeZarr.create(
        tmp_path / "a.zarr",
        (8, 8),
        "float32",
        SpatialMetadata.pixels("YX"),
        name="a",
        attributes={"b": [1]},
    )
    image.set_limits(0.25, 0.5)
    window = image_metadata(image)["omero"]["channels"][0]["window"]
    assert window == {"start": 0.25, "end": 0.5, "min": 0, "max": 1}
    assert image_metadata(image)["multiscales"][0]["name"] == "a"
    assert json.loads((image.path / "zarr.json").read_text())["attributes"]["b"] == [1]
    with pytest.raises(ValueError, match=r"upper must be a finite number above 0\.5"):
        image.set_limits(0.5, 0.5)


def test_going_on_after_a_stop_gives_the_same_bytes(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((2, 3, 40, 50), np.float32)
    whole, stopped = (
        OmeZarr.create(
            tmp_path / name, array.shape, "float32", SPACE, name="a", chunks=(1, 2, 16, 16)
        )
        for name in ("whole.zarr", "stopped.zarr")
    )
    fill(whole, array)
    places = regions(array.shape, stopped.chunks)
    for region in places[:20]:
        stopped[region] = array[region]
        stopped.finish(region)
    going_on = OmeZarr.open(tmp_path / "stopped.zarr", "TZYX")
    for region in places[17:]:  # some once more
        going_on[region] = array[region]
        going_on.finish(region)
    assert files(tmp_path / "whole.zarr") == files(tmp_path / "stopped.zarr")


def test_no_chunk_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = zarr.storage.LocalStore.set

    async def count(store: Any, key: str, *args: Any, **options: Any) -> None:
        written.append(f"{store.root.name}/{key}")
        await put(store, key, *args, **options)

    array = np.random.default_rng(0).random((4, 50, 40), np.float32)
    image = OmeZarr.create(
        tmp_path / "a.zarr",
        array.shape,
        "float32",
        SpatialMetadata.pixels("ZYX"),
        name="a",
        chunks=(2, 8, 8),
    )
    monkeypatch.setattr(zarr.storage.LocalStore, "set", count)
    fill(image, array, many=3)
    assert len(written) == len(set(written)) == sum(level.nchunks for level in image.arrays)


@pytest.mark.parametrize(
    ("axes", "shape", "chunks"),
    [
        ("YX", (1500, 300), (1024, 300)),
        ("ZYX", (30, 500, 500), (2, 500, 500)),
        ("TZYX", (5, 7, 2000, 2000), (1, 1, 1024, 1024)),
        ("TCYX", (50, 2, 100, 100), (50, 1, 100, 100)),
        ("ZYXS", (5, 300, 200, 3), (2, 300, 200, 3)),
    ],
)
def test_chunks_are_planes_of_about_2_mb(
    tmp_path: Path, axes: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    image = OmeZarr.create(
        tmp_path / "a.zarr", shape, "float32", SpatialMetadata.pixels(axes), name="a"
    )
    assert image.chunks == chunks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": SpatialMetadata.pixels("CYXS"), "shape": (2, 4, 4, 3)},
            "'CYXS' cannot be stored",
        ),
        (
            {"space": SpatialMetadata.pixels("YXS"), "shape": (4, 4, 2)},
            "axes S holds 1 sample, RGB or RGBA",
        ),
        ({"dtype": "complex64"}, "dtype must be one of uint8, .*, got complex64"),
        ({"dtype": "int64"}, "got int64"),
        ({"shape": (4, 4, 4)}, "names the axes 'YX', but the shape has 3"),
        ({"shape": (0, 4)}, "shape must be a whole number of at least 1"),
        ({"attributes": {"ome": {}}}, "must not have the key 'ome'"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {
        "shape": (4, 4),
        "dtype": "uint8",
        "space": SpatialMetadata.pixels("YX"),
    }
    with pytest.raises(ValueError, match=message):
        OmeZarr.create(tmp_path / "a.zarr", **{**options, "name": "a", **change})
    assert not (tmp_path / "a.zarr").exists()


def test_attributes_that_are_no_json_leave_no_half_a_store(tmp_path: Path) -> None:
    options: Any = {"name": "a", "attributes": {"a": object()}}
    with pytest.raises(TypeError, match="attributes must be a mapping of JSON-able values"):
        OmeZarr.create(
            tmp_path / "a.zarr", (4, 4), "uint8", SpatialMetadata.pixels("YX"), **options
        )
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize(
    ("region", "block", "error", "message"),
    [
        ((slice(0, 3), slice(0, 4)), np.zeros((3, 4)), ValueError, "multiples of the chunks"),
        ((slice(0, 4), slice(2, 4)), np.zeros((4, 2)), ValueError, "multiples of the chunks"),
        ((slice(0, 4), slice(8, 12)), np.zeros((4, 4)), ValueError, "within each axis"),
        ((slice(0, 4),), np.zeros((4, 10)), ValueError, "within each axis"),
        ((slice(0, 4, 2), slice(0, 4)), np.zeros((2, 4)), ValueError, "without step"),
        ((0, slice(0, 4)), np.zeros(4), TypeError, "tuple of slices"),
        ((slice(0, 4), slice(0, 4)), np.zeros((4, 1)), ValueError, "the region's shape"),
        ((slice(0, 4), slice(0, 4)), np.zeros((4, 4), complex), TypeError, "same_kind"),
    ],
)
def test_a_block_must_fit(
    tmp_path: Path, region: Any, block: Any, error: type[Exception], message: str
) -> None:
    image = OmeZarr.create(
        tmp_path / "a.zarr",
        (9, 10),
        "float32",
        SpatialMetadata.pixels("YX"),
        name="a",
        chunks=(4, 4),
    )
    with pytest.raises(error, match=message):
        image[region] = block


def test_floats_are_not_cut_to_integers(tmp_path: Path) -> None:
    image = OmeZarr.create(
        tmp_path / "a.zarr", (4, 4), "uint8", SpatialMetadata.pixels("YX"), name="a"
    )
    with pytest.raises(TypeError, match="same_kind"):
        image[slice(0, 4), slice(0, 4)] = np.full((4, 4), 0.5)


def test_a_store_is_never_overwritten(tmp_path: Path) -> None:
    options: Any = ((4, 4), "uint8", SpatialMetadata.pixels("YX"))
    OmeZarr.create(tmp_path / "a.zarr", *options, name="a")
    with pytest.raises(FileExistsError, match=r"a\.zarr"):
        OmeZarr.create(tmp_path / "a.zarr", *options, name="a")


def test_only_what_was_created_so_is_opened(tmp_path: Path) -> None:
    OmeZarr.create(
        tmp_path / "a.zarr", (2, 4, 4), "uint8", SpatialMetadata.pixels("ZYX"), name="a"
    )
    with pytest.raises(ValueError, match="holds the axes 'zyx', which axes 'TYX' do not fit"):
        OmeZarr.open(tmp_path / "a.zarr", "TYX")
    with pytest.raises(FileNotFoundError):
        OmeZarr.open(tmp_path / "b.zarr", "ZYX")
    zarr.create_group(tmp_path / "c.zarr")
    zarr.create_array(tmp_path / "d.zarr", shape=(2, 4, 4), dtype="uint8")
    (tmp_path / "a.zarr/0/zarr.json").unlink()  # killed while it was created
    for name in "acd":
        with pytest.raises(ValueError, match=rf"{name}\.zarr is no complete OME-Zarr 0.5 image"):
            OmeZarr.open(tmp_path / f"{name}.zarr", "ZYX")


def test_a_further_level_is_made_of_one_chunk_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(values: np.ndarray, halved: list[int]) -> np.ndarray:
        seen.append(values.shape)
        return halve(values, halved)

    monkeypatch.setattr("napari_noiser.files.writers.ome_zarr.halve", noted)
    shape, chunks = (3, 50, 70), (2, 16, 16)
    store = OmeZarr.create(
        tmp_path / "a.zarr", shape, "f4", SpatialMetadata.pixels("ZYX"), name="a", chunks=chunks
    )
    whole = tuple(slice(0, length) for length in shape)
    store[whole] = np.random.default_rng(0).random(shape, np.float32)
    store.finish(whole)
    assert all(np.less_equal(each, chunks).all() for each in seen)
    for fine, coarse in pairwise(store.arrays):
        np.testing.assert_array_equal(coarse[:], halve(fine[:], [1, 2]))


@pytest.mark.parametrize(
    ("source", "chunks"),
    [
        (None, (1, 1024, 1024)),
        ((1, 2048, 2048), (1, 1024, 1024)),
        ((200, 128, 128), (32, 128, 128)),
        ((64, 256, 256), (8, 256, 256)),
        ((200, 2000, 10), (32, 1024, 16)),
    ],
)
def test_chunks_go_with_those_of_the_source(
    tmp_path: Path, source: tuple[int, ...] | None, chunks: tuple[int, ...]
) -> None:
    store = OmeZarr.create(
        tmp_path / "a.zarr",
        (200, 2000, 2000),
        "f4",
        SpatialMetadata.pixels("TYX"),
        name="a",
        source_chunks=source,
    )
    assert store.chunks == chunks
