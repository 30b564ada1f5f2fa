"""How a result was made, told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_noiser.files.provenance import is_fitted

__all__ = ["told", "told_gain", "told_regions"]

_EXPOSURE = {"stack": "whole series", "volume": "each time point", "plane": "each plane"}
_TOLD = {"display": "", "intensity": "the light itself, denoised, in the image's units"}
_RENDERED = {2: "planes", 3: "volumes"}
_FITTED = {
    "denoise": "fitted to noisy images",
    "light": "light, fitted to dark images",
    "both": "both stages, fitted to dark, noisy images",
}


def told(made: Mapping[str, Any]) -> str:
    """Return how a result was made, in a few lines that a person can read."""
    recipe, versions = made["recipe"], made.get("versions", {})
    lines = {
        "Image": f"{made.get('source', '?')}, axes {made['axes']}",
        "Model": f"{recipe['name']}, {recipe['iterations']} steps, seed {made['seed']}, "
        f"{made['fingerprint']}",
        "Method": f"{made['method']}; {_FITTED[made['stage']]}" if is_fitted(made) else "",
        "Rendered": f"{_RENDERED[made['ndim']]}, on {made['device']}, as {made['dtype']}",
        "Colors": made["colors"] if "S" in made["axes"] else "",
        "One exposure": f"{_EXPOSURE[made['statistics']]}, {told_regions(made)}",
        "Gain map": told_gain(made),
        "Camera": _camera(made),
        "Result": _TOLD[made["output"]],
        "Brightness": f"{made['brightness']:g}, contrast {made['contrast']:g}",
        "File": made.get("path", ""),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }
    return "\n".join(f"{what}: {value}" for what, value in lines.items() if value)


def _camera(made: Mapping[str, Any]) -> str:
    """Return what was taken for the camera's noise, if anything was."""
    if made["camera"] in (None, "auto"):
        return "noise to be estimated" if made["camera"] else ""
    each = made["camera"] if isinstance(made["camera"], list) else [made["camera"]]
    found = [
        f"gain {camera['gain']:.3g}, offset {camera['offset']:.4g}, read noise "
        f"{camera['read_noise']:.3g} e-"
        if camera
        else "unknown"
        for camera in each
    ]
    how = "estimated" if made["camera_estimated"] else "given"
    outliers = "; outliers repaired" if made["repair"] else ""
    return f"{' | '.join(found)} ({how}){outliers}"


def told_gain(made: Mapping[str, Any]) -> str:
    """Return which gain map guided a result's model, if one did."""
    named = [repr(made["gain_layer"])] if "gain_layer" in made else []
    return ", ".join([*named, str(made["gain"])]) if made["gain"] is not None else ""


def told_regions(made: Mapping[str, Any]) -> str:
    """Return which pixels set a result's exposure, in words."""
    if made["mask"] is None:
        return "from the whole image"
    said = [f"from {made['region']!r}"] if "region" in made else []
    said += [f"without {made['leave_out']!r}"] if "leave_out" in made else []
    said += ["on all planes"] if made.get("all_planes") else []
    return " ".join([*said, f"mask {made['mask']}"])
