"""An OME-TIFF file that is filled block by block holds what was put in, and says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noiser.files.open_image import open_image
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.writers.ome_tiff import OmeTiff

SPACE = SpatialMetadata(
    "TZYX", (2.5, 1.5, 0.5, 0.25), (0.0,) * 4, ("millisecond", "micrometer", "nanometer", "inch")
)


@st.composite
def images(draw: st.DrawFn) -> tuple[str, NDArray[Any]]:
    """Draw axes in any order, and an array."""
    others = draw(st.sets(st.sampled_from("TCZS")))
    axes = "".join(draw(st.permutations(["Y", "X", *sorted(others)])))
    shape = [draw(st.integers(2, 5)) for _ in axes]
    if "S" in axes:
        shape[axes.index("S")] = draw(st.sampled_from([3, 4]))
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
    return axes, np.random.default_rng(0).uniform(0, 200, shape).astype(dtype)


@settings(max_examples=40)
@given(images(), st.integers(1, 3))
def test_what_is_put_in_comes_out(drawn: tuple[str, NDArray[Any]], step: int) -> None:
    axes, array = drawn
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.tif"
        tif = OmeTiff.create(
            path, array.shape, array.dtype, SpatialMetadata.pixels(axes), name="a"
        )
        cuts = [[*range(0, n, step), n] for n in array.shape]
        for region in product(*([slice(*ends) for ends in pairwise(cut)] for cut in cuts)):
            tif[region] = array[region]
            tif.finish(region)
        np.testing.assert_array_equal(tif.levels[0], array)
        opened = open_image(path)
        order = [axes.index(letter) for letter in opened.space.axes]
        assert sorted(order) == list(range(array.ndim))
        assert isinstance(opened.array, np.memmap)
        np.testing.assert_array_equal(opened.array, array.transpose(order))
        np.testing.assert_array_equal(tifffile.imread(path), array.transpose(order))
        del opened  # a mapped file cannot be removed on every system


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    attributes = {"napari_noiser": {"recipe": {"name": 'µ "<&>"'}}}
    OmeTiff.create(
        tmp_path / "a.tif", (2, 3, 4, 5), "float32", SPACE, name="a & b", attributes=attributes
    )
    assert open_image(tmp_path / "a.tif").space == SPACE
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.series[0].kind, tif.series[0].axes) == ("ome", "TZYX")
        assert tif.series[0].shape == (2, 3, 4, 5)
        image = ElementTree.fromstring(str(tif.ome_metadata).encode()).find("{*}Image")
    assert image is not None
    assert image.get("Name") == "a & b"
    assert json.loads(str(image.findtext("{*}Description"))) == attributes


def test_other_programs_open_it(tmp_path: Path) -> None:
    io = pytest.importorskip("skimage.io")
    array = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3)).astype(np.uint8)
    tif = OmeTiff.create(
        tmp_path / "a.tif", array.shape, "uint8", SpatialMetadata.pixels("ZYXS"), name="a"
    )
    tif[(slice(None),) * 4] = array
    np.testing.assert_array_equal(io.imread(tmp_path / "a.tif"), array)
    assert open_image(tmp_path / "a.tif").space.axes == "ZYXS"


@pytest.mark.parametrize(
    ("axes", "shape"), [("TZYX", (1, 3, 4, 5)), ("YXS", (4, 5, 1)), ("TCYX", (3, 1, 1, 1))]
)
def test_axes_of_length_1_are_filled_but_not_named(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).random(shape)
    OmeTiff.create(tmp_path / "a.tif", shape, "float64", SpatialMetadata.pixels(axes), name="a")
    tif = OmeTiff.open(tmp_path / "a.tif", axes)
    tif[(slice(None),) * len(axes)] = array
    np.testing.assert_array_equal(tif.levels[0], array)
    assert open_image(tmp_path / "a.tif").array.size == array.size


def test_what_was_finished_is_there_after_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "import numpy as np\n"
        "from napari_noiser.files.spatial_metadata import SpatialMetadata\n"
        "from napari_noiser.files.writers.ome_tiff import OmeTiff\n"
        "space = SpatialMetadata.pixels('YXZ')\n"
        "tif = OmeTiff.create(sys.argv[1], (3, 4, 5), 'uint16', space, name='a')\n"
        "region = (slice(0, 2), slice(None), slice(None))\n"
        "tif[region] = np.full((2, 4, 5), 7, 'uint16')\n"
        "tif.finish(region)\n"
        "os._exit(9)\n"
    )
    path = tmp_path / "a.tif"
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == 9
    tif = OmeTiff.open(path, "YXZ")
    assert (tif.shape, tif.dtype, tif.chunks) == ((3, 4, 5), np.uint16, (1, 1, 1))
    assert tif.levels[0][:, 0, 0].tolist() == [7, 7, 0]
    tif[slice(2, 3), slice(None), slice(None)] = np.full((1, 4, 5), 8, np.uint16)
    assert open_image(path).space.axes == "ZYX"
    np.testing.assert_array_equal(open_image(path).array[0, :, 0], [7, 7, 8])


def test_a_file_may_be_moved_and_removed_at_any_time(tmp_path: Path) -> None:
    region = (slice(0, 4), slice(0, 5))
    tif = OmeTiff.create(
        tmp_path / "a.partial", (4, 5), "uint8", SpatialMetadata.pixels("YX"), name="a"
    )
    tif[region] = np.ones((4, 5), np.uint8)
    tif.path.replace(tmp_path / "a.ome.tif")
    assert open_image(tmp_path / "a.ome.tif").array.all()


def test_a_file_of_more_than_4_gb_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**40}))
    shape = (5, 1000, 1_000_000)  # holes take no room on the disk
    tif = OmeTiff.create(
        tmp_path / "a.tif", shape, "uint8", SpatialMetadata.pixels("ZYX"), name="a"
    )
    tif[slice(4, 5), slice(999, 1000), slice(0, 2)] = np.full((1, 1, 2), 3, np.uint8)
    with tifffile.TiffFile(tif.path) as file:
        assert file.is_bigtiff
    assert open_image(tif.path).array[4, 999, :3].tolist() == [3, 3, 0]
    tif.path.unlink()


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 19}))
    with pytest.raises(OSError, match="takes 20 bytes, but the disk has 19 left"):
        OmeTiff.create(tmp_path / "a.tif", (4, 5), "uint8", SpatialMetadata.pixels("YX"), name="a")
    assert not (tmp_path / "a.tif").exists()


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    path, space = tmp_path / "a.tif", SpatialMetadata.pixels("YX")
    with pytest.raises(ValueError, match="dtype must be one of"):
        OmeTiff.create(path, (4, 5), "int64", space, name="a")
    with pytest.raises(ValueError, match="axes S holds 1 sample, RGB or RGBA"):
        OmeTiff.create(path, (4, 5, 2), "uint8", SpatialMetadata.pixels("YXS"), name="a")
    with pytest.raises(TypeError, match="JSON-able"):
        OmeTiff.create(path, (4, 5), "uint8", space, name="a", attributes={"a": space})
    assert not path.exists()
    tif = OmeTiff.create(path, (4, 5), "uint8", space, name="a")
    with pytest.raises(FileExistsError, match=r"a\.tif"):
        OmeTiff.create(path, (4, 5), "uint8", space, name="a")
    with pytest.raises(ValueError, match=r"the region's shape \(4, 5\), got \(4, 4\)"):
        tif[slice(0, 4), slice(0, 5)] = np.zeros((4, 4), np.uint8)


def test_only_what_was_created_so_is_opened(tmp_path: Path) -> None:
    OmeTiff.create(tmp_path / "a.tif", (3, 4, 5), "uint8", SpatialMetadata.pixels("ZYX"), name="a")
    with pytest.raises(ValueError, match="cannot be filled as axes 'TYX'"):
        OmeTiff.open(tmp_path / "a.tif", "TYX")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 5), np.uint8), compression="zlib")
    with pytest.raises(ValueError, match="compressed, which cannot be filled"):
        OmeTiff.open(tmp_path / "b.tif", "YX")
    (tmp_path / "c.tif").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=r"c\.tif is no complete OME-TIFF file"):
        OmeTiff.open(tmp_path / "c.tif", "YX")
    with pytest.raises(FileNotFoundError):
        OmeTiff.open(tmp_path / "d.tif", "YX")
