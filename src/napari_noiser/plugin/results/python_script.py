"""The Python script that makes a result's array again, from what its layer knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.layers import Image

from napari_noiser.engine.options import verb_options
from napari_noiser.files.provenance import is_fitted
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.reapply import is_bundled, provenance_of


def as_python(layer: Image) -> str:
    """Return a script that makes a result's array again.

    Parameters
    ----------
    layer : napari.layers.Image
        The result: a layer that this package made.

    Returns
    -------
    str
        It ends with the array in `result`. The image is opened from its file, if its layer was
        read from one that `napari_noiser.io.open_image` opens; otherwise, and for a mask or a
        gain map, a line with ``...`` says what to fill in. A model that is not bundled is trained
        again, and checked; of one that was fitted to images, the file is to be filled in.

    Raises
    ------
    InputTypeError, InputError
        If the layer is no result.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> from napari_noiser import enhance_layer
    >>> print(as_python(enhance_layer(Image(np.eye(8), name="dim"), "noiser", device="cpu")))
    ... # doctest: +ELLIPSIS
    import napari_noiser as noiser
    <BLANKLINE>
    image = ...  # the array of layer 'dim'
    <BLANKLINE>
    model = noiser.load_model('noiser', samples=1, ndim=2)
    assert model.fingerprint == '...', 'this is another model than the result was made with'
    <BLANKLINE>
    result = noiser.enhance(
        image,
        model,
        axes='YX',
        ndim=2,
        statistics='stack',
        fill='auto',
        camera=None,
        repair=True,
        banding='keep',
        max_change=None,
        device='cpu',
        dtype='float32',
        colors='balanced',
        background='gray',
        gamma=None,
        brightness=0.0,
        contrast=1.0,
    )
    <BLANKLINE>
    """
    provenance = provenance_of(layer)
    paragraphs = [_image(provenance, layer), _model(provenance)]
    if provenance["mask"] is not None:
        paragraphs.append(_mask(provenance))
    if provenance["gain_map"] is not None:
        paragraphs.append(_gain_map(provenance))
    if "path" in provenance:
        paragraphs.append(_on_disk(provenance, layer))
    else:
        function, arguments = f"noiser.{provenance['verb']}", _arguments(provenance)
        paragraphs.append(f"result = {_call(function, ['image', 'model'], arguments)}")
    text = "\n\n".join(["import napari_noiser as noiser", *paragraphs, ""]).rstrip() + "\n"
    return f"from dataclasses import replace\n\n{text}" if "replace(noiser." in text else text


def _image(provenance: Mapping[str, Any], layer: Image) -> str:
    path = provenance.get("source_path")
    array = layer.data[0] if layer.multiscale else layer.data
    if path and _opens(path, array.shape):
        return f"image = noiser.io.open_image({str(path)!r}).array"
    return f"image = ...  # the array of layer {provenance.get('source')!r}"


def _opens(path: str, shape: tuple[int, ...]) -> bool:
    """Return whether a file holds the whole image: other readers split it, or add axes."""
    from napari_noiser.files.open_image import open_image

    try:
        return tuple(open_image(path).array.shape) == tuple(shape)
    except (OSError, ValueError, ImportError):
        return False


def _model(provenance: Mapping[str, Any]) -> str:
    form = f"samples={provenance['samples']!r}, ndim={provenance['ndim']!r}"
    if is_fitted(provenance):
        name = provenance["recipe"]["name"]
        line = f"noiser.load_model(...)  # the file of the fitted model {name!r}"
    elif is_bundled(provenance):
        line = f"noiser.load_model({provenance['recipe']['name']!r}, {form})"
    else:
        trained = f"seed={provenance['seed']!r}, device={provenance['trained_on']!r}"
        line = f"noiser.train({_recipe(provenance['recipe'])}, {form}, {trained})"
    check = f"model.fingerprint == {provenance['fingerprint']!r}"
    otherwise = "this is another model than the result was made with"
    return f"model = {line}\nassert {check}, {otherwise!r}"


def _recipe(values: Mapping[str, Any]) -> str:
    """Return a recipe as a script writes it: as changes of a named one, if that is possible."""
    recipe = Recipe.from_dict(values)
    from_dict = f"noiser.recipes.Recipe.from_dict({dict(values)!r})"
    if recipe.name not in RECIPES:
        return from_dict
    named = RECIPES[recipe.name].to_dict()
    changed = {name: value for name, value in recipe.to_dict().items() if value != named[name]}
    if {"source", "exposure"} & set(changed):
        return from_dict
    known = f"noiser.RECIPES[{recipe.name!r}]"
    arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    return f"replace({known}, {arguments})" if changed else known


def _mask(provenance: Mapping[str, Any]) -> str:
    fingerprint = repr(provenance["mask"])
    line = f"mask = ...  # not 0 where a pixel counts in the statistics; fingerprint {fingerprint}"
    options = ", all_planes=True" if provenance.get("all_planes") else ""
    on = f"viewer.layers[{provenance.get('source')!r}]{options}"
    terms = [
        f"{sign}noiser.region_mask(viewer.layers[{provenance[key]!r}], {on})"
        for key, sign in (("region", ""), ("leave_out", "~"))
        if key in provenance
    ]
    return f"{line}\n# In napari: mask = {' & '.join(terms)}" if terms else line


def _gain_map(provenance: Mapping[str, Any]) -> str:
    line = (
        f"gain_map = ...  # how much pixels are amplified; fingerprint {provenance['gain_map']!r}"
    )
    if "gain_layer" not in provenance:
        return line
    return f"{line}\n# In napari: gain_map = viewer.layers[{provenance['gain_layer']!r}].data"


def _on_disk(provenance: Mapping[str, Any], layer: Image) -> str:
    """Return the call for a result that may be larger than memory, into a new file."""
    name = Path(provenance["path"]).name.removesuffix(".ome.zarr")
    arguments = _arguments(provenance)
    axes = arguments.pop("axes")  # which are in space
    space = LayerSnapshot.from_layer(layer, provenance["axes"]).spatial_metadata
    call = _call(
        f"noiser.io.{provenance['verb']}_to_file",
        ["image", repr(f"{name} again.ome.zarr"), "model"],
        {"space": f"noiser.io.{space!r}", **arguments},
    )
    return f"path = {call}\nresult = noiser.io.OmeZarr.open(path, {axes}).levels[0]"


def _arguments(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return all options that decide the result, as a script writes them."""
    arguments: dict[str, str] = {}
    for name, option in verb_options(provenance["verb"]).items():
        if name in ("mask", "gain_map"):
            arguments |= {name: name} if provenance[name] is not None else {}
        elif option.recorded:
            arguments[name] = repr(option.from_json(provenance[name]))
    camera = arguments["camera"].replace("CameraNoise", "noiser.camera.CameraNoise")
    return {**arguments, "camera": camera}


def _call(function: str, arguments: list[str], options: Mapping[str, str]) -> str:
    given = [*arguments, *(f"{name}={value}" for name, value in options.items())]
    return "\n".join([f"{function}(", *(f"    {each}," for each in given), ")"])
