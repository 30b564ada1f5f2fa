"""How a result was made: read from its layer, and done again on another image."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Shapes

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser.engine.options import verb_options
from napari_noiser.files.provenance import PROVENANCE, complete_provenance, is_fitted
from napari_noiser.methods.noiser.recipe import BUNDLED, Recipe
from napari_noiser.plugin.layers.enhance_layer import denoise_layer, enhance_layer
from napari_noiser.plugin.layers.preview_layer import is_preview
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_type
from napari_noiser.plugin.results.summary import format_gain_map, format_regions
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.generators import recipe_to_train, train_task

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_noiser.methods.base import Model

ANOTHER = (
    "the model was trained again, and became another one than the result's: on another device, or "
    "with another version of torch"
)
"""What to say where `same_model` says no."""

_NEEDED = {"recipe", "samples", "ndim", "seed", "trained_on", "fingerprint", "axes"}


def reapply(
    layer: Image,
    on: Image,
    *,
    model: str | PathLike[str] | Model | None = None,
    mask: ArrayLike | None = None,
    gain_map: ArrayLike | Image | None = None,
    progress: Progress = False,
) -> Image:
    """Enhance or denoise another image as a result was made.

    Parameters
    ----------
    layer : napari.layers.Image
        The result: a layer that this package made.
    on : napari.layers.Image
        The other image. The result's axes are taken if they fit it, and otherwise its own;
        of a bundled model or a recipe, the form for its colors.
    model : str, path or model, optional
        What the result was made with. Needed if that was fitted to images, since no recipe makes
        it again; any other one is at hand, or trained again.
    mask : array, optional
        As in `enhance`. Needed if the result was made with one, of which a layer keeps but a
        fingerprint: see `region_mask`.
    gain_map : array or Image, optional
        As in `enhance_layer`. Needed if the result was made with one; of the other image.
    progress : bool or callable
        As in `enhance`.

    Returns
    -------
    napari.layers.Image
        As of `enhance_layer` or `denoise_layer`.

    Raises
    ------
    InputTypeError
        If `on` is no image layer.
    InputError
        If `layer` is no result, its mask, gain map or fitted model is missing, `model` has not the
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
    ('second (brightened)', 2.0)
    """
    provenance = provenance_of(layer)
    if provenance["mask"] is not None and mask is None:
        raise InputError(
            "",
            f"{layer.name!r} was made with a mask ({format_regions(provenance)}), of which it "
            "keeps but a fingerprint: pass mask=, from region_mask or as it was passed before",
        )
    if provenance["gain_map"] is not None and gain_map is None:
        raise InputError(
            "",
            f"{layer.name!r} was made with a gain map ({format_gain_map(provenance)}): pass "
            "gain_map=, of the other image, an array or a layer",
        )
    known = [] if model is None else [_checked_model(model, provenance)]
    source = with_axes_of(provenance, LayerSnapshot.from_layer(on))
    settings = settings_from_provenance(provenance, known)
    make: Any = denoise_layer if settings.verb == "denoise" else enhance_layer
    options = settings.resolved
    samples = source.layout(options["ndim"]).model_samples(options["colors"])
    trained = None
    if recipe := recipe_to_train(settings, samples):
        steps = train_task(recipe, samples, options["ndim"], options["device"], settings.seed)
        trained = run_with_progress(steps, progress, "training")
    result: Image = make(
        on,
        settings.model if trained is None else trained,
        **settings.with_options(axes=source.axes, mask=mask, gain_map=gain_map).options,
        progress=progress,
    )
    if not same_model(provenance, result.metadata[PROVENANCE]):
        warnings.warn(ANOTHER, stacklevel=2)
    return result


def provenance_of(layer: Layer | None) -> dict[str, Any]:
    """Return the provenance of a result, under today's names."""
    if not isinstance(layer, Layer | None):
        raise InputTypeError("layer", f"must be an Image layer, got {describe_type(layer)}")
    provenance = None if layer is None else layer.metadata.get(PROVENANCE)
    known = complete_provenance(provenance) if isinstance(provenance, dict) else {}
    if not known.keys() >= _NEEDED or is_preview(layer):
        name = "no layer" if layer is None else repr(layer.name)
        raise InputError(
            "layer",
            "must be a result of napari-noiser, which says in its metadata how it was made; "
            f"got {name}",
        )
    return known


def settings_from_provenance(
    provenance: Mapping[str, Any], known: Iterable[Model] = ()
) -> Settings:
    """Return the settings that a result was made with, but for its regions, gain map and axes.

    Its model is the one of the same fingerprint among those that are known; or else the name of
    a bundled one, or a recipe that is to be trained again, from its seed.
    """
    found = [each for each in known if each.fingerprint == provenance["fingerprint"]]
    options = {
        name: option.from_json(provenance[name])
        for name, option in verb_options(provenance["verb"]).items()
        if option.recorded and not option.of_image
    }
    if provenance["camera_estimated"]:  # of one image; of another it is estimated anew
        options["camera"] = "auto"
    return Settings(
        verb=provenance["verb"],
        model=found[0] if found else _model_from_provenance(provenance),
        options=options,
        seed=provenance["seed"],
    )


def _model_from_provenance(provenance: Mapping[str, Any]) -> str | Recipe:
    """Return the name of a result's bundled model, or the recipe to train it again by."""
    name = provenance["recipe"]["name"]
    if is_fitted(provenance):
        raise InputError(
            "",
            f"{name!r} of fingerprint {provenance['fingerprint']} was fitted to images and "
            "cannot be made again from its recipe: load its file into the list of models, or in "
            "a script pass model=, the model or its file",
        )
    return str(name) if is_bundled(provenance) else Recipe.from_dict(provenance["recipe"])


def _checked_model(model: str | PathLike[str] | Model, provenance: Mapping[str, Any]) -> Model:
    """Return a model, or load it, if it is a result's; otherwise raise an `InputError`."""
    from napari_noiser.methods.registry import load_model

    found: Any = model
    if isinstance(model, (str, PathLike)) or not hasattr(model, "fingerprint"):
        found = load_model(found, samples=provenance["samples"], ndim=provenance["ndim"])
    if found.fingerprint != provenance["fingerprint"]:
        raise InputError(
            "model",
            f"must be the one that the result was made with, {provenance['recipe']['name']!r} of "
            f"fingerprint {provenance['fingerprint']}; got {found.name!r} of {found.fingerprint}",
        )
    checked: Model = found
    return checked


def is_bundled(provenance: Mapping[str, Any]) -> bool:
    """Return whether a result's model is one that comes with the package."""
    from napari_noiser.methods.registry import load_model

    name, samples, ndim = provenance["recipe"]["name"], provenance["samples"], provenance["ndim"]
    if (name, samples, ndim) not in BUNDLED:
        return False
    bundled = load_model(name, samples=samples, ndim=ndim)
    return bool(bundled.fingerprint == provenance["fingerprint"])


def same_model(provenance: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Return whether two results come from the same model, as far as both are of one form."""
    other_form = provenance["samples"] != again["samples"]
    return other_form or bool(provenance["fingerprint"] == again["fingerprint"])


def with_axes_of(provenance: Mapping[str, Any], source: LayerSnapshot) -> LayerSnapshot:
    """Return an image with a result's axes, if they fit it."""
    axes = provenance["axes"]
    fits = len(axes) == len(source.axes) and axes.endswith("S") == source.axes.endswith("S")
    return replace(source, axes=axes) if fits else source


def regions_from_provenance(
    provenance: Mapping[str, Any], layers: Iterable[Layer]
) -> dict[str, Any]:
    """Return the settings of a result's regions, from the layers of their names."""
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
    """Return the setting of a result's gain map, from the image layer of its name."""
    if provenance["gain_map"] is None:
        return {}
    found = {each.name: each for each in layers if isinstance(each, Image)}
    name = provenance.get("gain_layer")
    if name not in found:
        which = provenance["gain_map"] if name is None else repr(name)
        raise InputError(
            "", f"the gain map {which} is not among the layers: open it again, or use the console"
        )
    return {"gain_map": found[name]}
