"""How a result was made: read from its layer, and done again on another image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Shapes

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress
from napari_noiser.files.provenance import EARLIER, PROVENANCE, is_fitted
from napari_noiser.plugin.layers.enhance_layer import enhance_layer
from napari_noiser.plugin.layers.preview_layer import is_preview
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_type
from napari_noiser.plugin.results.summary import format_gain_map, format_regions
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.generators import recipe_to_train

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_noiser.methods.noiser.recipe import Recipe
    from napari_noiser.methods.registry import AnyModel

__all__ = [
    "ANOTHER",
    "gain_map_from_provenance",
    "provenance_of",
    "reapply",
    "regions_from_provenance",
    "same_model",
    "settings_from_provenance",
    "with_axes_of",
]

ANOTHER = (
    "the model was trained again, and became another one than the result's: on another device, or "
    "with another version of torch"
)
"""What to say where `same_model` says no."""

_LATER = ("repair", "max_change", "conserve", "background")
_NEEDED = {
    *("recipe", "samples", "ndim", "seed", "trained_on", "fingerprint", "axes", "statistics"),
    *("mask", "brightness", "contrast", "dtype", "device"),
}


def reapply(
    layer: Image,
    on: Image,
    *,
    model: str | PathLike[str] | AnyModel | None = None,
    mask: ArrayLike | None = None,
    gain: ArrayLike | Image | None = None,
    progress: Progress = False,
) -> Image:
    """Enhance another image as a result was made.

    Parameters
    ----------
    layer : napari.layers.Image
        The result: a layer that this package made.
    on : napari.layers.Image
        The image to enhance. The result's axes are taken if they fit it, and otherwise its own;
        of a bundled model or a recipe, the form for its colors.
    model : str, path or model, optional
        What the result was made with. Needed if that was fitted to images, since no recipe makes
        it again; any other one is at hand, or trained again.
    mask : array, optional
        As in `enhance`. Needed if the result was made with one, of which a layer keeps but a
        fingerprint: see `region_mask`.
    gain : array or Image, optional
        As in `enhance_layer`. Needed if the result was made with one; of the other image.
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
        If `layer` is no result, its mask, gain or fitted model is missing, `model` has not the
        fingerprint of the result's, or as in `enhance`.

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
    >>> again = reapply(result, second)
    >>> again.name, again.metadata["napari_noiser"]["contrast"]
    ('second (noiser-es)', 2.0)
    """
    provenance = provenance_of(layer)
    if provenance["mask"] is not None and mask is None:
        raise InputError(
            "",
            f"{layer.name!r} was made with a mask ({format_regions(provenance)}), of which it "
            f"keeps "
            f"but a "
            "fingerprint: pass mask=, from region_mask or as it was passed before",
        )
    if provenance["gain"] is not None and gain is None:
        raise InputError(
            "",
            f"{layer.name!r} was made with a gain map ({format_gain_map(provenance)}): pass "
            f"gain=, of "
            f"the "
            "other image, an array or a layer",
        )
    known = [] if model is None else [_checked_model(model, provenance)]
    source, settings = (
        with_axes_of(provenance, LayerSnapshot.from_layer(on)),
        settings_from_provenance(provenance, known),
    )
    taken: Any = settings.model
    recipe = recipe_to_train(settings, _samples(source, settings))
    if recipe is not None:
        taken = _train(recipe, source, settings, progress)
    result = enhance_layer(
        on, taken, axes=source.axes, mask=mask, gain=gain, progress=progress, **settings.options
    )
    if not same_model(provenance, result.metadata[PROVENANCE]):
        warnings.warn(ANOTHER, stacklevel=2)
    return result


def provenance_of(layer: Layer | None) -> dict[str, Any]:
    """Return how a result was made.

    Raises
    ------
    TypeError
        If it is no layer.
    ValueError
        If the layer is no result.
    """
    if not isinstance(layer, Layer | None):
        raise InputTypeError("layer", f"must be an Image layer, got {describe_type(layer)}")
    provenance = None if layer is None else layer.metadata.get(PROVENANCE)
    if not isinstance(provenance, dict) or not provenance.keys() >= _NEEDED or is_preview(layer):
        name = "no layer" if layer is None else repr(layer.name)
        raise InputError(
            "layer",
            f"must be a result of napari-noiser, which says in its metadata how it was "
            f"made; got {name}",
        )
    return {**EARLIER, **provenance}


def settings_from_provenance(
    provenance: Mapping[str, Any], known: Iterable[AnyModel] = ()
) -> Settings:
    """Return the settings that a result was made with, but for its regions, gain map and axes.

    Its model is the one of the same fingerprint among those that are known; or else the name of
    a bundled one, or a recipe that is to be trained again, from its seed.

    Raises
    ------
    ValueError
        If the model was fitted to images, and is not among those that are known.
    """
    from napari_noiser.camera.noise_model import camera_from_json

    names = ("ndim", "colors", "statistics", "output", "brightness", "contrast", "dtype")
    found = [each for each in known if each.fingerprint == provenance["fingerprint"]]
    model = found[0] if found else _model_from_provenance(provenance)
    same = {name: provenance[name] for name in (*names, *_LATER, "device", "seed")}
    # What was estimated of one image is estimated anew of another.
    camera = "auto" if provenance["camera_estimated"] else camera_from_json(provenance["camera"])
    return Settings(model=model, camera=camera, **same)


def _model_from_provenance(provenance: Mapping[str, Any]) -> str | Recipe:
    """Return the name of a result's bundled model, or the recipe to train it again by."""
    from napari_noiser.methods.noiser.recipe import Recipe

    name = provenance["recipe"]["name"]
    if is_fitted(provenance):
        raise InputError(
            "",
            f"{name!r} of fingerprint {provenance['fingerprint']} was fitted to images and "
            f"cannot be "
            "made again from its recipe: load its file into the list of models, or in a script "
            "pass model=, the model or its file",
        )
    return str(name) if is_bundled(provenance) else Recipe.from_dict(provenance["recipe"])


def _checked_model(
    model: str | PathLike[str] | AnyModel, provenance: Mapping[str, Any]
) -> AnyModel:
    """Return a model, or load it, if it is a result's; otherwise raise a `ValueError`."""
    from napari_noiser.methods.registry import load_model

    if isinstance(model, (str, PathLike)) or not hasattr(model, "fingerprint"):
        model = load_model(model, samples=provenance["samples"], ndim=provenance["ndim"])
    if model.fingerprint != provenance["fingerprint"]:
        raise InputError(
            "model",
            f"must be the one that the result was made with, "
            f"{provenance['recipe']['name']!r} of "
            f"fingerprint {provenance['fingerprint']}; got {model.name!r} of {model.fingerprint}",
        )
    return model


def is_bundled(provenance: Mapping[str, Any]) -> bool:
    """Return whether a result's model is one that comes with the package."""
    from napari_noiser.methods.noiser.model import BUNDLED, load_model

    name, samples, ndim = provenance["recipe"]["name"], provenance["samples"], provenance["ndim"]
    if (name, samples, ndim) not in BUNDLED:
        return False
    return load_model(name, samples=samples, ndim=ndim).fingerprint == provenance["fingerprint"]


def same_model(provenance: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Return whether two results come from the same model, as far as both are of one form."""
    other_form = provenance["samples"] != again["samples"]
    return other_form or provenance["fingerprint"] == again["fingerprint"]


def with_axes_of(provenance: Mapping[str, Any], source: LayerSnapshot) -> LayerSnapshot:
    """Return an image with a result's axes, if they fit it."""
    axes = provenance["axes"]
    fits = len(axes) == len(source.axes) and axes.endswith("S") == source.axes.endswith("S")
    return replace(source, axes=axes) if fits else source


def regions_from_provenance(
    provenance: Mapping[str, Any], layers: Iterable[Layer]
) -> dict[str, Any]:
    """Return the settings of a result's regions, from the layers of their names.

    Raises
    ------
    ValueError
        If they are not there, or no layer ever said what the mask was.
    """
    if provenance["mask"] is None:
        return {}
    names = {key: provenance[key] for key in ("region", "leave_out") if key in provenance}
    found = {each.name: each for each in layers if isinstance(each, (Labels, Shapes))}
    missing = [name for name in names.values() if name not in found]
    if missing or not names:
        what = " and ".join(map(repr, missing)) if missing else "the mask it was made with"
        raise InputError("", f"{what} is not among the layers: open it again, or use the console")
    return {
        **{key: found[name] for key, name in names.items()},
        "all_planes": provenance.get("all_planes", False),
    }


def gain_map_from_provenance(
    provenance: Mapping[str, Any], layers: Iterable[Layer]
) -> dict[str, Any]:
    """Return the setting of a result's gain map, from the image layer of its name.

    Raises
    ------
    ValueError
        If it is not there, or no layer ever held it.
    """
    if provenance["gain"] is None:
        return {}
    found = {each.name: each for each in layers if isinstance(each, Image)}
    name = provenance.get("gain_layer")
    if name not in found:
        what = f"the gain map {provenance['gain']}" if name is None else f"the gain map {name!r}"
        raise InputError("", f"{what} is not among the layers: open it again, or use the console")
    return {"gain": found[name]}


def _samples(source: LayerSnapshot, settings: Settings) -> int:
    from napari_noiser.arrays.layout import Layout

    layout = Layout.of(tuple(source.array.shape), source.axes, settings.ndim)
    return layout.model_samples(settings.colors)


def _train(recipe: Any, source: LayerSnapshot, settings: Settings, progress: Progress) -> Any:
    from napari_noiser.methods.noiser.training import train

    return train(
        recipe,
        samples=_samples(source, settings),
        ndim=settings.ndim,
        device=settings.device,
        seed=settings.seed,
        progress=progress,
    )
