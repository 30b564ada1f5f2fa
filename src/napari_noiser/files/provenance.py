"""What a finished file says of how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

__all__ = ["EARLIER", "PROVENANCE", "is_fitted", "read_provenance"]

PROVENANCE = "napari_noiser"
"""The key of a result's provenance, in a file's attributes and a layer's metadata."""


EARLIER = {
    "colors": "balanced",
    "output": "display",
    "camera": None,
    "camera_estimated": False,
    "repair": True,
    "max_change": None,
    "conserve": None,
    "background": "gray",
    "gain": None,
}
"""What held for results that say nothing of it, since they are older than the choice."""


def is_fitted(provenance: Mapping[str, Any]) -> bool:
    """Return whether a result's model was fitted to someone's images: no recipe makes it again.

    Its provenance names the method; that of a network that learned from noise has no such entry.
    """
    return "method" in provenance


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return the provenance that a result carries.

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
        attributes = _of_zarr(path) if path.is_dir() else _of_tiff(path)
        found = attributes[PROVENANCE]
    except Exception:  # the libraries raise anything over what is no file of their kind
        return None
    return found if isinstance(found, dict) else None


def _of_zarr(path: Path) -> Any:
    import zarr

    return zarr.open_group(str(path), mode="r").attrs.asdict()


def _of_tiff(path: Path) -> Any:
    from tifffile import TiffFile

    with TiffFile(path) as tif:
        description = ElementTree.fromstring(tif.ome_metadata or "").find(".//{*}Description")
    return json.loads(description.text or "") if description is not None else {}
