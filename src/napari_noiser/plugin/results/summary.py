"""The provenance of a result, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_noiser.engine.options import Option, verb_options
from napari_noiser.files.provenance import is_fitted

_RESULTS = {
    "enhance": "a display",
    "denoise": "the light itself, denoised, in the image's units",
}
_FITTED = {
    "denoise": "fitted to noisy images",
    "light": "illumination and reflectance, fitted to dark images",
    "both": "both stages, fitted to dark, noisy images",
}


def format_provenance(provenance: Mapping[str, Any]) -> str:
    """Return how a result was made, in a few lines that a person can read."""
    recipe, versions = provenance["recipe"], provenance.get("versions", {})
    fitted = is_fitted(provenance)
    lines = {
        "image": f"{provenance.get('source', '?')}, axes {provenance['axes']}",
        "model": f"{recipe['name']}, {recipe['iterations']} steps, seed {provenance['seed']}, "
        f"{provenance['fingerprint']}",
        "method": f"{provenance['method']}; {_FITTED[provenance['stage']]}" if fitted else "",
        "result": _RESULTS[provenance["verb"]],
        **_options(provenance),
        "file": provenance.get("path", ""),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }
    return "\n".join(f"{what.capitalize()}: {text}" for what, text in lines.items() if text)


def _options(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what was asked for, by labels; empty where there is nothing to say."""
    options = verb_options(provenance["verb"])
    texts = {
        name: _in_words(option, provenance[name])
        for name, option in options.items()
        if option.recorded
    }
    texts["statistics"] += f", {format_regions(provenance)}"
    texts |= {"gain_map": format_gain_map(provenance), "camera": _camera(provenance)}
    texts |= {"axes": "", "mask": "", "repair": ""}  # which the image, statistics and camera say
    if "S" not in provenance["axes"]:
        texts["colors"] = ""  # there are none
    return {
        options[name].label or name.replace("_", " "): text
        for name, text in texts.items()
        if name in options
    }


def _in_words(option: Option, value: Any) -> str:
    if value is None:
        return ""
    if option.words and value in option.choices:
        return option.words[option.choices.index(value)]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _camera(provenance: Mapping[str, Any]) -> str:
    """Return what was taken for the camera's noise, if anything was."""
    cameras = provenance["camera"]
    if cameras in (None, "auto"):
        return "noise to be estimated" if cameras else ""
    found = [
        f"gain {camera['gain']:.3g}, offset {camera['offset']:.4g}, read noise "
        f"{camera['read_noise']:.3g} e-"
        if camera
        else "unknown"
        for camera in (cameras if isinstance(cameras, list) else [cameras])
    ]
    how = "estimated" if provenance["camera_estimated"] else "given"
    outliers = "; outliers repaired" if provenance["repair"] else ""
    return f"{' | '.join(found)} ({how}){outliers}"


def format_gain_map(provenance: Mapping[str, Any]) -> str:
    """Return which gain map guided a result's model, if one did."""
    if provenance["gain_map"] is None:
        return ""
    named = [repr(provenance["gain_layer"])] if "gain_layer" in provenance else []
    return ", ".join([*named, str(provenance["gain_map"])])


def format_regions(provenance: Mapping[str, Any]) -> str:
    """Return which pixels count in a result's statistics, in words."""
    if provenance["mask"] is None:
        return "from the whole image"
    words = [f"from {provenance['region']!r}"] if "region" in provenance else []
    words += [f"without {provenance['leave_out']!r}"] if "leave_out" in provenance else []
    words += ["on all planes"] if provenance.get("all_planes") else []
    return " ".join([*words, f"mask {provenance['mask']}"])
