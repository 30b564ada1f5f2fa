"""Read a result's provenance, and bring old ones up to date; `Plan.describe` makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_noiser.engine.options import Verb, verb_options

PROVENANCE = "napari_noiser"
"""The key of a result's provenance, in a file's attributes and a layer's metadata."""

_RENAMED = {"colours": "colors", "channels": "samples", "gain": "gain_map"}


_UNSAID = {"colors": "balanced", "background": "gray"}
"""What versions did that did not say it, where that is no longer the default."""


def complete_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provenance under today's names, with what older versions did not say."""
    default: Verb = "denoise" if provenance.get("output") == "intensity" else "enhance"
    verb: Verb = provenance.get("verb", default)
    defaults = {name: each.default for name, each in verb_options(verb).items() if each.recorded}
    known = {_RENAMED.get(name, name): value for name, value in provenance.items()}
    return {
        **defaults,
        **_UNSAID,
        "verb": verb,
        "camera": None,
        "camera_estimated": False,
        **known,
    }


def is_fitted(provenance: Mapping[str, Any]) -> bool:
    """Return whether a result's model was fitted to someone's images: no recipe makes it again.

    Its provenance names the method; that of a network that learned from noise has no such entry.
    """
    return "method" in provenance


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the provenance that a result in a file carries.

    Parameters
    ----------
    path : Path
        Of an OME-Zarr or an OME-TIFF.

    Returns
    -------
    dict or None
        None if it is no result of this package.
    """
    try:
        attributes = _zarr_attributes(path) if path.is_dir() else _tiff_attributes(path)
        provenance = attributes[PROVENANCE]
    except Exception:  # the libraries raise anything over what is no file of their kind
        return None
    return provenance if isinstance(provenance, dict) else None


def _zarr_attributes(path: Path) -> Any:
    import zarr

    return zarr.open_group(str(path), mode="r").attrs.asdict()


def _tiff_attributes(path: Path) -> Any:
    from tifffile import TiffFile

    with TiffFile(path) as tif:
        description = ElementTree.fromstring(tif.ome_metadata or "").find(".//{*}Description")
    return json.loads(description.text or "") if description is not None else {}
