"""What a TIFF file says of its samples is heard, or it is refused in a sentence."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_noiser.files.enhance_to_file import enhance_to_file
from napari_noiser.files.open_image import open_image

RNG = np.random.default_rng(0)
SCENE = np.kron(RNG.integers(20, 200, (4, 4)), np.ones((9, 8), int)).astype(np.uint8)
STACK = np.stack([SCENE, SCENE[::-1], SCENE[:, ::-1]])


def read(path: Path) -> tuple[str, NDArray[Any]]:
    opened = open_image(path)
    array = np.asarray(opened.array[...])
    assert (array.shape, array.dtype) == (opened.array.shape, opened.array.dtype)
    return opened.space.axes, array


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_may_be_zero(tmp_path: Path, dtype: Any, options: dict[str, Any]) -> None:
    white = np.iinfo(dtype).max
    for name, array, axes in (("a.tif", SCENE, "YX"), ("b.tif", STACK, "ZYX")):
        negative = (white - array.astype(int)).astype(dtype)
        tifffile.imwrite(tmp_path / name, negative, photometric="miniswhite", **options)
        found = read(tmp_path / name)
        assert found[0] == axes
        np.testing.assert_array_equal(found[1], array)


def palette(order: NDArray[Any], tints: tuple[float, ...] = (1, 1, 1)) -> NDArray[Any]:
    """Return a palette in which an index stands for a gray, tinted."""
    colors = np.zeros((3, 256), np.uint16)
    for row, tint in zip(colors, tints, strict=True):
        row[order] = (np.arange(256) * tint).astype(int) * 257
    return colors


@pytest.mark.parametrize("array", [SCENE, STACK])
def test_indices_of_a_palette_become_its_colors(tmp_path: Path, array: NDArray[Any]) -> None:
    order = RNG.permutation(256)
    options: dict[str, Any] = {"photometric": "palette", "compression": "zlib"}
    indices = order[array].astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", indices, colormap=palette(order), **options)
    tifffile.imwrite(tmp_path / "b.tif", indices, colormap=palette(order, (1, 0.5, 0)), **options)
    axes = "ZYX"[-array.ndim :]
    found = read(tmp_path / "a.tif")
    assert found[0] == axes
    np.testing.assert_array_equal(found[1], array)
    found = read(tmp_path / "b.tif")
    assert found[0] == axes + "S"
    np.testing.assert_array_equal(found[1], np.stack([array, array // 2, 0 * array], -1))


@pytest.mark.parametrize("tints", [(1, 1, 1), (0, 1, 0), (1, 0.3, 0.1)])
def test_a_palette_that_only_tints_the_light_leaves_it(tmp_path: Path, tints: Any) -> None:
    colors = palette(np.arange(256), tints)
    tifffile.imwrite(tmp_path / "a.tif", SCENE, photometric="palette", colormap=colors)
    axes, found = read(tmp_path / "a.tif")
    assert axes == "YX"
    np.testing.assert_array_equal(found, SCENE)


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_alpha_beside_gray_is_no_channel(
    tmp_path: Path, alpha: str, options: dict[str, Any]
) -> None:
    with_alpha = np.stack([STACK, np.full_like(STACK, 255)], -1)
    given: dict[str, Any] = {"planarconfig": "contig", "extrasamples": [alpha], **options}
    for name, at, axes in (("a.tif", 0, "YX"), ("b.tif", slice(None), "ZYX")):
        tifffile.imwrite(tmp_path / name, with_alpha[at], photometric="minisblack", **given)
        found = read(tmp_path / name)
        assert found[0] == axes
        np.testing.assert_array_equal(found[1], STACK[at])
    tifffile.imwrite(tmp_path / "c.tif", 255 - with_alpha[0], photometric="miniswhite", **given)
    np.testing.assert_array_equal(read(tmp_path / "c.tif")[1], SCENE)
    dyes = np.stack([SCENE, SCENE // 2, SCENE // 3], -1)
    given["extrasamples"] = ["unspecified", alpha]
    tifffile.imwrite(tmp_path / "d.tif", dyes, photometric="minisblack", **given)
    found = read(tmp_path / "d.tif")
    assert found[0] == "YXC"
    np.testing.assert_array_equal(found[1], dyes[..., :2])


@pytest.mark.parametrize(
    ("photometric", "samples", "words"),
    [
        ("separated", 4, "CMYK"),
        ("cielab", 3, "lightness"),
        ("icclab", 3, "lightness"),
        ("ycbcr", 3, "YCbCr"),
        ("cfa", 1, "color filter array"),
    ],
)
def test_what_is_no_light_is_refused(
    tmp_path: Path, photometric: str, samples: int, words: str
) -> None:
    array = np.stack([SCENE] * samples, -1) if samples > 1 else SCENE
    tifffile.imwrite(tmp_path / "a.tif", SCENE, photometric="minisblack")
    codes = {"separated": 5, "cielab": 8, "icclab": 9, "ycbcr": 6, "cfa": 32803}
    if samples == 1:
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
        before = 1
    else:
        options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", **options)
        before = 2
    change(tmp_path / "a.tif", 262, before, codes[photometric])
    with pytest.raises(ValueError, match=rf"a\.tif cannot be opened: .*{words}.*convert it"):
        open_image(tmp_path / "a.tif")


def change(path: Path, tag: int, before: int, after: int) -> None:
    """Write another value of a tag of one short into a little-endian file."""
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HHIH", tag, 3, 1, before)) + 8
    content[at : at + 2] = struct.pack("<H", after)
    path.write_bytes(content)


def write_packed(path: Path, bits: int) -> None:
    """Write a plane of 16 x 16 zeros of so many bits each."""
    data = bytes(16 * 16 * bits // 8)
    tags = [(256, 16), (257, 16), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16)]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    entries += struct.pack("<HHII", 279, 3, 1, len(data))
    ifd = struct.pack("<H", len(tags) + 1) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd)


@pytest.mark.parametrize("kind", ["12 bits", "ZSTD", "JPEG2000", "predictor", "damaged"])
def test_whether_pixels_can_be_decoded_is_tried_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SCENE, compression="zlib" if kind == "damaged" else None)
    if kind == "12 bits":
        write_packed(path, 12)
    elif kind in ("ZSTD", "JPEG2000"):
        change(path, 259, 1, {"ZSTD": 50000, "JPEG2000": 34712}[kind])
    elif kind == "damaged":
        with tifffile.TiffFile(path) as tif:
            offset = tif.pages[0].dataoffsets[0]
        content = bytearray(path.read_bytes())
        content[offset : offset + 9] = bytes(9)
        path.write_bytes(content)
    else:
        tifffile.imwrite(path, SCENE, predictor=True, compression="zlib")
        change(path, 317, 2, 34892)  # one that nobody knows
    with pytest.raises(ValueError, match=r"a\.tif cannot be opened"):
        open_image(path)


@pytest.mark.parametrize("name", ["set.companion.ome", "z0.ome.tif"])
def test_a_part_whose_metadata_are_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<BinaryOnly MetadataFile="{name}" UUID="urn:uuid:{0:032}"/></OME>'
    )
    tifffile.imwrite(tmp_path / "z1.ome.tif", SCENE, description=xml, metadata=None)
    with pytest.raises(ValueError, match=f"a part of an image only, .*{name}"):
        open_image(tmp_path / "z1.ome.tif")


def companion_set(folder: Path, axes: str, files: int, named: int | None = None) -> np.ndarray:
    """Write a set of OME-TIFF files, a plane each, and the companion that names them."""
    uuids = [f"urn:uuid:{number:032x}" for number in range(files)]
    space = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    stack = np.stack([SCENE + number for number in range(files)]).astype("uint16")
    sizes = dict.fromkeys("TCZ", 1) | {axes[0]: files}
    planes = "".join(
        f'<TiffData First{axes[0]}="{at}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{axes[0].lower()}{at}.ome.tif">{uuid}</UUID></TiffData>'
        for at, uuid in enumerate(uuids[:named])
    )
    (folder / "set.companion.ome").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?><OME {space} UUID="urn:uuid:{255:032x}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="{stack.shape[2]}" SizeY="{stack.shape[1]}" SizeZ="{sizes["Z"]}" '
        f'SizeC="{sizes["C"]}" SizeT="{sizes["T"]}" PhysicalSizeX="0.25" PhysicalSizeY="0.25">'
        f"{planes}</Pixels></Image></OME>"
    )
    for at, uuid in enumerate(uuids):
        xml = (
            f'<OME {space} UUID="{uuid}"><BinaryOnly MetadataFile="set.companion.ome" '
            f'UUID="urn:uuid:{255:032x}"/></OME>'
        )
        path = folder / f"{axes[0].lower()}{at}.ome.tif"
        tifffile.imwrite(path, stack[at], description=xml, metadata=None)
    return stack


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "CYX"])
@pytest.mark.parametrize("files", [2, 5])
def test_a_set_is_read_by_the_companion_beside_it(tmp_path: Path, axes: str, files: int) -> None:
    stack = companion_set(tmp_path, axes, files)
    image = open_image(tmp_path / f"{axes[0].lower()}0.ome.tif")
    assert image.space.axes == axes
    assert image.space.scale[-2:] == (0.25, 0.25)
    np.testing.assert_array_equal(np.asarray(image.array[:]), stack)
    with pytest.raises(ValueError, match=f"open {axes[0].lower()}0.ome.tif, the first"):
        open_image(tmp_path / f"{axes[0].lower()}1.ome.tif")


@pytest.mark.parametrize("how", ["missing", "elsewhere", "broken", "of others"])
def test_a_set_whose_companion_does_not_tell_is_refused(tmp_path: Path, how: str) -> None:
    companion_set(tmp_path, "ZYX", 3, named=2 if how == "of others" else None)
    companion = tmp_path / "set.companion.ome"
    if how == "missing":
        companion.unlink()
    elif how == "elsewhere":
        (tmp_path / "other").mkdir()
        companion.rename(tmp_path / "other" / companion.name)
    elif how == "broken":
        companion.write_text(companion.read_text()[:200])
    with pytest.raises(ValueError, match=r"a part of an image only, .*set\.companion\.ome"):
        open_image(tmp_path / "z2.ome.tif")


@pytest.mark.parametrize("subfiletype", [1, 4])
def test_a_thumbnail_or_a_mask_is_not_the_image(
    tmp_path: Path, subfiletype: int, recwarn: pytest.WarningsRecorder
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        beside = SCENE[::4, ::4] if subfiletype == 1 else SCENE > 50
        photometric = "minisblack" if subfiletype == 1 else "mask"
        tif.write(beside, subfiletype=subfiletype, photometric=photometric)
        tif.write(SCENE, photometric="minisblack")
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[1], SCENE)
    assert not recwarn


@pytest.mark.parametrize("spacing", [-1.5, 1.5])
def test_imagej_may_count_z_downwards(tmp_path: Path, spacing: float) -> None:
    metadata = {"axes": "ZYX", "spacing": spacing, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=metadata)
    assert open_image(tmp_path / "a.tif").space.scale[0] == 1.5


def test_what_is_converted_is_enhanced_like_what_it_shows(tmp_path: Path) -> None:
    noisy = RNG.poisson(STACK / 20).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", 255 - noisy, photometric="miniswhite")
    opened = open_image(tmp_path / "a.tif")
    for name, image in (("a", opened.array), ("b", noisy)):
        enhance_to_file(image, tmp_path / f"{name}.out.tif", "noiser", space=opened.space)
    found = [tifffile.imread(tmp_path / f"{name}.out.tif") for name in "ab"]
    np.testing.assert_allclose(*found, atol=1e-6)
