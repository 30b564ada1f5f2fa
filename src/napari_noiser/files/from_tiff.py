"""What a TIFF file holds: its first series, memory-mapped or lazy, and what its metadata say."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_noiser.files.contents import UNNAMED, Contents, Place
from napari_noiser.files.units import unit_name

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["read_tiff"]

_UNKNOWN = "QI"  # tifffile's letters for "some axis" and "a sequence of pages"


def read_tiff(path: Path) -> Contents:
    """Open the first series of a TIFF file; nothing is loaded.

    Parameters
    ----------
    path : Path
        Of a TIFF, OME-TIFF or ImageJ file.

    Returns
    -------
    Contents
        A numpy memmap where the pixels lie in one uncompressed piece, otherwise a zarr array that
        decodes what is read. The position of a stage counts as no part of the place.

    Raises
    ------
    ValueError
        If it is no TIFF file, or its compression cannot be decoded here.
    """
    from tifffile import TiffFile

    with TiffFile(path) as tif:
        if not tif.series:
            raise ValueError("it is a TIFF file without images")
        series = tif.series[0]
        page: Any = series.keyframe
        return Contents(_array(path, tif, series), _names(tif, series, page), _places(tif, page))


def _array(path: Path, tif: TiffFile, series: TiffPageSeries) -> Any:
    if series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        return np.memmap(path, dtype, "r", series.dataoffset, series.shape)
    import zarr
    from tifffile import COMPRESSION, TIFF

    compression = COMPRESSION(series.keyframe.compression)
    if compression not in TIFF.DECOMPRESSORS:
        raise ValueError(
            f"it is compressed with {compression.name}, which takes the package imagecodecs: "
            "pip install imagecodecs"
        )
    return zarr.open(tif.aszarr(series=0, level=0), mode="r")


def _names(tif: TiffFile, series: TiffPageSeries, page: TiffPage) -> tuple[str, ...]:
    """Return tifffile's letters; samples that the file does not call colours are channels."""
    from tifffile import PHOTOMETRIC

    colour = page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
    # ImageJ stores a composite of three dyes as RGB too, but gives it a mode
    colour = colour and "mode" not in (tif.imagej_metadata or {})
    samples = "S" if colour or "C" in series.axes else "C"
    return tuple(
        UNNAMED if letter in _UNKNOWN else samples if letter == "S" else letter
        for letter in series.axes
    )


def _places(tif: TiffFile, page: TiffPage) -> dict[str, Place]:
    if tif.is_ome and tif.ome_metadata:
        return _ome_places(tif.ome_metadata)
    if tif.imagej_metadata:
        return _imagej_places(tif.imagej_metadata, page)
    return {}


def _ome_places(xml: str) -> dict[str, Place]:
    """Return the physical sizes of the first image, whose unit is µm unless it says otherwise."""
    try:
        pixels = ElementTree.fromstring(xml.encode()).find(".//{*}Pixels")
    except ElementTree.ParseError:
        pixels = None
    if pixels is None:
        return {}
    attributes = {"Z": "PhysicalSizeZ", "Y": "PhysicalSizeY", "X": "PhysicalSizeX"}
    found = {
        letter: _place(pixels.get(name), pixels.get(name + "Unit", "µm"))
        for letter, name in attributes.items()
    }
    found["T"] = _place(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return {letter: place for letter, place in found.items() if place}


def _imagej_places(metadata: dict[str, Any], page: TiffPage) -> dict[str, Place]:
    """Return ImageJ's steps: the resolution counts pixels in a unit, and says nothing without."""
    unit = str(metadata.get("unit", ""))
    found = {
        "T": _place(metadata.get("finterval"), str(metadata.get("tunit", "s"))),
        "Z": _place(metadata.get("spacing"), unit),
    }
    if unit_name(unit):
        for letter, tag in (("Y", "YResolution"), ("X", "XResolution")):
            pixels, units = page.tags.valueof(tag, (0, 1))
            found[letter] = _place(units / pixels if pixels else None, unit)
    return {letter: place for letter, place in found.items() if place}


def _place(step: Any, unit: str) -> Place | None:
    """Return a place, or None for no step, or one that cannot be meant: 0, negative, NaN."""
    try:
        number = float(step)
    except (TypeError, ValueError):
        return None
    return Place(number, unit=unit_name(unit)) if isfinite(number) and number > 0 else None
