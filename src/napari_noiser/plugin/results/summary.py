"""How a result was made, told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_noiser.files.provenance import is_fitted

__all__ = ["format_gain_map", "format_provenance", "format_regions"]

_EXPOSURE = {"stack": "whole series", "volume": "each time point", "plane": "each plane"}
_TOLD = {"display": "", "intensity": "the light itself, denoised, in the image's units"}
_RENDERED = {2: "planes", 3: "volumes"}
_FITTED = {
    "denoise": "fitted to noisy images",
    "light": "light, fitted to dark images",
    "both": "both stages, fitted to dark, noisy images",
}


def format_provenance(provenance: Mapping[str, Any]) -> str:
    """Return how a result was made, in a few lines that a person can read."""
    recipe, versions = provenance["recipe"], provenance.get("versions", {})
    lines = {
        "Image": f"{provenance.get('source', '?')}, axes {provenance['axes']}",
        "Model": f"{recipe['name']}, {recipe['iterations']} steps, seed {provenance['seed']}, "
        f"{provenance['fingerprint']}",
        "Method": f"{provenance['method']}; {_FITTED[provenance['stage']]}"
        if is_fitted(provenance)
        else "",
        "Rendered": f"{_RENDERED[provenance['ndim']]}, on {provenance['device']}, as "
        "{provenance['dtype']}",
        "Colors": provenance["colors"] if "S" in provenance["axes"] else "",
        "One exposure": f"{_EXPOSURE[provenance['statistics']]}, {format_regions(provenance)}",
        "Gain map": format_gain_map(provenance),
        "Camera": _camera(provenance),
        "Result": _TOLD[provenance["output"]],
        "Brightness": f"{provenance['brightness']:g}, contrast {provenance['contrast']:g}",
        "File": provenance.get("path", ""),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }
    return "\n".join(f"{what}: {value}" for what, value in lines.items() if value)


def _camera(provenance: Mapping[str, Any]) -> str:
    """Return what was taken for the camera's noise, if anything was."""
    if provenance["camera"] in (None, "auto"):
        return "noise to be estimated" if provenance["camera"] else ""
    each = (
        provenance["camera"] if isinstance(provenance["camera"], list) else [provenance["camera"]]
    )
    found = [
        f"gain {camera['gain']:.3g}, offset {camera['offset']:.4g}, read noise "
        f"{camera['read_noise']:.3g} e-"
        if camera
        else "unknown"
        for camera in each
    ]
    how = "estimated" if provenance["camera_estimated"] else "given"
    outliers = "; outliers repaired" if provenance["repair"] else ""
    return f"{' | '.join(found)} ({how}){outliers}"


def format_gain_map(provenance: Mapping[str, Any]) -> str:
    """Return which gain map guided a result's model, if one did."""
    named = [repr(provenance["gain_layer"])] if "gain_layer" in provenance else []
    return ", ".join([*named, str(provenance["gain"])]) if provenance["gain"] is not None else ""


def format_regions(provenance: Mapping[str, Any]) -> str:
    """Return which pixels set a result's exposure, in words."""
    if provenance["mask"] is None:
        return "from the whole image"
    said = [f"from {provenance['region']!r}"] if "region" in provenance else []
    said += [f"without {provenance['leave_out']!r}"] if "leave_out" in provenance else []
    said += ["on all planes"] if provenance.get("all_planes") else []
    return " ".join([*said, f"mask {provenance['mask']}"])
