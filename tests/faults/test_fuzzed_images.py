"""Images that are broken, pipes, loops and claims: told by name, and at once."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.reader import make_reader
from napari_noiser.files.open_image import ImageFile, list_images, open_image

IMAGE = np.random.default_rng(0).poisson(9, (4, 40, 50)).astype("u2")


def plain(path: Path) -> Path:
    with tifffile.TiffWriter(path / "a.tif") as file:
        for plane in IMAGE:
            file.write(plane, contiguous=False, metadata=None)
    return path / "a.tif"


def compressed(path: Path) -> Path:
    with tifffile.TiffWriter(path / "a.tif") as file:
        for plane in IMAGE:
            file.write(plane, contiguous=False, metadata=None, compression="zlib")
    return path / "a.tif"


def ome(path: Path) -> Path:
    tifffile.imwrite(path / "a.ome.tif", IMAGE, metadata={"axes": "ZYX"}, compression="zlib")
    return path / "a.ome.tif"


def imagej(path: Path) -> Path:
    tifffile.imwrite(path / "a.tif", IMAGE, imagej=True, metadata={"axes": "ZYX"})
    return path / "a.tif"


def npy(path: Path) -> Path:
    np.save(path / "a.npy", IMAGE)
    return path / "a.npy"


def store(path: Path) -> Path:
    zarr.create_array(str(path / "a.zarr"), data=IMAGE, chunks=(1, 40, 25))
    return path / "a.zarr"


WRITERS = [plain, compressed, ome, imagej, npy, store]


def mutate(path: Path, draws: random.Random) -> None:
    """Change bytes of a file, or of one of a store; three in four times near its beginning."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    file = draws.choice(files)
    content = bytearray(file.read_bytes())
    at = draws.randrange(len(content) if draws.random() < 0.25 else min(len(content), 600))
    if draws.random() < 0.3:
        del content[at:]
    else:
        for _ in range(draws.randrange(1, 5)):
            content[min(len(content) - 1, at + draws.randrange(8))] = draws.randrange(256)
    file.write_bytes(content)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.filterwarnings("ignore")
def test_what_is_broken_is_told_by_name(
    write: Callable[[Path], Path], tmp_path: Path, thorough: bool
) -> None:
    draws, told = random.Random(write.__name__), []
    for number in range(100 if thorough else 25):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder)
        mutate(path, draws)
        began = time.monotonic()
        try:
            opened = open_image(path)
            if np.prod(opened.array.shape, dtype=float) < 1e7:
                read_all(opened)
        except (ValueError, OSError) as error:
            told.append((str(path), str(error)))
        assert time.monotonic() - began < 10
    assert not [each for name, each in told if name not in each]


def read_all(opened: ImageFile) -> None:
    if opened.array.dtype.kind in "uif":
        image = ImageArray.from_array(opened.array, opened.space.axes)
        make_reader(image.array)(tuple(slice(0, n) for n in image.layout.shape))


def no_next_page(path: Path, page: int) -> None:
    """End a TIFF file's chain of pages behind one of them."""
    with tifffile.TiffFile(path) as file:
        offset, order = file.pages[page].offset, file.byteorder
    content = bytearray(path.read_bytes())
    (tags,) = struct.unpack_from(f"{order}H", content, offset)
    struct.pack_into(f"{order}I", content, offset + 2 + 12 * tags, 0)
    path.write_bytes(content)


@pytest.mark.parametrize("write", [plain, compressed])
@pytest.mark.parametrize("page", [0, 2])
def test_planes_behind_a_broken_chain_are_missed(
    write: Callable[[Path], Path], page: int, tmp_path: Path, recwarn: Any
) -> None:
    path = write(tmp_path)
    assert open_image(path).array.shape == IMAGE.shape
    assert not recwarn.list
    no_next_page(path, page)
    with pytest.warns(UserWarning, match="behind its last plane"):
        open_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.zarr"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="no regular file"):
        open_image(tmp_path / name)


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tif").symlink_to(tmp_path / "b.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")
    with pytest.raises(FileNotFoundError, match="to itself"):
        open_image(tmp_path / "a.tif")
    assert [each.name for each in list_images(tmp_path)] == ["a.tif", "b.tif"]


def with_companion(path: Path, name: str) -> Path:
    """Write an OME-TIFF file whose second plane lies in another file."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="50" SizeY="40" SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" '
        'SamplesPerPixel="1"/><TiffData IFD="0" FirstZ="0" PlaneCount="1"/>'
        f'<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="{name}">urn:uuid:2'
        "</UUID></TiffData></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, IMAGE[0], description=xml, metadata=None)
    return path


@pytest.mark.parametrize("name", ["../b.ome.tif", "/etc/passwd", "x/../../b.ome.tif"])
def test_a_part_outside_the_folder_is_not_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "b.ome.tif", IMAGE[1])
    path = with_companion(tmp_path / "in" / "a.ome.tif", name)
    with pytest.raises(ValueError, match=r"a\.ome\.tif.*outside its folder"):
        open_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_part_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b.ome.tif")
    path = with_companion(tmp_path / "a.ome.tif", "b.ome.tif")
    with pytest.raises(ValueError, match="no regular file"):
        open_image(path)


def test_a_part_beside_an_image_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "b.ome.tif", IMAGE[1], metadata=None)
    path = with_companion(tmp_path / "a.ome.tif", "b.ome.tif")
    np.testing.assert_array_equal(open_image(path).array[:], IMAGE[:2])


@pytest.mark.parametrize("side", [100_000, 2**31 - 1])
@pytest.mark.parametrize("kind", ["zlib", "lzw"])
def test_what_no_compression_holds_is_refused(side: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE[0], compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags: Any = file.pages[0].tags  # type: ignore[union-attr]
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tags[name].overwrite(side, dtype=4)
        if kind == "lzw":
            tags["Compression"].overwrite(5)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"a\.tif cannot be opened"):
        open_image(path)
    assert time.monotonic() - began < 5


HEADERS = [
    {"descr": "<u2", "fortran_order": False, "shape": (10**6, 10**6)},
    {"descr": "<u2", "fortran_order": False, "shape": (-5, 5)},
    {"descr": "|O", "fortran_order": False, "shape": (2, 2)},
    {"descr": "<u2"},
]


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_an_array_that_is_not_there_is_refused(header: dict[str, Any], tmp_path: Path) -> None:
    text = (repr(header) + "\n").encode()
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
    (tmp_path / "a.npy").write_bytes(start + text + bytes(100))
    with pytest.raises(ValueError, match=r"a\.npy cannot be opened"):
        open_image(tmp_path / "a.npy")


def broken_chunk(path: Path) -> Path:
    path = store(path)
    for chunk in path.rglob("c/*/*/*"):
        chunk.write_bytes(b"not compressed")
    return path


def broken_strip(path: Path) -> Path:
    path = compressed(path)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for page in file.pages[1:]:
            at = page.dataoffsets[0]  # type: ignore[union-attr]
            content[at : at + 30] = bytes(30)
    path.write_bytes(content)
    return path


def other_chunks(path: Path) -> Path:
    path = store(path)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [1, 40, 20]
    (path / "zarr.json").write_text(json.dumps(metadata))
    return path


@pytest.mark.parametrize("write", [broken_chunk, broken_strip, other_chunks])
@pytest.mark.parametrize("command", ["enhance", "fit"])
def test_what_a_library_says_comes_with_the_files_name(
    write: Callable[[Path], Path], command: str, tmp_path: Path, capsys: Any
) -> None:
    from napari_noiser.cli.main import main

    path = write(tmp_path)
    out = tmp_path / ("b.zarr" if command == "enhance" else "b.safetensors")
    assert main([command, str(path), str(out), "--quiet"]) in (1, 2)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert path.name in said[0]
    assert not out.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes there alone")
@pytest.mark.parametrize("name", [b"a\xff.tif", b"a\n\x1b[31m.tif", "\u202e.tif".encode()])
@pytest.mark.parametrize("ending", [".zarr", ".tif"])
def test_odd_names_are_taken_and_obeyed_by_no_terminal(
    name: bytes, ending: str, tmp_path: Path, capsys: Any
) -> None:
    from napari_noiser.cli.main import main

    source = tmp_path / os.fsdecode(name)
    tifffile.imwrite(source, IMAGE, metadata={"axes": "ZYX"}, photometric="minisblack")
    out = source.with_suffix(ending if ending == ".zarr" else ".out.tif")
    assert main(["enhance", str(source), str(out), "--model", "noiser", "--quiet"]) == 0
    assert main(["enhance", str(source), str(out), "--model", "noiser"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert open_image(out).array.shape == IMAGE.shape
