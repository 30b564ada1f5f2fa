"""Zarr stores and .npy files open as they are; what is no image is named for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_noiser.files.open_image import list_images, open_image
from napari_noiser.files.spatial_metadata import SpatialMetadata

STACK = np.random.default_rng(0).integers(0, 999, (2, 3, 8, 9)).astype(np.uint16)
AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space"},
]


def multiscale(**change: Any) -> dict[str, Any]:
    """Return the metadata of an image of TZYX with one level."""
    transformations = [
        {"type": "scale", "scale": [1.0, 2.0, 0.5, 0.25]},
        {"type": "translation", "translation": [0.0, 1.0, 2.0, 3.0]},
    ]
    datasets = [{"path": "full", "coordinateTransformations": transformations}]
    return {"axes": AXES, "datasets": datasets, **change}


def stored(group: zarr.Group, metadata: dict[str, Any], name: str = "full") -> None:
    """Make a group an image with the metadata, 0.4 or 0.5."""
    level = group.create_array(name, shape=STACK.shape, dtype=STACK.dtype, chunks=(1, 1, 4, 4))
    level[:] = STACK
    if group.metadata.zarr_format == 2:
        group.attrs.update(metadata)
    else:
        group.attrs["ome"] = {"version": "0.5", **metadata}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_ome_zarr_image_lies_where_both_its_transformations_put_it(
    tmp_path: Path, zarr_format: Any
) -> None:
    both = [
        {"type": "scale", "scale": [10.0, 1.0, 2.0, 2.0]},
        {"type": "translation", "translation": [5.0, 0.0, 0.0, -1.0]},
    ]
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    stored(group, {"multiscales": [multiscale(coordinateTransformations=both)]})
    opened = open_image(tmp_path / "a.zarr")
    assert opened.space == SpatialMetadata(
        "TZYX",
        (10.0, 2.0, 1.0, 0.5),
        (5.0, 1.0, 4.0, 5.0),
        ("second", "micrometer", "nanometer", ""),
    )
    np.testing.assert_array_equal(opened.array[1, :, 2:5], STACK[1, :, 2:5])


def test_what_is_only_for_display_need_not_be_valid(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    stored(group, {"multiscales": [multiscale()], "omero": {"channels": [{"label": "a"}]}})
    assert open_image(tmp_path / "a.zarr").space.axes == "TZYX"


@pytest.mark.parametrize("version", ["0.1", "0.2", None])
def test_the_oldest_images_have_five_axes(tmp_path: Path, version: str | None) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    group.create_array("0", data=STACK[None])
    known = {"version": version} if version else {}
    group.attrs["multiscales"] = [{**known, "datasets": [{"path": "0"}]}]
    opened = open_image(tmp_path / "a.zarr")
    assert opened.space == SpatialMetadata.pixels("TCZYX")
    np.testing.assert_array_equal(opened.array[...], STACK[None])


@pytest.mark.parametrize("axes", ["tzyx", "czyx", "tcyx"])
def test_axes_of_0_3_are_names(tmp_path: Path, axes: str) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    metadata = {"version": "0.3", "axes": list(axes), "datasets": [{"path": "full"}]}
    stored(group, {"multiscales": [metadata]})
    assert open_image(tmp_path / "a.zarr").space == SpatialMetadata.pixels(axes.upper())


def test_images_of_0_4_may_lack_transformations(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    stored(group, {"multiscales": [multiscale(version="0.4", datasets=[{"path": "full"}])]})
    space = open_image(tmp_path / "a.zarr").space
    assert (space.axes, space.scale, space.units[0]) == ("TZYX", (1.0,) * 4, "second")


@pytest.mark.parametrize(
    "metadata",
    [
        {"version": "0.1", "datasets": []},
        {"version": "0.2", "datasets": [{"path": 5}]},
        {"version": "0.3", "axes": list("xyzt"), "datasets": [{"path": "full"}]},
        {"version": "0.3", "axes": 7, "datasets": [{"path": "full"}]},
        {
            "version": "0.4",
            "axes": AXES,
            "datasets": [{"path": "full", "coordinateTransformations": 1}],
        },
        {"version": "0.1"},
    ],
)
def test_what_is_not_valid_is_refused_in_a_sentence(
    tmp_path: Path, metadata: dict[str, Any]
) -> None:
    stored(zarr.create_group(tmp_path / "a.zarr", zarr_format=2), {"multiscales": [metadata]})
    with pytest.raises(ValueError, match=r"cannot be opened") as caught:
        open_image(tmp_path / "a.zarr")
    message = str(caught.value)
    assert f"OME-Zarr {metadata['version']}" in message
    assert "\n" not in message
    assert "pydantic" not in message


@pytest.mark.parametrize("names", [["c", "z", "y", "x"], ["channel", "pln", "row", "col"]])
def test_xarray_names_the_axes_of_zarr_2(tmp_path: Path, names: list[str]) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", data=STACK, zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = names
    assert open_image(tmp_path / "a.zarr").space.axes == "CZYX"
    array.attrs["_ARRAY_DIMENSIONS"] = ["p", *names[1:]]
    with pytest.raises(ValueError, match=r"a\.zarr .*axes .*'p'.*positions"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr", "TZYX").space.axes == "TZYX"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_image_0_of_a_bioformats2raw_layout_is_opened(tmp_path: Path, zarr_format: Any) -> None:
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format)
    layout = {"bioformats2raw.layout": 3}
    root.attrs.update(layout if zarr_format == 2 else {"ome": {"version": "0.5", **layout}})
    stored(root.create_group("0"), {"multiscales": [multiscale()]})
    np.testing.assert_array_equal(open_image(tmp_path / "a.zarr").array[:], STACK)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"plate": {}}, r"it holds a plate of wells \(HCS\), not one image; .*members: A, B"),
        ({"well": {}}, "it holds a well of a plate"),
        ({"labels": ["cells"]}, "it holds a collection of labels"),
        ({"image-label": {}, "multiscales": [multiscale()]}, "it holds labels"),
        ({}, "it holds a zarr group without OME-Zarr metadata"),
        ({"multiscales": []}, "its metadata are not valid OME-Zarr 0.5"),
        ({"multiscales": [{"axes": AXES}]}, "its metadata are not valid OME-Zarr 0.5"),
        ({"multiscales": [multiscale()], "version": "0.6"}, "it is OME-Zarr 0.6; 0.1 to 0.5 can"),
        ({"multiscales": [multiscale()]}, "name a level 'full' with 4 axes, but the store holds"),
    ],
)
def test_a_store_that_is_no_image_is_named_for_what_it_is(
    tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    group.attrs["ome"] = {"version": "0.5", **metadata}
    for name in "BA":
        group.create_group(name)
    with pytest.raises(ValueError, match=rf"a\.zarr cannot be opened: .*{message}"):
        open_image(tmp_path / "a.zarr")


def test_an_axis_of_another_kind_must_be_told(tmp_path: Path) -> None:
    axes = [{"name": "angle"}, *AXES[1:]]
    stored(zarr.create_group(tmp_path / "a.zarr"), {"multiscales": [multiscale(axes=axes)]})
    with pytest.raises(ValueError, match=r"axes must be given.* are angle, Z, Y, X.*angle"):
        open_image(tmp_path / "a.zarr")
    space = open_image(tmp_path / "a.zarr", "TZYX").space
    assert (space.scale, space.units[0]) == ((1.0, 2.0, 0.5, 0.25), "")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_has_the_default_axes(tmp_path: Path, zarr_format: Any) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=STACK, zarr_format=zarr_format)
    opened = open_image(path)
    assert opened.space == SpatialMetadata.pixels("TZYX")
    np.testing.assert_array_equal(opened.array[0, 1], STACK[0, 1])
    assert open_image(str(path), "ZCYX").space == SpatialMetadata.pixels("ZCYX")


@pytest.mark.parametrize(
    ("names", "axes"),
    [("zcyx", "ZCYX"), (["time", "z", "y", "x"], "TZYX"), ([None, "z", "y", "x"], "TZYX")],
)
def test_dimension_names_are_axes_if_all_are_known(tmp_path: Path, names: Any, axes: str) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=STACK, dimension_names=list(names))
    assert open_image(tmp_path / "a.zarr").space.axes == axes


def test_a_npy_file_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)
    opened = open_image(tmp_path / "a.npy")
    assert isinstance(opened.array, np.memmap)
    assert opened.space == SpatialMetadata.pixels("TZYX")
    np.testing.assert_array_equal(opened.array, STACK)


def test_one_axis_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK[0, 0, 0])
    with pytest.raises(ValueError, match=r"a\.npy cannot be opened: axes .*names none"):
        open_image(tmp_path / "a.npy")


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no image at .*a\.tif"):
        open_image(tmp_path / "a.tif")
    (tmp_path / "a.czi").touch()
    with pytest.raises(ValueError, match=r"a\.czi is no image .*: accepted are TIFF"):
        open_image(tmp_path / "a.czi")
    (tmp_path / "a.npy").write_bytes(b"no numpy at all")
    with pytest.raises(ValueError, match=r"a\.npy cannot be opened"):
        open_image(tmp_path / "a.npy")
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="it is a folder without zarr metadata"):
        open_image(tmp_path / "a")


def test_a_folder_lists_what_can_be_opened(tmp_path: Path) -> None:
    for name in ("b.tif", "A.TIFF", "c.ome.tif", "d.npy", ".e.tif", "f.png", "g.tif.partial"):
        (tmp_path / name).touch()
    for name in ("h.zarr", "i.ome.zarr", "j.zarr.partial", ".k.zarr", "l.tif", "m"):
        (tmp_path / name).mkdir()
    (tmp_path / "m" / "n.tif").touch()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["A.TIFF", "b.tif", "c.ome.tif", "d.npy", "h.zarr", "i.ome.zarr"]
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "nowhere")
