"""What the console does with layers: an enhanced one, or one that is enhanced as it is shown."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from inspect import signature
from os import PathLike
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_noiser._errors import InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser.engine.contrast_limits import contrast_limits
from napari_noiser.plugin.layers.gain_map import GainMapLayer
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.destinations import enhance_in_memory, enhance_live

if TYPE_CHECKING:
    from napari_noiser.methods.noiser.model import Model

__all__ = ["enhance_layer", "live_layer"]


def enhance_layer(
    layer: Layer,
    model: str | PathLike[str] | Model = "noiser",
    *,
    axes: str | None = None,
    progress: Progress = False,
    **options: Any,
) -> Image:
    """Enhance an image layer, and return the result as a new layer in the same place.

    Parameters
    ----------
    layer : napari.layers.Image
        Of any dimension; level 0 of a multiscale layer is taken. It is never changed.
    model : str, path or Model
        As in `enhance`.
    axes : str, optional
        As in `enhance`; left out, it is read from the layer's axis labels ("t", "channel", "z",
        ...) and `rgb`, and unnamed axes are taken for YX, ZYX, TZYX, TCZYX.
    progress : bool or callable
        As in `enhance`: dask's own affair, if the layer's data are a dask array.
    **options
        ndim, colors, statistics, mask, gain, camera, repair, max_change, conserve, background,
        output, brightness, contrast, device, tile, memory_limit, dtype, out: as in `enhance`.
        gain may be an image layer, too, whose name the result then remembers.

    Returns
    -------
    napari.layers.Image
        Not yet in a viewer (``viewer.add_layer(...)``). It has the source's scale, units, axis
        labels, transforms, look and metadata; ``metadata["napari_noiser"]`` says how it was made,
        and under "linearity" how far it is from its raw data: see `linearity`.
        Its contrast limits start at the background: see
        `napari_noiser.engine.contrast_limits.contrast_limits`. A dask array is measured now, and
        rendered as it is shown; its limits come from a few chunks, and its linearity is left out,
        for which the image would have to be computed anew.

    Raises
    ------
    TypeError
        If `layer` is no image layer, or as in `enhance`.
    ValueError
        As in `enhance`.

    Warns
    -----
    UserWarning
        If a 3-D model is used though the step in z differs from the pixel size by a half or more.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> dim = Image(np.eye(16), scale=(0.5, 0.5), name="dim")
    >>> enhanced = enhance_layer(dim)
    >>> enhanced.name, enhanced.scale.tolist()
    ('dim (noiser)', [0.5, 0.5])
    """
    from napari_noiser.arrays.image_array import is_dask

    _check_options("enhance_layer", options)
    source = _source(layer, axes, options)
    options, told = _with_gain(source, options)
    if is_dask(source.array) and options.get("out") is None:
        return _show_lazily(source, model, progress, options, told)
    enhanced = run_with_progress(
        enhance_in_memory(source, model, **options), progress, "enhancing"
    )
    return source.result(enhanced.data, {**enhanced.provenance, **told}, enhanced.limits)


def live_layer(
    layer: Layer,
    model: str | PathLike[str] | Model = "noiser",
    *,
    axes: str | None = None,
    progress: Progress = False,
    **options: Any,
) -> Image:
    """Measure an image layer, and return a new layer that is rendered as it is shown.

    It takes no memory and is there as soon as the image is measured; each plane is rendered anew
    when it comes into view. *Preferences > Experimental > Render Layers Asynchronously* keeps the
    sliders moving meanwhile.

    Parameters
    ----------
    layer : napari.layers.Image
        Of any dimension; of a multiscale layer each level is measured for itself. Its data are
        read whenever the result is looked at.
    model : str, path or Model
        As in `enhance`.
    axes : str, optional
        As in `enhance_layer`.
    progress : bool or callable
        As in `enhance`, of the measuring.
    **options
        ndim, colors, statistics, mask, gain, camera, repair, max_change, conserve, background,
        output, brightness, contrast, device, tile, memory_limit, dtype: as in `enhance`; gain as
        in `enhance_layer`.

    Returns
    -------
    napari.layers.Image
        As of `enhance_layer`, but its data are views: ``numpy.asarray(layer.data[5])`` renders a
        plane. Of volumes (ndim=3) a plane takes its neighbors, two above and two below.

    Raises
    ------
    TypeError
        If `layer` is no image layer, or as in `enhance`.
    ValueError
        As in `enhance`.

    Warns
    -----
    UserWarning
        As in `enhance_layer`.

    See Also
    --------
    enhance_to_file : A result larger than memory, kept.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> dim = Image(np.random.default_rng(0).poisson(3, (9, 32, 32)), name="dim")
    >>> live = live_layer(dim)
    >>> np.asarray(live.data[4]).shape
    (32, 32)
    """
    _check_options("live_layer", options, "out")
    source = _source(layer, axes, options)
    options, told = _with_gain(source, options)
    enhanced = run_with_progress(enhance_live(source, model, **options), progress, "measuring")
    return source.result(enhanced.data, {**enhanced.provenance, **told}, enhanced.limits)


def _check_options(function: str, options: Mapping[str, Any], *refused: str) -> None:
    from napari_noiser.engine.plan import make_plan

    unknown = set(options) - set(signature(make_plan).parameters) | set(options) & set(refused)
    if unknown:
        raise InputTypeError("", f"{function} takes no argument {sorted(unknown)}; see enhance")


def _source(layer: Layer, axes: str | None, options: Mapping[str, Any]) -> LayerSnapshot:
    source = LayerSnapshot.from_layer(layer, axes)
    note = source.anisotropy_warning(options.get("ndim", 2))
    if note:
        warnings.warn(note, stacklevel=3)
    return source


def _with_gain(
    source: LayerSnapshot, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options with the array of a gain map's layer, and what to tell of that layer."""
    if not isinstance(options.get("gain"), Layer):
        return dict(options), {}
    held = GainMapLayer.from_layer(options["gain"])
    gain = held.resample_to(source, options.get("ndim", 2))
    return {**options, "gain": gain}, {"gain_layer": held.name}


def _show_lazily(
    source: LayerSnapshot,
    model: str | PathLike[str] | Model,
    progress: Progress,
    options: Mapping[str, Any],
    told: Mapping[str, str],
) -> Image:
    """Measure a dask array now; napari would have to, for every plane that it shows."""
    from napari_noiser.engine.dask_graph import make_lazy_plan

    plan = make_lazy_plan(source.array, model, axes=source.axes, progress=progress, **options)
    plan = plan.measured()
    result = plan.result()
    provenance = {**plan.describe(), **told}
    return source.result(
        result, provenance, contrast_limits(result, source.rgb, provenance["output"])
    )
