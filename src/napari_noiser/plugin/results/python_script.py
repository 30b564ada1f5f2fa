"""The Python script that makes a result's array again, from what its layer knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari.layers import Image

from napari_noiser.files.provenance import EARLIER, is_fitted
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.reapply import is_bundled, provenance_of

__all__ = ["as_python"]

_SAID_OTHERWISE = ("camera", "camera_estimated", "gain")
_SAME = ("axes", "ndim", "statistics", "brightness", "contrast", "dtype", "device")


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
        read from one that `napari-noiser` opens; otherwise, and for a mask or a gain map, a line
        with ``...`` says what to fill in. A model that is not bundled is trained again, and
        checked; of one that was fitted to images, the file is to be filled in.

    Raises
    ------
    ValueError
        If the layer is no result.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> from napari_noiser import enhance_layer
    >>> print(as_python(enhance_layer(Image(np.eye(8), name="dim"), device="cpu")))
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
        brightness=0.0,
        contrast=1.0,
        dtype='float32',
        device='cpu',
    )
    <BLANKLINE>
    """
    provenance = provenance_of(layer)
    paragraphs = [_image(provenance, layer), _model(provenance)]
    if provenance["mask"] is not None:
        paragraphs.append(_mask(provenance))
    if provenance["gain"] is not None:
        paragraphs.append(_gain(provenance))
    paragraphs.append(
        _on_disk(provenance, layer) if "path" in provenance else _in_memory(provenance)
    )
    text = "\n\n".join(paragraphs)
    return "\n".join([*_imports(text), "", text, ""])


def _imports(text: str) -> Iterator[str]:
    """Yield a line for each name that a script uses."""
    if "replace(" in text:
        yield "from dataclasses import replace\n"
    yield "import napari_noiser as noiser"
    if "OmeZarr" in text:
        yield "from napari_noiser.files.writers.ome_zarr import OmeZarr"
    if "open_image(" in text:
        yield "from napari_noiser.files.open_image import open_image"


def _image(provenance: Mapping[str, Any], layer: Image) -> str:
    path = provenance.get("source_path")
    if path and _opens(path, _array(layer).shape):
        return f"image = open_image({str(path)!r}).array"
    return f"image = ...  # the array of layer {provenance.get('source')!r}"


def _opens(path: str, shape: tuple[int, ...]) -> bool:
    """Return whether a file holds the whole image: other readers split it, or add axes."""
    from napari_noiser.files.open_image import open_image

    try:
        return tuple(open_image(path).array.shape) == tuple(shape)
    except (OSError, ValueError, ImportError):
        return False


def _model(provenance: Mapping[str, Any]) -> str:
    form = f"samples={provenance['samples']}, ndim={provenance['ndim']}"
    if is_fitted(provenance):
        name = provenance["recipe"]["name"]
        line = f"noiser.load_model(...)  # the file of the fitted model {name!r}"
    elif is_bundled(provenance):
        line = f"noiser.load_model({provenance['recipe']['name']!r}, {form})"
    else:
        trained = f"seed={provenance['seed']}, device={provenance['trained_on']!r}"
        line = f"noiser.train({_recipe(provenance['recipe'])}, {form}, {trained})"
    check = f"model.fingerprint == {provenance['fingerprint']!r}"
    said = "this is another model than the result was made with"
    return f"model = {line}\nassert {check}, {said!r}"


def _recipe(values: Mapping[str, Any]) -> str:
    """Return a recipe as what it changes of a named one, if a script can say it so."""
    from napari_noiser.methods.noiser.recipe import RECIPES, Recipe

    recipe = Recipe.from_dict(values)
    if recipe.name not in RECIPES:
        return f"noiser.recipes.Recipe.from_dict({dict(values)!r})"
    named = RECIPES[recipe.name].to_dict()
    changed = {name: value for name, value in recipe.to_dict().items() if value != named[name]}
    if {"source", "exposure"} & set(changed):
        return f"noiser.recipes.Recipe.from_dict({dict(values)!r})"
    known = f"noiser.RECIPES[{recipe.name!r}]"
    arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    return f"replace({known}, {arguments})" if changed else known


def _mask(provenance: Mapping[str, Any]) -> str:
    lines = [
        f"mask = ...  # not 0 where a pixel sets the exposure; fingerprint {provenance['mask']}"
    ]
    options = ", all_planes=True" if provenance.get("all_planes") else ""
    on = f"viewer.layers[{provenance.get('source')!r}]{options}"
    terms = [
        f"{sign}noiser.region_mask(viewer.layers[{provenance[key]!r}], {on})"
        for key, sign in (("region", ""), ("leave_out", "~"))
        if key in provenance
    ]
    return "\n".join(lines + ([f"# In napari: mask = {' & '.join(terms)}"] if terms else []))


def _gain(provenance: Mapping[str, Any]) -> str:
    line = f"gain = ...  # the gain map; fingerprint {provenance['gain']}"
    if "gain_layer" not in provenance:
        return line
    return f"{line}\n# In napari: gain = viewer.layers[{provenance['gain_layer']!r}].data"


def _in_memory(provenance: Mapping[str, Any]) -> str:
    return f"result = {_call('enhance', ['image', 'model'], _options(provenance))}"


def _on_disk(provenance: Mapping[str, Any], layer: Image) -> str:
    """Return the call for a result that may be larger than memory, into a new file."""
    name = Path(provenance["path"]).name.removesuffix(".ome.zarr")
    options = _options(provenance)
    space = LayerSnapshot.from_layer(layer, provenance["axes"]).spatial_metadata
    options["space"] = f"noiser.{space!r}"
    axes = options.pop("axes")
    call = _call("enhance_to_file", ["image", repr(f"{name} again.ome.zarr"), "model"], options)
    return f"path = {call}\nresult = OmeZarr.open(path, {axes}).levels[0]"


def _options(provenance: Mapping[str, Any]) -> dict[str, str]:
    from napari_noiser.camera.noise_model import camera_from_json

    options = {name: repr(provenance[name]) for name in _SAME}
    changed = {name: provenance[name] for name in EARLIER if provenance[name] != EARLIER[name]}
    options |= {
        name: repr(value) for name, value in changed.items() if name not in _SAID_OTHERWISE
    }
    if provenance["camera"] is not None or _restores(provenance):
        camera = repr(camera_from_json(provenance["camera"]))  # left out, it would be estimated
        options["camera"] = camera.replace("CameraNoise", "noiser.camera.CameraNoise")
    return options | {name: name for name in ("mask", "gain") if provenance[name] is not None}


def _restores(provenance: Mapping[str, Any]) -> bool:
    """Return whether a result's model sees light through noise, and so asks for the camera."""
    from napari_noiser.methods.noiser.recipe import Recipe

    return is_fitted(provenance) or Recipe.from_dict(provenance["recipe"]).is_denoiser


def _call(function: str, arguments: list[str], options: Mapping[str, str]) -> str:
    given = [*arguments, *(f"{name}={value}" for name, value in options.items())]
    return "\n".join([f"noiser.{function}(", *(f"    {each}," for each in given), ")"])


def _array(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data
