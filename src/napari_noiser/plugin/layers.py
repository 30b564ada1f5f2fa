"""Layer to array and axes; array to layer, with all of the source's place and look carried."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from itertools import permutations
from os import PathLike
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_noiser.progress import Progress, drain
from napari_noiser.stack.axes import DEFAULT_AXES
from napari_noiser.stack.display import display_limits

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model

__all__ = ["PROVENANCE", "ImageSource", "axes_choices", "enhance_layer", "guess_axes"]

PROVENANCE = "napari_noiser"
"""The key of a result's provenance in its layer's metadata."""

_PLACE = ("scale", "translate", "rotate", "shear", "units", "axis_labels")
_LOOK = (
    "blending",
    "colormap",
    "depiction",
    "gamma",
    "interpolation2d",
    "interpolation3d",
    "opacity",
    "projection_mode",
    "rendering",
)
_LETTERS = {
    **dict.fromkeys(("t", "time", "frame", "frames"), "T"),
    **dict.fromkeys(("c", "ch", "channel", "channels"), "C"),
    **dict.fromkeys(("z", "depth", "slice", "plane"), "Z"),
    **dict.fromkeys(("y", "row"), "Y"),
    **dict.fromkeys(("x", "column", "col"), "X"),
}


@dataclass(frozen=True)
class ImageSource:
    """An image layer as it was when the work began: it may change or be deleted meanwhile.

    Attributes
    ----------
    array : array
        The layer's data, level 0 of a multiscale layer.
    axes : str
        A letter an axis, as `napari_noiser.enhance` takes them.
    name : str
        Of the layer.
    place, look : mapping
        Keyword arguments of `napari.layers.Image` that a result shares.
    metadata : dict
        A copy of the layer's own.
    """

    array: Any
    axes: str
    name: str
    place: Mapping[str, Any]
    look: Mapping[str, Any]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, layer: Layer, axes: str | None = None) -> ImageSource:
        """Take what is needed from a layer; nothing is computed or loaded.

        Raises
        ------
        TypeError
            If it is no image layer.
        ValueError
            If the axes cannot be guessed, or are not those of an RGB layer.
        """
        if not isinstance(layer, Image):
            raise TypeError(
                f"layer must be an Image layer, got {type(layer).__name__} {str(layer)!r}: only "
                "images have brightness to enhance"
            )
        axes = guess_axes(layer) if axes is None else axes
        if not axes:
            raise ValueError(f"axes cannot be guessed for {layer.ndim} dimensions: name them")
        if layer.rgb and not axes.endswith("S"):
            raise ValueError(f"axes of an RGB layer end in S, its colours, got {axes!r}")
        return cls(
            layer.data[0] if layer.multiscale else layer.data,
            axes,
            layer.name,
            {name: getattr(layer, name) for name in _PLACE}
            | {"affine": layer.affine.affine_matrix.copy()},  # layers would share the object
            {name: getattr(layer, name) for name in _LOOK}
            | {"experimental_clipping_planes": _clipping_planes(layer)},
            _copied(layer.metadata),
        )

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds colour samples."""
        return self.axes.endswith("S") and len(self.axes) == len(self.place["scale"]) + 1

    def note(self, ndim: int) -> str:
        """Return what to know before images of `ndim` dimensions are rendered; empty if nothing.

        A 3-D model takes neighbours in z as near as those in the plane, whatever the scale.
        """
        steps = dict(zip(self.axes, self.place["scale"], strict=False))
        if ndim == 2 or not {"Z", "X"} <= steps.keys():
            return ""
        ratio = abs(steps["Z"] / steps["X"])
        if 2 / 3 < ratio < 1.5:
            return ""
        return (
            f"The step in z is {ratio:.3g} times the pixel size, but a 3-D model takes neighbours "
            "in z as near as those in the plane. Rendering planes (ndim=2) does not."
        )

    def result(
        self, array: Any, provenance: Mapping[str, Any], limits: tuple[float, float]
    ) -> Image:
        """Return a layer that shows an array of the source's shape in the source's place.

        Parameters
        ----------
        array : array
            Shown as it is.
        provenance : mapping
            Goes into the layer's metadata under `PROVENANCE`.
        limits : pair of float
            Contrast limits.

        Returns
        -------
        napari.layers.Image
            Not added to any viewer.
        """
        layer = Image(
            array,
            name=f"{self.name} ({provenance['recipe']['name']})",
            rgb=self.rgb,
            metadata={**self.metadata, PROVENANCE: {**provenance, "source": self.name}},
            contrast_limits=limits,
            **self.place,
            **self.look,
        )
        if array.dtype.kind == "f":
            layer.contrast_limits_range = (0.0, 1.0)
        return layer


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
        ndim, statistics, mask, brightness, contrast, device, tile, memory_limit, dtype, out: as
        in `enhance`.

    Returns
    -------
    napari.layers.Image
        Not yet in a viewer (``viewer.add_layer(...)``). It has the source's scale, units, axis
        labels, transforms, look and metadata; ``metadata["napari_noiser"]`` says how it was made.
        Its contrast limits start at the background: see
        `napari_noiser.stack.display.display_limits`. A dask array is measured now, and rendered
        as it is shown; its limits come from a few chunks.

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
    from napari_noiser.stack.enhance import render_steps
    from napari_noiser.stack.values import is_dask
    from napari_noiser.stack.work import plan

    unknown = set(options) - set(signature(plan).parameters)
    if unknown:
        raise TypeError(f"enhance_layer takes no argument {sorted(unknown)}; see enhance")
    source = ImageSource.of(layer, axes)
    note = source.note(options.get("ndim", 2))
    if note:
        warnings.warn(note, stacklevel=2)
    if is_dask(source.array) and options.get("out") is None:
        return _show_lazily(source, model, progress, options)
    work = plan(source.array, model, axes=source.axes, **options)
    result = drain(render_steps(work), progress, "enhancing")
    return source.result(result, work.describe(), display_limits(result, source.rgb))


def _show_lazily(
    source: ImageSource,
    model: str | PathLike[str] | Model,
    progress: Progress,
    options: Mapping[str, Any],
) -> Image:
    """Measure a dask array now; napari would have to, for every plane that it shows."""
    from napari_noiser.stack.lazy import plan_lazily

    work = plan_lazily(source.array, model, axes=source.axes, progress=progress, **options)
    work = work.measured()
    result = work.result()
    return source.result(result, work.describe(), display_limits(result, source.rgb))


def guess_axes(layer: Image) -> str:
    """Return the axes of a layer, from its axis labels, its `rgb` and its number of dimensions.

    Labels that name each a different axis, Y and X among them, are taken at their word. Others
    count as unnamed: the last axes of TCZYX are assumed as in `napari_noiser.enhance`.
    """
    letters = [_LETTERS.get(label.strip().lower(), "?") for label in layer.axis_labels]
    known = "?" not in letters and len(set(letters)) == len(letters) and {"Y", "X"} <= {*letters}
    axes = "".join(letters) if known else DEFAULT_AXES.get(layer.ndim, "")
    return axes + "S" if layer.rgb else axes


def axes_choices(layer: Image) -> list[str]:
    """Return every meaning that a layer's axes may have, the guessed one first.

    The plane's Y and X come last, or before one axis of channels that was left at the end.
    """
    extra = layer.ndim - 2
    choices = ["".join(outer) + "YX" for outer in permutations("TCZ", extra)] if extra < 4 else []
    choices += [
        "".join(outer) + "YXC" for outer in permutations("TZ", max(extra - 1, 0)) if extra > 0
    ]
    choices = [axes + "S" if layer.rgb else axes for axes in choices]
    guess = guess_axes(layer)
    return ([guess] if guess else []) + [axes for axes in choices if axes != guess]


def _clipping_planes(layer: Image) -> list[dict[str, Any]]:
    names = ("position", "normal", "enabled")
    return [
        {name: getattr(plane, name) for name in names}
        for plane in layer.experimental_clipping_planes
    ]


def _copied(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return deepcopy(dict(metadata))
    except Exception:  # a reader may have left locks or open files there
        return dict(metadata)
