"""TIFF files open with the axes, steps and units that they state; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_noiser.files.open_image import open_image
from napari_noiser.files.spatial_metadata import SpatialMetadata

STACK = np.random.default_rng(0).integers(0, 999, (2, 5, 3, 20, 21)).astype(np.uint16)
OME = {
    **{"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250.0},
    **{"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2, "TimeIncrement": 30.0},
    "TimeIncrementUnit": "ms",
}


def written(path: Path, array: Any, **options: Any) -> Path:
    """Write a TIFF file as microscopes and programs do."""
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_an_ome_tiff_opens_with_all_that_it_states(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    metadata = {"axes": "TZCYX", **OME}
    path = written(tmp_path / "a.ome.tif", STACK, metadata=metadata, **options)
    opened = open_image(path)
    assert opened.path == path
    assert opened.space == SpatialMetadata(
        "TZCYX",
        (30.0, 2.0, 1.0, 250.0, 0.5),
        (0.0,) * 5,
        ("millisecond", "micrometer", "", "nanometer", "micrometer"),
    )
    assert (opened.array.shape, opened.array.dtype) == (STACK.shape, STACK.dtype)
    np.testing.assert_array_equal(opened.array[1, 2:4, :, 3:9], STACK[1, 2:4, :, 3:9])


def test_uncompressed_pixels_are_mapped_and_others_decoded_when_read(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.tif", STACK[0, 0, 0])
    packed = written(tmp_path / "b.tif", STACK[0, 0, 0], compression="zlib")
    assert isinstance(open_image(plain).array, np.memmap)
    assert not isinstance(open_image(packed).array, np.ndarray)
    assert not open_image(plain).array.flags.writeable


def test_an_imagej_hyperstack_opens_with_its_spacing_and_unit(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "TZCYX", "spacing": 1.5, "unit": "micron", "finterval": 2.5},
    )
    opened = open_image(path)
    um = "micrometer"
    assert opened.space.axes == "TZCYX"
    assert opened.space.scale == (2.5, 1.5, 1.0, 0.5, 0.25)
    assert opened.space.units == ("second", um, "", um, um)
    np.testing.assert_array_equal(opened.array[:], STACK)


def test_a_resolution_without_a_unit_says_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", STACK[0, 0, 0], imagej=True, resolution=(72, 72))
    assert open_image(path).space == SpatialMetadata.pixels("YX")
    path = written(tmp_path / "b.tif", STACK[0, 0, 0], resolution=(72, 72))
    assert open_image(path).space == SpatialMetadata.pixels("YX")


def test_steps_that_cannot_be_meant_are_1(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "PhysicalSizeX": 0, "PhysicalSizeY": "nan", "TimeIncrement": -1}
    path = written(tmp_path / "a.ome.tif", STACK[0, 0], metadata=metadata)
    assert open_image(path).space == SpatialMetadata.pixels("TYX")


@pytest.mark.parametrize(("count", "axes"), [(2, "YX"), (3, "ZYX"), (4, "TZYX"), (5, "TCZYX")])
def test_axes_that_are_not_named_are_the_default_ones(
    tmp_path: Path, count: int, axes: str
) -> None:
    array = STACK[(0,) * (5 - count)]
    path = written(tmp_path / "a.tif", array, photometric="minisblack")
    assert open_image(path).space == SpatialMetadata.pixels(axes)
    np.testing.assert_array_equal(open_image(path).array, array)


def test_pages_of_no_known_kind_are_a_stack(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", STACK[0, :, 0], metadata=None, photometric="minisblack")
    assert open_image(path).space.axes == "ZYX"


def test_only_what_is_said_to_be_color_is(tmp_path: Path) -> None:
    image = STACK[0, 0].transpose(1, 2, 0).astype(np.uint8)
    color = written(tmp_path / "a.tif", image, photometric="rgb")
    n_channels = written(
        tmp_path / "b.tif", image, photometric="minisblack", planarconfig="contig"
    )
    rows = written(tmp_path / "c.tif", image, photometric="minisblack")
    planar = written(
        tmp_path / "d.tif", image.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
    )
    found = [open_image(path).space.axes for path in (color, n_channels, rows, planar)]
    assert found == ["YXS", "YXC", "ZYX", "SYX"]


def test_an_imagej_composite_of_three_dyes_is_no_color_image(tmp_path: Path) -> None:
    image = STACK[0, 0].transpose(1, 2, 0)
    said = "ImageJ=1.53c\nimages=3\nchannels=3\nmode=composite\n"
    options: Any = {"metadata": None, "description": said, "photometric": "rgb"}
    assert open_image(written(tmp_path / "a.tif", image, **options)).space.axes == "YXC"


def test_given_axes_win_and_keep_the_steps_where_they_agree(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    path = written(tmp_path / "a.ome.tif", STACK[0, :, 0], metadata=metadata)
    space = open_image(path, "TYX").space
    assert (space.axes, space.scale) == ("TYX", (1.0, 0.25, 0.5))
    assert space.units == ("", "micrometer", "micrometer")
    with pytest.raises(ValueError, match=r"a\.ome\.tif .*axes 'YX' names 2 axes, but .* has 3"):
        open_image(path, "YX")
    with pytest.raises(TypeError, match="axes must be a string such as 'TZYX', got 3"):
        open_image(path, 3)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"a\.ome\.tif .*each of T, C, Z, Y, X, S once, got 'QYX'"
    ):
        open_image(path, "QYX")


@pytest.mark.parametrize(("planarconfig", "axes"), [("contig", "ZYXS"), ("separate", "ZSYX")])
def test_a_stack_of_color_images_reads_as_a_gray_one(
    tmp_path: Path, planarconfig: str, axes: str
) -> None:
    image = np.random.default_rng(0).integers(0, 99, (5, 20, 21, 3), np.uint8)
    array = image if planarconfig == "contig" else np.moveaxis(image, -1, 1)
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": planarconfig}
    for name, metadata in (("a.tif", {}), ("b.tif", None)):
        path = written(tmp_path / name, array, metadata=metadata, **options)
        assert open_image(path).space.axes == axes
        np.testing.assert_array_equal(open_image(path).array[...], array)
    assert open_image(path, axes.replace("Z", "T")).space.axes == axes.replace("Z", "T")


@pytest.mark.parametrize("axes", ["RYX", "PCYX", "AYX"])
def test_axes_of_another_kind_are_asked_for(tmp_path: Path, axes: str) -> None:
    path = written(
        tmp_path / "a.tif",
        STACK[0, : len(axes) - 2, 0] if axes != "PCYX" else STACK[:, :, 0],
        metadata={"axes": axes},
    )
    with pytest.raises(ValueError, match=rf"a\.tif .*axes must be given.*'{axes[0]}'"):
        open_image(path)


def test_level_0_of_a_pyramid_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    big = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    with tifffile.TiffWriter(path) as tif:
        tif.write(big, subifds=1, tile=(16, 16), compression="zlib", metadata={"axes": "YX"})
        tif.write(big[::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(open_image(path).array[:], big)


def test_big_endian_files_read_right(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", STACK[0, :, 0], byteorder=">")
    np.testing.assert_array_equal(open_image(path).array, STACK[0, :, 0])


def test_a_compression_that_cannot_be_decoded_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.tif", STACK[0, 0, 0], compression="zlib")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})
    with pytest.raises(ValueError, match=r"a\.tif .*ADOBE_DEFLATE\) cannot be decoded"):
        open_image(path)


def test_what_only_looks_like_a_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"no TIFF at all")
    with pytest.raises(ValueError, match=r"a\.tif cannot be opened.* not a TIFF file"):
        open_image(path)
    path.write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=r"a\.tif cannot be opened, it is broken"):
        open_image(path)


def acquisition(folder: Path, images: list[list[np.ndarray[Any, Any]]], **options: Any) -> None:
    """Write planes into a file each, 0.tif and so on, that all tell of all images."""
    numbers = iter(range(99))
    said = ""
    for image, planes in enumerate(images):
        height, width = planes[0].shape
        said += (
            f'<Image ID="Image:{image}" Name="{image}"><Pixels ID="Pixels:{image}" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="{width}" SizeY="{height}" '
            f'SizeZ="{len(planes)}" SizeC="1" SizeT="1" PhysicalSizeX="{image + 1}" '
            f'PhysicalSizeY="1"><Channel ID="Channel:{image}:0" SamplesPerPixel="1"/>'
        )
        for z in range(len(planes)):
            at = next(numbers)
            said += (
                f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1">'
                f'<UUID FileName="{at}.tif">urn:uuid:{at:032}</UUID></TiffData>'
            )
        said += "</Pixels></Image>"
    for at, plane in enumerate(plane for planes in images for plane in planes):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns='
            f'"http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{at:032}">'
            f"{said}<!--{'longer ' * at}--></OME>"
        )
        options |= {"description": xml.encode(), "metadata": None}
        tifffile.imwrite(folder / f"{at}.tif", plane, **options)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_each_file_of_several_positions_holds_its_own(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    planes = STACK[0, :3, 0]
    acquisition(tmp_path, [[plane] for plane in planes], **options)
    for at, plane in enumerate(planes):
        opened = open_image(tmp_path / f"{at}.tif")
        np.testing.assert_array_equal(opened.array[:], plane)
        assert opened.space.scale == (1, at + 1)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_an_image_in_several_files_is_opened_by_the_first(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    acquisition(tmp_path, [list(STACK[0, :3, 0]), [STACK[0, 3, 0]]], **options)
    opened = open_image(tmp_path / "0.tif")
    assert opened.space.axes == "ZYX"
    np.testing.assert_array_equal(opened.array[:], STACK[0, :3, 0])
    np.testing.assert_array_equal(open_image(tmp_path / "3.tif").array[:], STACK[0, 3, 0])
    for part in ("1.tif", "2.tif"):
        with pytest.raises(ValueError, match=r"part of an image only: open 0\.tif"):
            open_image(tmp_path / part)
    (tmp_path / "2.tif").unlink()
    with pytest.warns(UserWarning, match=r"0\.tif names planes that are not there \(1\)"):
        opened = open_image(tmp_path / "0.tif")
    np.testing.assert_array_equal(opened.array[:2], STACK[0, :2, 0])
    assert not np.any(opened.array[2])


def test_a_part_names_the_file_of_its_own_image(tmp_path: Path) -> None:
    acquisition(tmp_path, [list(STACK[0, :2, 0]), list(STACK[1, :2, 0])])
    with pytest.raises(ValueError, match=r"part of an image only: open 2\.tif"):
        open_image(tmp_path / "3.tif")


@pytest.mark.parametrize(
    "options",
    [{"metadata": None}, {}, {"imagej": True}, {"ome": True}, {"compression": "zlib"}],
)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = written(tmp_path / "a.tif", STACK[0, :, 0], photometric="minisblack", **options)
    whole = path.read_bytes()
    for share in (0.3, 0.7):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="cannot be opened"):
            open_image(path)


def test_further_images_of_a_file_are_not_dropped_silently(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(STACK[0, 0, 0])
        tif.write(STACK[0, 0, 0, :9])
    with pytest.warns(UserWarning, match=r"a\.tif holds 2 images, of which the first is taken"):
        assert open_image(path).array.shape == STACK.shape[-2:]


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_axes_of_length_1_may_be_named(tmp_path: Path, kind: str) -> None:
    metadata = {"axes": "TZCYX"}
    path = written(tmp_path / "a.tif", STACK[:1, :, :1], metadata=metadata, **{kind: True})
    assert open_image(path).space.axes == "ZYX"
    assert open_image(path, "TZCYX").space.axes == "ZYX"
    assert open_image(path, "CZYX").space.axes == "ZYX"
    assert open_image(path, "TYX").space.axes == "TYX"
