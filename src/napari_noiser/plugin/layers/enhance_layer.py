"""What the console does with layers: enhanced, denoised, or rendered as they are shown."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack

from napari.layers import Image, Layer

from napari_noiser._errors import InputTypeError
from napari_noiser._progress import Progress, run_with_progress
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.engine.options import (
    PROGRESS_TITLES,
    DenoiseOptions,
    EnhanceOptions,
    ResolvedOptions,
    Verb,
    check_options,
    documented,
)
from napari_noiser.plugin.layers.gain_map import GainMapSnapshot
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.destinations import TaskRequest, enhance_in_memory, enhance_live

if TYPE_CHECKING:
    from napari_noiser.methods.base import Method


@documented("enhance")
def enhance_layer(
    layer: Layer,
    model: str | PathLike[str] | Method = "auto",
    **options: Unpack[EnhanceOptions],
) -> Image:
    """Enhance an image layer, and return the display as a new layer.

    Parameters
    ----------
    layer : napari.layers.Image
        Of any dimension; level 0 of a multiscale layer is taken. It is never changed.
    model : str, path or model
        As in `enhance`.
    {options}

    Returns
    -------
    napari.layers.Image
        Not yet in a viewer (``viewer.add_layer(...)``). It has the source's scale, units, axis
        labels, transforms, appearance and metadata; ``metadata["napari_noiser"]`` says how it was
        made. Its contrast limits start at the background: see
        `napari_noiser.engine.display.contrast_limits`.

    Raises
    ------
    InputTypeError
        If `layer` is no image layer, or as in `enhance`.
    InputError, MemoryError
        As in `enhance`.

    Warns
    -----
    UserWarning
        If a 3-D model is used though the step in z differs from the pixel size by a half or more.

    See Also
    --------
    denoise_layer : Light in the units of the image, for measuring.
    live_layer : A layer that is rendered as it is shown.

    Notes
    -----
    Axes that are left out are read from the layer's axis labels ("t", "channel", "z", ...) and
    `rgb`; unnamed ones are taken for YX, ZYX, TZYX, TCZYX. A gain map may be an image layer, too,
    whose name the result then remembers. A dask array is measured now, and rendered as it is
    shown; its contrast limits come from a few chunks, and progress is dask's own affair.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> dim = Image(np.eye(16), scale=(0.5, 0.5), name="dim")
    >>> enhanced = enhance_layer(dim, "noiser")
    >>> enhanced.name, enhanced.scale.tolist()
    ('dim (brightened)', [0.5, 0.5])
    """
    return _run("enhance", layer, model, options)


@documented("denoise")
def denoise_layer(
    layer: Layer,
    model: str | PathLike[str] | Method = "auto",
    **options: Unpack[DenoiseOptions],
) -> Image:
    """Denoise an image layer, and return its light as a new layer.

    Parameters
    ----------
    layer : napari.layers.Image
        As in `enhance_layer`.
    model : str, path or model
        As in `denoise`.
    {options}

    Returns
    -------
    napari.layers.Image
        As of `enhance_layer`; its values are linear, in the units of the image.

    Raises
    ------
    InputTypeError, InputError, MemoryError
        As in `enhance_layer`, or if the model makes a display.

    Warns
    -----
    UserWarning
        As in `enhance_layer`.

    See Also
    --------
    enhance_layer : A display, and how layers are read.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> counts = np.random.default_rng(0).poisson(30, (96, 96)).astype("uint16")
    >>> denoised = denoise_layer(Image(counts, name="dim"))
    >>> denoised.name, bool(denoised.data.std() < 0.3 * counts.std())
    ('dim (counts)', True)
    """
    return _run("denoise", layer, model, options)


@documented("enhance", "out")
def live_layer(
    layer: Layer,
    model: str | PathLike[str] | Method = "auto",
    *,
    verb: Verb = "enhance",
    **options: Unpack[ResolvedOptions],
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
    model : str, path or model
        As in `enhance` or `denoise`.
    verb : {"enhance", "denoise"}
        What is shown: a display, or light. The options are those of `enhance`, as follows, or
        those of `denoise`, but for `out`.
    {options}

    Returns
    -------
    napari.layers.Image
        As of `enhance_layer`, but its data are views: ``numpy.asarray(layer.data[5])`` renders a
        plane. Of volumes (ndim=3) a plane takes its neighbors, two above and two below.

    Raises
    ------
    InputTypeError, InputError
        As in `enhance_layer`.

    Warns
    -----
    UserWarning
        As in `enhance_layer`.

    See Also
    --------
    enhance_to_file : A result larger than memory, kept.

    Notes
    -----
    Axes and gain maps are as in `enhance_layer`; progress is of the measuring.

    Examples
    --------
    >>> import numpy as np
    >>> from napari.layers import Image
    >>> dim = Image(np.random.default_rng(0).poisson(3, (9, 32, 32)), name="dim")
    >>> live = live_layer(dim)
    >>> np.asarray(live.data[4]).shape
    (32, 32)
    """
    if "out" in options:
        raise InputTypeError("out", "is not taken by live_layer, which fills no array")
    return _run(verb, layer, model, options, live=True)


def _run(
    verb: Verb, layer: Layer, model: Any, given: Mapping[str, Any], live: bool = False
) -> Image:
    ndim, options = check_options(verb, given)["ndim"], {**given}
    source = LayerSnapshot.from_layer(layer, options.pop("axes", None))
    if note := source.anisotropy_warning(ndim):
        warnings.warn(note, stacklevel=3)
    progress, layers = options.pop("progress", False), {}
    if isinstance(options.get("gain_map"), Layer):
        gain_map = GainMapSnapshot.from_layer(options["gain_map"])
        options["gain_map"] = gain_map.array_for(source, source.layout(ndim))
        layers["gain_layer"] = gain_map.name
    if is_dask(source.array) and options.get("out") is None and not live:
        return _show_lazily(source, model, verb, progress, options, layers)
    request = TaskRequest(source, source.images(ndim), model, verb, options, layers)
    steps = enhance_live(request) if live else enhance_in_memory(request)
    title = "measuring" if live else PROGRESS_TITLES[verb]
    return run_with_progress(steps, progress, title).layer(source)


def _show_lazily(
    source: LayerSnapshot,
    model: Any,
    verb: Verb,
    progress: Progress,
    options: Mapping[str, Any],
    layers: Mapping[str, str],
) -> Image:
    """Measure a dask array now; napari would have to, for every plane that it shows."""
    from napari_noiser.arrays.companion import Mask
    from napari_noiser.engine.dask_graph import make_lazy_plan
    from napari_noiser.engine.display import view_range

    lazy = make_lazy_plan(
        source.array, model, verb, axes=source.axes, progress=progress, **options
    ).measured()
    result, plan = lazy.result(), lazy.plan
    if (mask := options.get("mask")) is not None:
        plan = replace(plan, mask=Mask.of(mask, plan.image.layout))  # which may be dask's
    shown = view_range(plan, result, source.array)
    return source.result(result, {**lazy.describe(), **layers}, shown.limits, shown.gamma)
