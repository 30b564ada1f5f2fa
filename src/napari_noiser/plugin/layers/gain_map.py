"""A gain map that an image layer holds: how much each pixel of another one would be amplified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_noiser.arrays.companion import axes_beside
from napari_noiser.arrays.layout import Layout, Region
from napari_noiser.arrays.lazy_view import Deferred
from napari_noiser.plugin.layers.snapshot import ImageSource, kind_of

if TYPE_CHECKING:
    from napari_noiser.plugin.settings import Settings

__all__ = ["GainLayer", "check_gain", "gain_for_level", "gain_maps", "gain_of"]

_NONE_CHOSEN = "Choose a gain map: a model that is guided by one is fitted, and applied, with it"


@dataclass(frozen=True, eq=False)
class GainLayer:
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
    def of(cls, layer: Layer | GainLayer) -> GainLayer:
        """Take what is needed from a layer; nothing is computed or loaded.

        Raises
        ------
        TypeError
            If it is no image layer.
        ValueError
            If it is of colors.
        """
        if isinstance(layer, GainLayer):
            return layer
        if not isinstance(layer, Image):
            raise TypeError(f"gain must be an array or an Image layer, got {kind_of(layer)}")
        if layer.rgb:
            raise ValueError(f"gain map {layer.name!r} must hold one number a pixel, not colors")
        return cls(layer.name, layer.data[0] if layer.multiscale else layer.data)

    def beside(self, source: ImageSource, ndim: int) -> Any:
        """Return the map as `napari_noiser.enhance` takes it for an image.

        Raises
        ------
        ValueError
            If it has not the image's shape without colors, its last axes, or one plane's
            (volume's).
        """
        layout = Layout.of(tuple(source.array.shape), source.axes, ndim)
        axes_beside(f"gain map {self.name!r} for {source.name!r}", self.array, layout)
        return self.array


def gain_maps(
    gain: Layer | GainLayer | None, sources: Sequence[ImageSource], ndim: int
) -> list[Any]:
    """Return the chosen gain map for each of some images.

    Raises
    ------
    ValueError
        If none is chosen, or as in `GainLayer.beside`.
    """
    if gain is None:
        raise ValueError(_NONE_CHOSEN)
    held = GainLayer.of(gain)
    return [held.beside(source, ndim) for source in sources]


def gain_of(settings: Settings, source: ImageSource) -> Any:
    """Return the gain map that settings name, for an image; None if they name none."""
    if settings.gain is None:
        return None
    return GainLayer.of(settings.gain).beside(source, settings.ndim)


def check_gain(settings: Settings, sources: Sequence[ImageSource]) -> None:
    """Raise a `ValueError` if the model takes a gain map, and none is there or fits the images."""
    if getattr(settings.model, "gain_given", False):
        gain_maps(settings.gain, sources, settings.ndim)


def gain_for_level(gain: Any, source: ImageSource, level: Any, ndim: int) -> Any:
    """Return a gain map of the finest level for another one: nothing is read before it is used."""
    if gain is None or level is source.array:
        return gain
    array = gain if hasattr(gain, "shape") else np.asarray(gain)
    axes = axes_beside("gain", array, Layout(source.axes, tuple(source.array.shape), ndim))
    lengths = dict(zip(source.axes, level.shape, strict=True))
    return _coarser(array, tuple(lengths[letter] for letter in axes))


def _coarser(array: Any, shape: tuple[int, ...]) -> Deferred:
    """Return an array of fewer values along its axes: of each the nearest, to a coarse pixel.

    Steps leave out on the way what is not needed, whatever its storage is.
    """
    held = tuple(array.shape)
    steps = [max(1, many // few) for many, few in zip(held, shape, strict=True)]

    def read(box: Region) -> NDArray[Any]:
        nearest = [
            np.arange(part.start, part.stop) * many // few // step
            for part, many, few, step in zip(box, held, shape, steps, strict=True)
        ]
        spans = zip(nearest, steps, strict=True)
        region = tuple(slice(at[0] * step, at[-1] * step + 1, step) for at, step in spans)
        return np.asarray(array[region])[np.ix_(*(at - at[0] for at in nearest))]

    return Deferred.whole(read, shape, array.dtype, shape)
