"""Read the first image of a TIFF file, memory-mapped or lazily, and its metadata."""

from __future__ import annotations

import re
import warnings
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_noiser._errors import InputError
from napari_noiser.arrays.axis_names import UNNAMED
from napari_noiser.files.readers.parsed import AxisPlacement, ParsedFile
from napari_noiser.files.spatial_metadata import Channel
from napari_noiser.files.units import unit_name

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_UNKNOWN = "QI"  # tifffile's letters for "some axis" and "a sequence of pages"


def read_tiff(path: Path) -> ParsedFile:
    """Open the first image (series) that lies in a TIFF file; nothing is loaded.

    Pixels in one uncompressed piece are a numpy memmap, others a zarr array that decodes what is
    read. The position of a stage is left out.
    """
    from tifffile import TiffFile

    with TiffFile(path) as tif:
        _check_complete(tif)
        index = _first_series(tif)
        series: Any = tif.series[index]
        page, pixels = series.keyframe, _ome_pixels(tif, index)
        return ParsedFile(
            _array(path, tif, index),
            _axis_names(tif, series, page),
            _ome_placements(pixels) if tif.is_ome else _imagej_placements(tif, page),
            {*series.get_axes(False)} - {*series.axes},
            _ome_channels(pixels),
        )


def _check_complete(tif: TiffFile) -> None:
    """Raise an `InputError` if the last page that is there points to another one."""
    last = tif.pages.next_page_offset
    if last is None:
        return
    tif.filehandle.seek(last)
    size, order = tif.tiff.offsetsize, "little" if tif.byteorder == "<" else "big"
    following = tif.filehandle.read(size)
    if len(following) < size or int.from_bytes(following, order):  # type: ignore[arg-type]
        raise InputError("", "it is cut off: further pages lie beyond its end")


def _first_series(tif: TiffFile) -> int:
    """Return the index of the first series that begins in this file.

    The OME-XML of an acquisition in several files names all images in each.
    """
    if not tif.series:
        raise InputError("", "it is a TIFF file without images")
    files = [_files(series) for series in tif.series]
    begun = [index for index, each in enumerate(files) if each[:1] == [tif]]
    if not begun:
        first = next((each[0] for each in files if tif in each), files[0][0])
        raise InputError("", f"it holds a part of an image only: open {first.filename}, the first")
    if len(begun) > 1:
        _warn(tif, f"holds {len(begun)} images, of which the first is taken")
    missing = sum(page is None for page in tif.series[begun[0]].pages)
    if missing:
        _warn(tif, f"names planes that are not there ({missing}): they are read as 0")
    return begun[0]


def _files(series: Any) -> list[TiffFile]:
    """Return the files that the planes of an image lie in, in their order."""
    return [*dict.fromkeys(page.parent for page in series.pages if page is not None)]


def _warn(tif: TiffFile, text: str) -> None:
    warnings.warn(f"{tif.filename} {text}", stacklevel=5)


def _array(path: Path, tif: TiffFile, index: int) -> Any:
    series: Any = tif.series[index]
    if series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape)
    import zarr
    from tifffile import COMPRESSION, TIFF

    compression = COMPRESSION(series.keyframe.compression)
    if compression not in TIFF.DECOMPRESSORS:
        raise InputError(
            "",
            f"it is compressed with {compression.name}, which takes the package imagecodecs: "
            "pip install imagecodecs",
        )
    return zarr.open(tif.aszarr(series=index, level=0), mode="r")


def _axis_names(tif: TiffFile, series: TiffPageSeries, page: TiffPage) -> tuple[str, ...]:
    """Return the axes' letters; samples that the file does not call colors are channels."""
    from tifffile import PHOTOMETRIC

    color = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
    # ImageJ stores a composite of three channels as RGB too, but gives it a mode
    color = color and "mode" not in (tif.imagej_metadata or {})
    samples = "S" if color or "C" in series.axes else "C"
    return tuple(
        UNNAMED if letter in _UNKNOWN else samples if letter == "S" else letter
        for letter in series.axes
    )


def _ome_pixels(tif: TiffFile, index: int) -> ElementTree.Element:
    """Return the OME-XML element of an image; an empty one if there is none."""
    try:
        images = ElementTree.fromstring((tif.ome_metadata or "").encode()).findall(".//{*}Pixels")
    except ElementTree.ParseError:
        images = []
    return images[index] if index < len(images) else ElementTree.Element("Pixels")


def _ome_channels(pixels: ElementTree.Element) -> tuple[Channel, ...]:
    """Return the channels, whose colors OME-XML has as signed 32 bits of RGBA."""
    return tuple(
        Channel(each.get("Name", ""), _color(each.get("Color", "")))
        for each in pixels.findall("{*}Channel")
    )


def _color(rgba: str) -> str:
    return f"{int(rgba) >> 8 & 0xFFFFFF:06X}" if re.fullmatch(r"-?\d+", rgba) else ""


def _ome_placements(pixels: ElementTree.Element) -> dict[str, AxisPlacement]:
    """Return the physical sizes of an image, in µm unless it says otherwise."""
    attributes = {"Z": "PhysicalSizeZ", "Y": "PhysicalSizeY", "X": "PhysicalSizeX"}
    placements = {
        letter: _placement(pixels.get(name), pixels.get(name + "Unit", "µm"))
        for letter, name in attributes.items()
    }
    placements["T"] = _placement(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return {letter: each for letter, each in placements.items() if each}


def _imagej_placements(tif: TiffFile, page: TiffPage) -> dict[str, AxisPlacement]:
    """Return ImageJ's steps; its resolution counts pixels in a unit, and means nothing without."""
    metadata = tif.imagej_metadata or {}
    unit = str(metadata.get("unit", ""))
    placements = {
        "T": _placement(metadata.get("finterval"), str(metadata.get("tunit", "s"))),
        "Z": _placement(metadata.get("spacing"), unit),
    }
    if unit_name(unit):
        for letter, tag in (("Y", "YResolution"), ("X", "XResolution")):
            pixels, units = page.tags.valueof(tag, (0, 1))
            placements[letter] = _placement(units / pixels if pixels else None, unit)
    return {letter: each for letter, each in placements.items() if each}


def _placement(step: Any, unit: str) -> AxisPlacement | None:
    """Return a placement, or None for no step, or one that cannot be meant: 0, negative, NaN."""
    try:
        number = float(step)
    except (TypeError, ValueError):
        return None
    return AxisPlacement(number, unit=unit_name(unit)) if isfinite(number) and number > 0 else None
