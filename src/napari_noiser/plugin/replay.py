"""How a result was made: read from its layer, told in words, and done again on another image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Shapes

from napari_noiser.files.provenance import EARLIER, PROVENANCE
from napari_noiser.plugin.jobs import to_train
from napari_noiser.plugin.layers import enhance_layer
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.shown import is_preview
from napari_noiser.plugin.source import ImageSource
from napari_noiser.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = [
    "ANOTHER",
    "provenance_of",
    "recovered",
    "regions_again",
    "replay",
    "same_model",
    "source_again",
    "told",
]

ANOTHER = (
    "the model was trained again, and became another one than the result's: on another device, or "
    "with another version of torch"
)
"""What to say where `same_model` says no."""

_EXPOSURE = {"stack": "whole series", "volume": "each time point", "plane": "each plane"}
_TOLD = {"display": "", "intensity": "the light itself, denoised, in the image's units"}
_RENDERED = {2: "planes", 3: "volumes"}
_LATER = ("repair", "max_change", "conserve", "background")
_NEEDED = {
    *("recipe", "channels", "ndim", "seed", "trained_on", "fingerprint", "axes", "statistics"),
    *("mask", "brightness", "contrast", "dtype", "device"),
}


def replay(
    layer: Image,
    on: Image,
    *,
    mask: ArrayLike | None = None,
    progress: Progress = False,
) -> Image:
    """Enhance another image as a result was made.

    Parameters
    ----------
    layer : napari.layers.Image
        The result: a layer that this package made.
    on : napari.layers.Image
        The image to enhance. The result's axes are taken if they fit it, and otherwise its own;
        of a bundled model or a recipe, the form for its colours.
    mask : array, optional
        As in `enhance`. Needed if the result was made with one, of which a layer keeps but a
        fingerprint: see `region_mask`.
    progress : bool or callable
        As in `enhance`.

    Returns
    -------
    napari.layers.Image
        As of `enhance_layer`.

    Raises
    ------
    TypeError
        If `on` is no image layer.
    ValueError
        If `layer` is no result, its mask is missing, or as in `enhance`.

    Warns
    -----
    UserWarning
        If a model had to be trained again, and became another one than the result's: on another
        device, or with another version of torch.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> first, second = Image(np.eye(16)), Image(np.eye(24), name="second")
    >>> result = enhance_layer(first, "noiser-es", contrast=2.0)
    >>> again = replay(result, second)
    >>> again.name, again.metadata["napari_noiser"]["contrast"]
    ('second (noiser-es)', 2.0)
    """
    made = provenance_of(layer)
    if made["mask"] is not None and mask is None:
        raise ValueError(
            f"{layer.name!r} was made with a mask ({_regions(made)}), of which it keeps but a "
            "fingerprint: pass mask=, from region_mask or as it was passed before"
        )
    source, settings = source_again(made, ImageSource.of(on)), recovered(made)
    model: Any = settings.model
    recipe = to_train(settings, _channels(source, settings))
    if recipe is not None:
        model = _train(recipe, source, settings, progress)
    result = enhance_layer(
        on, model, axes=source.axes, mask=mask, progress=progress, **settings.options
    )
    if not same_model(made, result.metadata[PROVENANCE]):
        warnings.warn(ANOTHER, stacklevel=2)
    return result


def provenance_of(layer: Layer | None) -> dict[str, Any]:
    """Return how a result was made.

    Raises
    ------
    ValueError
        If the layer is no result.
    """
    made = None if layer is None else layer.metadata.get(PROVENANCE)
    if not isinstance(made, dict) or not made.keys() >= _NEEDED or is_preview(layer):
        name = "no layer" if layer is None else repr(layer.name)
        raise ValueError(
            f"layer must be a result of napari-noiser, which says in its metadata how it was "
            f"made; got {name}"
        )
    return {**EARLIER, **made}


def recovered(made: Mapping[str, Any]) -> Settings:
    """Return the settings that a result was made with, but for its regions and its axes.

    Of a bundled model it is the name; any other one is trained again, from recipe and seed.
    """
    from napari_noiser.camera.telling import recalled_camera
    from napari_noiser.srm.recipe import Recipe

    names = ("ndim", "colours", "statistics", "output", "brightness", "contrast", "dtype")
    recipe = Recipe.from_dict(made["recipe"])
    model = recipe.name if is_bundled(made) else recipe
    same = {name: made[name] for name in (*names, *_LATER, "device", "seed")}
    # What was estimated of one image is estimated anew of another.
    camera = "auto" if made["camera_estimated"] else recalled_camera(made["camera"])
    return Settings(model=model, camera=camera, **same)


def is_bundled(made: Mapping[str, Any]) -> bool:
    """Return whether a result's model is one that comes with the package."""
    from napari_noiser.srm.model import BUNDLED, load_model

    name, channels, ndim = made["recipe"]["name"], made["channels"], made["ndim"]
    if (name, channels, ndim) not in BUNDLED:
        return False
    return load_model(name, channels=channels, ndim=ndim).fingerprint == made["fingerprint"]


def same_model(made: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Return whether two results come from the same model, as far as both are of one form."""
    other_form = made["channels"] != again["channels"]
    return other_form or made["fingerprint"] == again["fingerprint"]


def source_again(made: Mapping[str, Any], source: ImageSource) -> ImageSource:
    """Return an image with a result's axes, if they fit it."""
    axes = made["axes"]
    fits = len(axes) == len(source.axes) and axes.endswith("S") == source.axes.endswith("S")
    return replace(source, axes=axes) if fits else source


def regions_again(made: Mapping[str, Any], layers: Iterable[Layer]) -> dict[str, Any]:
    """Return the settings of a result's regions, from the layers of their names.

    Raises
    ------
    ValueError
        If they are not there, or no layer ever said what the mask was.
    """
    if made["mask"] is None:
        return {}
    names = {key: made[key] for key in ("region", "leave_out") if key in made}
    found = {each.name: each for each in layers if isinstance(each, (Labels, Shapes))}
    missing = [name for name in names.values() if name not in found]
    if missing or not names:
        what = " and ".join(map(repr, missing)) if missing else "the mask it was made with"
        raise ValueError(f"{what} is not among the layers: open it again, or use the console")
    return {
        **{key: found[name] for key, name in names.items()},
        "all_planes": made.get("all_planes", False),
    }


def told(made: Mapping[str, Any]) -> str:
    """Return how a result was made, in a few lines that a person can read."""
    recipe, versions = made["recipe"], made.get("versions", {})
    lines = {
        "Image": f"{made.get('source', '?')}, axes {made['axes']}",
        "Model": f"{recipe['name']}, {recipe['iterations']} steps, seed {made['seed']}, "
        f"{made['fingerprint']}",
        "Rendered": f"{_RENDERED[made['ndim']]}, on {made['device']}, as {made['dtype']}",
        "Colours": made["colours"] if "S" in made["axes"] else "",
        "One exposure": f"{_EXPOSURE[made['statistics']]}, {_regions(made)}",
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


def _regions(made: Mapping[str, Any]) -> str:
    if made["mask"] is None:
        return "from the whole image"
    said = [f"from {made['region']!r}"] if "region" in made else []
    said += [f"without {made['leave_out']!r}"] if "leave_out" in made else []
    said += ["on all planes"] if made.get("all_planes") else []
    return " ".join([*said, f"mask {made['mask']}"])


def _channels(source: ImageSource, settings: Settings) -> int:
    from napari_noiser.stack.axes import Layout

    layout = Layout.of(tuple(source.array.shape), source.axes, settings.ndim)
    return layout.channels(settings.colours)


def _train(recipe: Any, source: ImageSource, settings: Settings, progress: Progress) -> Any:
    from napari_noiser.srm.training import train

    return train(
        recipe,
        channels=_channels(source, settings),
        ndim=settings.ndim,
        device=settings.device,
        seed=settings.seed,
        progress=progress,
    )
