"""Read a zarr store: level 0 of an OME-Zarr image (0.1 to 0.5), or a plain array."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_noiser._errors import InputError
from napari_noiser.arrays.axis_names import UNNAMED, axis_letter, own_names
from napari_noiser.files.readers.parsed import AxisPlacement, ParsedFile
from napari_noiser.files.spatial_metadata import Channel
from napari_noiser.files.units import unit_name

if TYPE_CHECKING:
    from yaozarrs import v04, v05
    from zarr import Array, Group

    Multiscale = v04.Multiscale | v05.Multiscale

_OTHER_CONTENTS = {
    "plate": "a plate of wells (HCS)",
    "well": "a well of a plate (HCS)",
    "image-label": "labels",
    "labels": "a collection of labels",
    "series": "the metadata of a bioformats2raw layout",
    "bioformats2raw.layout": "a bioformats2raw layout without an image 0",
}


def read_zarr(path: Path) -> ParsedFile:
    """Open a zarr array or an OME-Zarr image (of a bioformats2raw layout, image 0), unread."""
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise InputError("", "it is a folder without zarr metadata") from None
    return _read_array(node) if isinstance(node, zarr.Array) else _read_image(node)


def _read_array(array: Array[Any]) -> ParsedFile:
    """Return an array; its dimension names, or those of xarray, are its axes."""
    return ParsedFile(array, own_names(array) or (UNNAMED,) * array.ndim)


def _read_image(group: Group) -> ParsedFile:
    from zarr import Array, Group

    attributes = group.attrs.asdict()
    metadata: Any = attributes.get("ome", attributes)
    if "bioformats2raw.layout" in metadata and "multiscales" not in metadata:
        first = group.get("0")
        if isinstance(first, Group):
            return _read_image(first)
    other = next((text for key, text in _OTHER_CONTENTS.items() if key in metadata), None)
    if other or "multiscales" not in metadata:
        members = ", ".join(sorted(group.keys())[:8])
        raise InputError(
            "",
            f"it holds {other or 'a zarr group without OME-Zarr metadata'}, not one image; "
            f"open one of its members: {members}",
        )
    multiscale = _validate(metadata, "0.5" if "ome" in attributes else "0.4")
    array = group.get(multiscale.datasets[0].path)
    if not isinstance(array, Array) or array.ndim != len(multiscale.axes):
        raise InputError(
            "",
            f"its metadata name a level {multiscale.datasets[0].path!r} with "
            f"{len(multiscale.axes)} axes, but the store holds {array} there",
        )
    names = tuple(_name(axis) for axis in multiscale.axes)
    placements = dict(zip(names, _placements(multiscale), strict=True))
    return ParsedFile(array, names, placements, channels=_channels(metadata.get("omero")))


def _validate(metadata: Mapping[str, Any], version: str) -> Multiscale:
    """Return the first multiscale image, validated, without the part for display (omero)."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    if version == "0.5" and metadata.get("version") != version:
        raise InputError("", f"it is OME-Zarr {metadata.get('version')}; 0.1 to 0.5 can be read")
    try:
        first = metadata["multiscales"][0]
        if version == "0.5":
            return v05.Multiscale.model_validate(first)
        version = str(first.get("version", version))
        return v04.Multiscale.model_validate(_completed(first))
    except ValidationError as error:
        places = ".".join(str(each) for each in error.errors()[0]["loc"])
        reason = f"{places}: {error.errors()[0]['msg']}" if places else error.errors()[0]["msg"]
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__} {error}"
    reason = " ".join(reason.split())
    raise InputError("", f"its metadata are not valid OME-Zarr {version}: {reason}")


def _completed(multiscale: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an image as OME-Zarr 0.4 has them, of 0.1 to 0.3 as well.

    Before 0.3 all images had the axes TCZYX, in 0.3 their axes were but names; steps came with
    0.4, and are left out by some: they are 1.
    """
    given = multiscale.get("axes") or "tczyx"
    axes = [_axis(each) if isinstance(each, str) else dict(each) for each in given]
    unplaced = [{"type": "scale", "scale": [1.0] * len(axes)}]
    datasets = [
        {**each, "coordinateTransformations": each.get("coordinateTransformations") or unplaced}
        for each in multiscale["datasets"]
    ]
    return {**multiscale, "version": "0.4", "axes": axes, "datasets": datasets}


def _axis(name: str) -> dict[str, str]:
    kind = {"T": "time", "C": "channel"}.get(axis_letter(name) or "", "space")
    return {"name": name, "type": kind}


def _channels(omero: Any) -> tuple[Channel, ...]:
    """Return the names and colors of the channels, as far as they can be read."""
    try:
        return tuple(
            Channel(str(each.get("label") or ""), _color(each.get("color")))
            for each in omero["channels"]
        )
    except (AttributeError, KeyError, TypeError):
        return ()


def _color(rgb: Any) -> str:
    return str(rgb).upper() if re.fullmatch("[0-9A-Fa-f]{6}", str(rgb)) else ""


def _name(axis: Any) -> str:
    """Return an axis' letter, by its type or its name; its name if that is not known."""
    known = {"time": "T", "channel": "C"}.get(axis.type or "") or axis_letter(axis.name)
    return known or str(axis.name)


def _placements(multiscale: Multiscale) -> list[AxisPlacement]:
    """Return the placements of level 0: its own transformation, then the whole image's."""
    count = len(multiscale.axes)
    scale, start = [1.0] * count, [0.0] * count
    for transformations in (
        multiscale.datasets[0].coordinateTransformations,
        multiscale.coordinateTransformations or [],
    ):
        for each in transformations:
            if each.type == "scale":
                scale = [step * factor for step, factor in zip(scale, each.scale, strict=True)]
                start = [at * factor for at, factor in zip(start, each.scale, strict=True)]
            else:
                start = [at + by for at, by in zip(start, each.translation, strict=True)]
    units = [unit_name(axis.unit or "") for axis in multiscale.axes]
    return [  # a step of 0 cannot be meant
        AxisPlacement(step or 1.0, at, unit)
        for step, at, unit in zip(scale, start, units, strict=True)
    ]
