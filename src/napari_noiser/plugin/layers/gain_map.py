"""A gain map that an image layer holds: how much each pixel of another one would be amplified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser.arrays.companion import infer_axes
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, describe_type

if TYPE_CHECKING:
    from napari_noiser.plugin.settings import Settings

__all__ = ["GainMapLayer", "check_gain", "gain_for_level", "gain_map_for", "gain_maps_for"]

_NONE_CHOSEN = "Choose a gain map: a model that is guided by one is fitted, and applied, with it"


@dataclass(frozen=True, eq=False)
class GainMapLayer:
    """The map as it was when the work began: its layer may be renamed or removed meanwhile.

    Attributes
    ----------
    name : str
        Of the layer.
    array : array
        Its data, of a multiscale layer the finest level.
    """

    name: str
    array: Any

    @classmethod
    def from_layer(cls, layer: Layer | GainMapLayer) -> GainMapLayer:
        """Take what is needed from a layer; nothing is computed or loaded.

        Raises
        ------
        TypeError
            If it is no image layer.
        ValueError
            If it is of colors.
        """
        if isinstance(layer, GainMapLayer):
            return layer
        if not isinstance(layer, Image):
            raise InputTypeError(
                "gain", f"must be an array or an Image layer, got {describe_type(layer)}"
            )
        if layer.rgb:
            raise InputError(
                "gain", f"map {layer.name!r} must hold one number a pixel, not colors"
            )
        return cls(layer.name, layer.data[0] if layer.multiscale else layer.data)

    def resample_to(self, source: LayerSnapshot, ndim: int) -> Any:
        """Return the map as `napari_noiser.enhance` takes it for an image.

        Raises
        ------
        ValueError
            If it has not the image's shape without colors, its last axes, or one plane's
            (volume's).
        """
        layout = Layout.of(tuple(source.array.shape), source.axes, ndim)
        infer_axes(f"gain map {self.name!r} for {source.name!r}", self.array, layout)
        return self.array


def gain_maps_for(
    gain: Layer | GainMapLayer | None, sources: Sequence[LayerSnapshot], ndim: int
) -> list[Any]:
    """Return the chosen gain map for each of some images.

    Raises
    ------
    ValueError
        If none is chosen, or as in `GainMapLayer.beside`.
    """
    if gain is None:
        raise InputError("", _NONE_CHOSEN)
    held = GainMapLayer.from_layer(gain)
    return [held.resample_to(source, ndim) for source in sources]


def gain_map_for(settings: Settings, source: LayerSnapshot) -> Any:
    """Return the gain map that settings name, for an image; None if they name none."""
    if settings.gain_map is None:
        return None
    return GainMapLayer.from_layer(settings.gain_map).resample_to(source, settings.ndim)


def check_gain(settings: Settings, sources: Sequence[LayerSnapshot]) -> None:
    """Raise a `ValueError` if the model takes a gain map, and none is there or fits the images."""
    if getattr(settings.model, "gain_given", False):
        gain_maps_for(settings.gain_map, sources, settings.ndim)


def gain_for_level(gain: Any, source: LayerSnapshot, level: Any, ndim: int) -> Any:
    """Return a gain map of the finest level for another one: nothing is read before it is used."""
    if gain is None or level is source.array:
        return gain
    array = gain if hasattr(gain, "shape") else np.asarray(gain)
    axes = infer_axes("gain", array, Layout(source.axes, tuple(source.array.shape), ndim))
    lengths = dict(zip(source.axes, level.shape, strict=True))
    return _coarser(array, tuple(lengths[letter] for letter in axes))


def _coarser(array: Any, shape: tuple[int, ...]) -> LazyView:
    """Return an array of fewer values along its axes: of each the nearest, to a coarse pixel.

    Steps leave out on the way what is not needed, whatever its storage is.
    """
    held = tuple(array.shape)
    steps = [max(1, many // few) for many, few in zip(held, shape, strict=True)]

    def read(box: Slices) -> NDArray[Any]:
        nearest = [
            np.arange(part.start, part.stop) * many // few // step
            for part, many, few, step in zip(box, held, shape, steps, strict=True)
        ]
        spans = zip(nearest, steps, strict=True)
        region = tuple(slice(at[0] * step, at[-1] * step + 1, step) for at, step in spans)
        return np.asarray(array[region])[np.ix_(*(at - at[0] for at in nearest))]

    return LazyView.whole(read, shape, array.dtype, shape)
