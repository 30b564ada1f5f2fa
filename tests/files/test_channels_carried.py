"""What channels are called, and their colors, go from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_noiser.files.enhance_to_file import enhance_to_file
from napari_noiser.files.open_image import open_image
from napari_noiser.files.spatial_metadata import Channel

IMAGE = np.random.default_rng(0).poisson(9, (2, 30, 40)).astype(np.uint16)
DYES = (Channel("DAPI", "0000FF"), Channel("tubulin \u03b2", "00FF7F"))


def enhanced(source: Path, target: Path) -> Path:
    opened = open_image(source)
    return enhance_to_file(opened.array, target, "noiser", space=opened.space, device="cpu")


@pytest.fixture
def ome_tiff(tmp_path: Path) -> Path:
    said = {"Name": [each.name for each in DYES], "Color": [0x0000FFFF, 0x00FF7FFF]}
    tifffile.imwrite(
        tmp_path / "a.tif", IMAGE, ome=True, metadata={"axes": "CYX", "Channel": said}
    )
    return tmp_path / "a.tif"


@pytest.mark.parametrize("through", [["b.zarr"], ["b.tif"], ["b.zarr", "c.tif", "d.zarr"]])
def test_through_files_of_either_kind(ome_tiff: Path, through: list[str]) -> None:
    path = ome_tiff
    for name in through:
        path = enhanced(path, ome_tiff.parent / name)
    assert open_image(path).space.channels == DYES


def test_colors_of_one_kind_stay_as_they_are(ome_tiff: Path) -> None:
    path = enhanced(ome_tiff, ome_tiff.parent / "b.zarr")
    attributes: Any = zarr.open_group(path, mode="r").attrs["ome"]
    found = attributes["omero"]["channels"]
    assert [(each["label"], each["color"]) for each in found] == [tuple(each) for each in DYES]


@pytest.mark.parametrize("omero", [None, {}, {"channels": 3}, {"channels": [{}, {"color": [1]}]}])
def test_a_look_that_says_nothing_is_no_error(ome_tiff: Path, omero: Any) -> None:
    path = enhanced(ome_tiff, ome_tiff.parent / "b.zarr")
    group = zarr.open_group(path, mode="r+")
    attributes: Any = group.attrs["ome"]
    group.attrs["ome"] = {**attributes, "omero": omero}
    assert open_image(path).space.channels == ()


def test_of_other_axes_nothing_is_said(ome_tiff: Path) -> None:
    assert open_image(ome_tiff, "ZYX").space.channels == ()
