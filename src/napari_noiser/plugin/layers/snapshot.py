"""Layer to array and axes; array to layer, with the source's transform and appearance."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from napari.layers import Image, Layer

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.arrays.axis_names import own_axes, plain_array, read_axes
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import DEFAULT_AXES, Layout
from napari_noiser.engine.options import Verb
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.files.spatial_metadata import SpatialMetadata
from napari_noiser.files.units import unit_name
from napari_noiser.methods.noiser.recipe import RECIPES

_TRANSFORM = ("scale", "translate", "rotate", "shear", "units", "axis_labels")
_APPEARANCE = (
    "blending",
    "colormap",
    "depiction",
    "interpolation2d",
    "interpolation3d",
    "opacity",
    "projection_mode",
    "rendering",
)

_AXIS_WORDS = (("T", "time point"), ("C", "channel"), ("Z", "plane"))
_FEW = 4  # pixels of a width that is rather a number of channels


@dataclass(frozen=True)
class LayerSnapshot:
    """An image layer as it was when the task began: it may change or be deleted meanwhile.

    `levels` are those of a multiscale layer, the finest first, or its one array; `axes` a letter
    each, as `napari_noiser.enhance` takes them. `transform` and `appearance` are keyword arguments
    of `napari.layers.Image` that a result shares; `limits` and `gamma` are what it does not, and
    `path` is that of the file which the layer was read from.
    """

    levels: tuple[Any, ...]
    axes: str
    name: str
    transform: Mapping[str, Any]
    appearance: Mapping[str, Any]
    limits: tuple[float, float]
    metadata: dict[str, Any]
    path: str | None = None
    gamma: float = 1.0

    @classmethod
    def from_layer(cls, layer: Layer, axes: str | None = None) -> LayerSnapshot:
        """Take what is needed from a layer; nothing is computed or loaded."""
        if not isinstance(layer, Image):
            raise InputTypeError(
                "layer",
                f"must be an Image layer, got {describe_type(layer)}: only images have "
                "brightness to enhance (arrays: napari_noiser.enhance)",
            )
        axes = _axes(layer) if axes is None else axes
        if not isinstance(axes, str):
            raise InputTypeError("axes", f"must be a string such as 'TZYX', got {axes!r}")
        if not axes and not _axes(layer):
            raise InputError(
                "axes",
                f"cannot be guessed for {layer.ndim} dimensions of {layer.name!r}: take a "
                "part of it that has T, C, Z, Y and X at most",
            )
        if layer.rgb and not axes.endswith("S"):
            raise InputError("axes", f"of an RGB layer end in S, its colors, got {axes!r}")
        return cls(
            tuple(map(plain_array, _levels(layer))),
            axes,
            layer.name,
            {name: getattr(layer, name) for name in _TRANSFORM}
            | {"affine": layer.affine.affine_matrix.copy()},  # layers would share the object
            {name: getattr(layer, name) for name in _APPEARANCE}
            | {
                "experimental_clipping_planes": [
                    {name: getattr(plane, name) for name in ("position", "normal", "enabled")}
                    for plane in layer.experimental_clipping_planes
                ]
            },
            (layer.contrast_limits[0], layer.contrast_limits[1]),
            _copy(layer.metadata),
            layer.source.path,
            layer.gamma,
        )

    @property
    def array(self) -> Any:
        """The layer's data, of a multiscale layer the finest level."""
        return self.levels[0]

    def layout(self, ndim: int = 2) -> Layout:
        """Return what the axes of the array mean."""
        return Layout.of(tuple(self.array.shape), self.axes, ndim)

    def images(self, ndim: int = 2) -> tuple[ImageArray, ...]:
        """Return all levels, checked, the finest first; of 64-bit integers one value is read."""
        return tuple(ImageArray.from_array(level, self.axes, ndim) for level in self.levels)

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds color samples."""
        return self.axes.endswith("S") and len(self.axes) == len(self.transform["scale"]) + 1

    def anisotropy_warning(self, ndim: int) -> str:
        """Return what to know before images of `ndim` dimensions are rendered; empty if nothing.

        A 3-D model takes neighbors in z as near as those in the plane, whatever the scale.
        """
        steps = dict(zip(self.axes, self.transform["scale"], strict=False))
        if ndim == 3 and "T" in steps and "Z" not in steps:
            return (
                "There is no axis Z, so time takes its place: a point in time is seen with those "
                "before and after it, and what moves may be merged."
            )
        if ndim == 2 or not {"Z", "X"} <= steps.keys():
            return ""
        ratio = abs(steps["Z"] / steps["X"])
        if 2 / 3 < ratio < 1.5:
            return ""
        return (
            f"The step in z is {ratio:.3g} times the pixel size, but a 3-D model takes neighbors "
            "in z as near as those in the plane. Rendering planes (ndim=2) does not."
        )

    @property
    def spatial_metadata(self) -> SpatialMetadata:
        """Where the voxels lie, as files know it; see `placement_warning`.

        An affine transform that only scales and moves is taken into steps and positions.
        """
        last = (1,) if self.rgb else ()
        count = len(self.transform["scale"])
        factors, moved = np.ones(count), np.zeros(count)
        if not self.placement_warning:
            affine = self.transform["affine"]
            factors, moved = np.diag(affine)[:-1], affine[:-1, -1]
        steps = factors * [abs(step) or 1.0 for step in self.transform["scale"]]
        starts = factors * self.transform["translate"] + moved
        return SpatialMetadata(
            self.axes,
            (*steps.tolist(), *last),
            (*starts.tolist(), *(0 for _ in last)),
            (*(unit_name(str(unit)) for unit in self.transform["units"]), *("" for _ in last)),
        )

    @property
    def placement_warning(self) -> str:
        """Return what a file does not hold of where the layer lies; empty if it holds all."""
        linear = self.transform["affine"][:-1, :-1]
        rotate, shear = np.asarray(self.transform["rotate"]), np.asarray(self.transform["shear"])
        lost = {
            "rotation": not np.allclose(rotate, np.eye(len(rotate))),
            "shear": bool(np.any(shear if shear.ndim == 1 else shear - np.eye(len(shear)))),
            "affine transform": bool(
                np.any(linear - np.diag(np.diag(linear))) or (np.diag(linear) <= 0).any()
            ),
            "flip": any(step < 0 for step in self.transform["scale"]),
        }
        if not any(lost.values()):
            return ""
        names = ", ".join(name for name, each in lost.items() if each)
        return (
            f"{self.name!r} lies where a file cannot say: OME-Zarr holds steps and positions, and "
            f"its {names} is lost there. The layer of the result has it."
        )

    def result(
        self,
        data: Any,
        provenance: Mapping[str, Any],
        limits: tuple[float, float],
        gamma: float = 1.0,
    ) -> Image:
        """Return a layer that shows data of the source's shape where the source is.

        A list holds the levels of a multiscale layer; the provenance goes into the metadata.
        """
        made = result_label(provenance["recipe"]["name"], provenance["verb"])
        name = f"{self.name} ({made})"
        source = {"source": self.name} | ({"source_path": self.path} if self.path else {})
        metadata = {**self.metadata, PROVENANCE: {**provenance, **source}}
        layer = self._layer(data, name, metadata, limits)
        layer.gamma = gamma
        return layer

    def unfinished(self, data: Any, name: str, verb: Verb = "enhance") -> Image:
        """Return a layer that shows a result which is not finished, where the source is.

        Light has the contrast limits of the source, a display those of its type.
        """
        dtype = (data[0] if isinstance(data, list) else data).dtype
        full = (0.0, 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max))
        return self._layer(data, name, {}, self.limits if verb == "denoise" else full)

    def _layer(
        self, data: Any, name: str, metadata: dict[str, Any], limits: tuple[float, float]
    ) -> Image:
        layer = Image(
            data,
            name=name,
            rgb=self.rgb,
            multiscale=isinstance(data, list),
            metadata=metadata,
            contrast_limits=limits,
            **self.transform,
            **self.appearance,
        )
        if layer.dtype.kind == "f":
            layer.contrast_limits_range = (min(0.0, limits[0]), max(1.0, limits[1]))
        return layer


def result_label(model: str, verb: Verb) -> str:
    """Return what a result is called after its image, in a word or two.

    By a model of the user's own it is called after that, or else after what was made of the image.
    """
    if model not in RECIPES:
        return model if verb == "enhance" else f"{model}, counts"
    if verb == "denoise":
        return "counts"
    return "denoised" if RECIPES[model].is_denoiser else "brightened"


def describe_type(given: object) -> str:
    """Return what was given instead of a layer of some kind, in a word or two."""
    named = f" {given.name!r}" if isinstance(given, Layer) else ""
    return f"{given.__class__.__name__}{named}"  # a plugin is given proxies of layers


def guess_axes(layer: Image) -> str:
    """Return the axes of a layer, from its axis labels, its `rgb` and its number of dimensions.

    Labels are taken at their word, and so are names that the data themselves have; without any,
    the last axes of TCZYX are assumed as in `napari_noiser.enhance`. Empty, if there are others.
    """
    try:
        return _axes(layer)
    except InputError:
        return ""


def _axes(layer: Image) -> str:
    """Return the guessed axes, or raise an `InputError` that names the label that is unknown."""
    axes = _named_axes(layer) or DEFAULT_AXES.get(layer.ndim, "")
    return axes + "S" if layer.rgb and axes else axes


def _named_axes(layer: Image) -> str:
    """Return what a layer's axis labels, or its data, say but for rgb; empty, if nothing."""
    named = read_axes(layer.axis_labels)
    if named is None and not layer.rgb:
        named = own_axes(_levels(layer)[0])
    return named or ""


def _levels(layer: Image) -> tuple[Any, ...]:
    return tuple(layer.data) if layer.multiscale else (layer.data,)


def _is_named(layer: Image) -> bool:
    """Return whether a layer's axes have names, understood or not."""
    try:
        return bool(_named_axes(layer))
    except InputError:
        return True


def describe_axes(layer: Image, axes: str) -> str:
    """Return in words what an image is taken for; a question, if that was only guessed."""
    if not axes:
        return "Which axis is which? Its labels are not understood"
    lengths = dict(zip(axes, layer.data.shape, strict=False))
    parts = [_count(lengths[letter], word) for letter, word in _AXIS_WORDS if letter in lengths]
    if not parts:
        return "one color image" if layer.rgb else "one plane"
    if axes != guess_axes(layer) or _is_named(layer):
        return f"{' of '.join(parts)}, {axes}"
    if lengths["X"] <= _FEW < lengths["Y"]:
        size = f"{lengths['Y']} x {lengths['X']} pixels"
        return f"{parts[-1]} of {size}, or {_count(lengths['X'], 'channel')}? Taken for {axes}"
    if axes.startswith("ZYX"):
        return f"{parts[0]}: depth or time? Taken for depth, {axes}"
    return f"{' of '.join(parts)}, {axes}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def axes_choices(layer: Image) -> list[str]:
    """Return every meaning that a layer's axes may have, the guessed one first.

    Where the labels are not understood, that is an empty one: it has to be asked.
    The plane's Y and X come last, or before one axis of channels that was left at the end.
    """
    extra = layer.ndim - 2
    choices = ["".join(outer) + "YX" for outer in permutations("TCZ", extra)] if extra < 4 else []
    choices += [
        "".join(outer) + "YXC" for outer in permutations("TZ", max(extra - 1, 0)) if extra > 0
    ]
    choices = [axes + "S" if layer.rgb else axes for axes in choices]
    guess = guess_axes(layer)
    asked = guess or choices
    return ([guess] if asked else []) + [axes for axes in choices if axes != guess]


def _copy(metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return deepcopy(dict(metadata))
    except Exception:  # a reader may have left locks or open files there
        return dict(metadata)
