"""Read the first image of a TIFF file, memory-mapped or lazily, and its metadata."""

from __future__ import annotations

import os
import re
import warnings
from importlib.util import find_spec
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from napari_noiser._errors import InputError
from napari_noiser.arrays.axis_names import UNNAMED
from napari_noiser.arrays.places import SOURCE_FILES
from napari_noiser.files.readers.parsed import AxisPlacement, ParsedFile
from napari_noiser.files.readers.tiff_samples import check_samples, holds_colors, interpret_samples
from napari_noiser.files.spatial_metadata import Channel
from napari_noiser.files.units import unit_name

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_MOST_CLAIMED = 2**30  # bytes that are tried, whatever they are stored in
_MOST_COMPRESSED = 10_000  # times: ten times what deflate makes of zeros
_UNKNOWN = "QI"  # tifffile's letters for "some axis" and "a sequence of pages"


def read_tiff(path: Path) -> ParsedFile:
    """Open the first image (series) that lies in a TIFF file; nothing is loaded.

    Pixels in one uncompressed piece are a numpy memmap, others a zarr array that decodes what is
    read, whose first tile is. Samples are light: see `interpret_samples`. The position of a stage
    is left out.
    """
    from tifffile import TiffFile

    with TiffFile(path) as tif:
        _check_complete(tif)
        metadata = _companion_metadata(tif, path)
    with TiffFile(path, omexml=metadata) as tif:
        _check_companions(path, tif)
        index = _first_series(tif)
        series: Any = tif.series[index]
        _check_claim(series)
        _check_pages(tif, series)
        page, pixels = series.keyframe, _ome_pixels(tif, index)
        check_samples(page)
        array, axes = interpret_samples(_array(path, tif, index), series.axes, page)
        return ParsedFile(
            array,
            _axis_names(tif, axes, page),
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
    begun = [index for index in begun if not _is_beside(tif.series[index])] or begun
    if not begun:
        first = next((each[0] for each in files if tif in each), files[0][0])
        raise InputError("", f"it holds a part of an image only: open {first.filename}, the first")
    if len(begun) > 1:
        _warn(tif, f"holds {len(begun)} images, of which the first is taken")
    missing = sum(page is None for page in tif.series[begun[0]].pages)
    if missing:
        _warn(tif, f"names planes that are not there ({missing}): they are read as 0")
    return begun[0]


def _is_beside(series: Any) -> bool:
    """Return whether an image belongs to another one: a thumbnail of it, or a mask."""
    page = series.keyframe
    reduced = page.is_reduced or page.tags.valueof("SubfileType") == 2
    return bool(reduced or page.is_mask)


def _companion_metadata(tif: TiffFile, path: Path) -> str | None:
    """Return the OME-XML of a set that lies beside this part of it; None if it is in the part.

    An `InputError` is raised if it is not there, or does not name this part.
    """
    element = _ome_xml(tif).find("{*}BinaryOnly")
    if element is None:
        return None
    name = element.get("MetadataFile", "")
    companion = path.parent / Path(name).name  # whatever folder it once was in
    part = "it holds a part of an image only, whose metadata are in "
    if not companion.is_file() or companion.suffix.lower() in (".tif", ".tiff"):
        raise InputError(
            "",
            f"{part}{name or 'another file'}: put that beside it, open that if it is a TIFF file, "
            "or convert the set to one file",
        )
    try:
        root = ElementTree.fromstring(companion.read_bytes())
    except (ElementTree.ParseError, OSError) as error:
        raise InputError("", f"{part}{name}, which cannot be read: {error}") from error
    named = [each for each in root.iter() if each.get("FileName") == path.name]
    if not named:
        raise InputError("", f"{part}{name}, which does not name it: convert the set to one file")
    root.set("UUID", named[0].text or "")  # so that this file is not opened once more
    return ElementTree.tostring(root, encoding="unicode")


def _check_companions(path: Path, tif: TiffFile) -> None:
    """Raise an `InputError` if parts of an image are no regular files, or lie in other folders."""
    for name in {
        each.get("FileName", "") for each in _ome_xml(tif).iter() if each.get("FileName")
    }:
        check_companion(path, name)


def check_companion(path: Path, name: str) -> None:
    """Raise an `InputError` unless what an image names is a regular file of its folder, or none.

    It may be one of a folder within. Whatever else a file names is not opened: a pipe would be
    waited for, and nobody looks there for parts of an image.
    """
    folder = os.path.abspath(path.parent)
    place = os.path.normpath(os.path.join(folder, name))
    if os.path.commonpath([folder, place]) != folder:
        raise InputError("", f"it names a part outside its folder, {name}: move it beside it")
    if os.path.lexists(place) and not os.path.isfile(place):
        raise InputError("", f"it names a part, {name}, that is no regular file")


def _check_claim(series: Any) -> None:
    """Raise an `InputError` if a small file claims so many pixels that no compression holds them.

    Whatever would decode them would be at it for hours.
    """
    stored = sum(each.filehandle.size for each in _files(series))
    claimed = prod(series.shape) * np.dtype(series.dtype).itemsize
    if claimed > max(_MOST_CLAIMED, _MOST_COMPRESSED * stored):
        raise InputError(
            "", f"it claims {claimed:,} bytes of pixels in {stored:,} bytes of files: it is broken"
        )


def _check_pages(tif: TiffFile, series: Any) -> None:
    """Warn if a file goes on behind its last page, as if there had been more of them."""
    if series.kind not in ("generic", "uniform"):
        return  # its metadata say how many there are
    size, page = tif.filehandle.size, sum(series.keyframe.databytecounts)
    if page and size - _end(tif.pages[-1]) >= page:
        behind = size - max(map(_end, tif.pages))
        if behind >= page:
            _warn(tif, f"has {behind:,} bytes behind its last plane: further ones may be missing")


def _end(page: Any) -> int:
    """Return where the pixels and the tags of a page, and of pages within it, end in its file."""
    data = zip(page.dataoffsets, page.databytecounts, strict=True)
    ends = [page.offset, *(offset + count for offset, count in data)]
    return int(max([*ends, *map(_end, page.pages or ())]))


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

    _check_decoded(tif, index)
    store = tif.aszarr(series=index, level=0)
    setattr(store, SOURCE_FILES, [Path(each.filehandle.path) for each in _files(series)])
    return zarr.open(store, mode="r")


def _check_decoded(tif: TiffFile, index: int) -> None:
    """Raise an `InputError` if the first tile of an image cannot be decoded."""
    import zarr

    # Of a store of its own, which closes what it opens: the array opens its own when it is read.
    with tif.aszarr(series=index, level=0) as store:
        array: Any = zarr.open(store, mode="r")
        try:
            array[(0,) * array.ndim]
        except Exception as error:  # the libraries raise anything over what they cannot decode
            page: Any = tif.series[index].keyframe
            raise InputError("", _why_not_decoded(page, error)) from error


def _why_not_decoded(page: TiffPage, error: Exception) -> str:
    stored = f"{page.bitspersample} bits, compressed with {_name(page.compression)}"
    if page.predictor != 1:
        stored += f", predictor {_name(page.predictor)}"
    words = " ".join(str(error).split())
    advice = "" if find_spec("imagecodecs") else "; most take imagecodecs: pip install imagecodecs"
    return f"its pixels ({stored}) cannot be decoded: {type(error).__name__} {words}{advice}"


def _name(code: Any) -> str:
    return str(getattr(code, "name", code))


def _axis_names(tif: TiffFile, axes: str, page: TiffPage) -> tuple[str, ...]:
    """Return the axes' letters; samples that the file does not call colors are channels."""
    from tifffile import PHOTOMETRIC

    palette = page.photometric == PHOTOMETRIC.PALETTE
    # ImageJ stores a composite of three channels as RGB too, but gives it a mode
    color = (holds_colors(page) and "mode" not in (tif.imagej_metadata or {})) or palette
    samples = "S" if color or "C" in axes else "C"
    return tuple(
        UNNAMED if letter in _UNKNOWN else samples if letter == "S" else letter for letter in axes
    )


def _ome_pixels(tif: TiffFile, index: int) -> ElementTree.Element:
    """Return the OME-XML element of an image; an empty one if there is none."""
    images = _ome_xml(tif).findall(".//{*}Pixels")
    return images[index] if index < len(images) else ElementTree.Element("Pixels")


def _ome_xml(tif: TiffFile) -> ElementTree.Element:
    """Return the OME-XML of a file; an empty element if there is none."""
    try:
        return ElementTree.fromstring((tif.ome_metadata or "").encode())
    except ElementTree.ParseError:
        return ElementTree.Element("OME")


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
        "Z": _placement(metadata.get("spacing"), unit, signed=True),  # upwards, if negative
    }
    if unit_name(unit):
        for letter, tag in (("Y", "YResolution"), ("X", "XResolution")):
            pixels, units = page.tags.valueof(tag, (0, 1))
            placements[letter] = _placement(units / pixels if pixels else None, unit)
    return {letter: each for letter, each in placements.items() if each}


def _placement(step: Any, unit: str, signed: bool = False) -> AxisPlacement | None:
    """Return a placement, or None for no step, or one that cannot be meant: 0, negative, NaN."""
    try:
        number = abs(float(step)) if signed else float(step)
    except (TypeError, ValueError):
        return None
    return AxisPlacement(number, unit=unit_name(unit)) if isfinite(number) and number > 0 else None
